/** Rules that real files seldom need, with what Hugging Face's library (0.23.2) makes of them. */
import { loadTokenizer, type TokenizerDefinition } from "tenon/tokenizers";
import { describe, expect, test } from "vitest";
import { decomposed } from "../../src/tokenizers/normal-forms.js";
import { regex } from "../../src/tokenizers/regex/regex.js";
import { paddedLength, paddingOptions } from "../../src/tokenizers/truncation.js";

const letters = {
  type: "BPE",
  vocab: { a: 0, b: 1, ab: 2, " ": 3, "\u088f": 4, "1": 5, "։": 6, ա: 7 },
  merges: [["a", "b"]],
};
const token = (content: string, flags: object) => ({ id: 8, content, normalized: false, special: true, ...flags });
const bert = { type: "BertProcessing", cls: ["C", 10], sep: ["S", 11] };
const roberta = { type: "RobertaProcessing", cls: ["c", 12], sep: ["s", 13], trim_offsets: false };
const template = {
  type: "TemplateProcessing",
  single: [{ SpecialToken: { id: "<s>", type_id: 1 } }, { Sequence: { id: "A", type_id: 2 } }],
  pair: [{ Sequence: { id: "B", type_id: 1 } }, { Sequence: { id: "A", type_id: 0 } }],
  special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
};
const chain = (...processors: object[]) => ({ post_processor: { type: "Sequence", processors } });
const load = (parts: object) => loadTokenizer({ model: letters, ...parts } as TokenizerDefinition);

type Row = [what: string, parts: object, text: string, pair: string | undefined, wanted: object];
const rows: Row[] = [
  [
    "post-processors follow each other",
    chain(bert, roberta, template),
    "ab",
    undefined,
    { ids: [1, 12, 10, 2, 11, 13], typeIds: [1, 2, 2, 2, 2, 2], specialTokensMask: [1, 1, 0, 0, 0, 1] },
  ],
  [
    "of a pair, too",
    chain(bert, template),
    "ab",
    "b",
    { ids: [1, 11, 10, 2, 11], typeIds: [1, 1, 0, 0, 0], specialTokensMask: [0, 1, 1, 0, 1] },
  ],
  [
    "an empty text is found everywhere",
    { pre_tokenizer: { type: "Split", pattern: { String: "" }, behavior: "Isolated" } },
    "abab",
    undefined,
    { ids: [0, 1, 0, 1] },
  ],
  [
    "and replaced everywhere",
    { normalizer: { type: "Replace", pattern: { String: "" }, content: "1" } },
    "ab",
    undefined,
    { ids: [5, 0, 5, 1, 5] },
  ],
  [
    "a token takes no space that the one before has taken",
    { added_tokens: [token("  ", { lstrip: true, rstrip: true })] },
    "a     b",
    undefined,
    { ids: [0, 8, 1], tokens: ["a", "     ", "b"] },
  ],
  [
    "tokens are numbered on from the length of a list, with its duplicates",
    {
      added_tokens: [token("x", {})],
      model: {
        type: "Unigram",
        unk_id: 0,
        vocab: [
          ["a", -1],
          ["b", -2],
          ["b", -3],
        ],
      },
    },
    "axb",
    undefined,
    { ids: [0, 3, 2] },
  ],
  [
    "a letter of Unicode 17 is none",
    { pre_tokenizer: { type: "Split", pattern: { Regex: "\\p{L}+" }, behavior: "Removed" } },
    "a\u088fb",
    undefined,
    { ids: [4] },
  ],
  [
    "nor does it go on with a word",
    { added_tokens: [token("b", { single_word: true })] },
    "b\u088f",
    undefined,
    { ids: [1, 4], wordIds: [0, 1] },
  ],
  [
    "marks of Unicode 14 keep their place among others",
    {
      normalizer: { type: "NFD" },
      model: { ...letters, vocab: { "\u0301": 0, "\u08d1": 1, "\u0327": 2 }, merges: [] },
    },
    "\u0301\u0327\u08d1",
    undefined,
    { ids: [2, 0, 1] },
  ],
  [
    "the Armenian full stop belongs to no script",
    { pre_tokenizer: { type: "UnicodeScripts" } },
    "ա։ա1",
    undefined,
    { wordIds: [0, 1, 2, 3] },
  ],
];

test.each(rows)("%s", async (_, parts, text, textPair, wanted) => {
  const encoding = (await load(parts)).encode(text, { textPair });
  expect(encoding.row()).toMatchObject(wanted);
  expect(encoding.ids).toEqual(encoding.row().ids);
});

const marks = { "▁": 0, a: 1, b: 2, "▁ab": 3, c: 4, "▁▁": 5 };
const markRows: [string, object, string][] = [
  ["a word that is a token is one only where it is the whole text", { ignore_merges: true }, "▁ab▁c"],
  ["marks around an unknown character that vanishes meet", { merges: [["▁", "▁"]] }, "a▁x▁▁"],
];
test.each(markRows)("without a pre-tokenizer %s", async (_, model, text) => {
  const tokenizer = await load({ model: { type: "BPE", vocab: marks, merges: [], ...model } });
  const { ids, tokens } = tokenizer.encode(text);
  expect(ids.map((id) => tokenizer.tokenOf(id))).toEqual(tokens);
});

test("an empty suffix is found before every character and at the end", async () => {
  const tokenizer = await load({ decoder: { type: "BPEDecoder", suffix: "" } });
  expect(tokenizer.decode([2, 2])).toBe(" a b ab");
});

test("a template has no place for the special tokens of another one", async () => {
  const tokenizer = await load(chain(template, template, template));
  expect(() => tokenizer.encode("a")).not.toThrow();
  const three = { ...template, single: [...template.single, ...template.single] };
  const refused = await load(chain(three, template));
  expect(() => refused.encode("a")).toThrow(/needs in a place behind another processor its texts .* got "4 texts"/);
});

describe("ten times as long takes ten times as long", () => {
  const letters = "abcdefghijklmnopqrstuvwxyz";
  const scramble = (at: number) => (Math.imul(at + 1, 0x9e3779b1) >>> 7) % 0x250;
  test.each([
    ["a letter", (length: number) => "a".repeat(length)],
    ["spaces", (length: number) => " ".repeat(length)],
    ["line feeds", (length: number) => "\n".repeat(length)],
    ["digits", (length: number) => "1".repeat(length)],
    ["emoji joined by ZWJ", (length: number) => "👩\u200d".repeat(length / 3)],
    ["marks", (length: number) => "e\u0301\u0327".repeat(length / 3)],
    ["the alphabet", (length: number) => letters.repeat(length / 26)],
    [
      "random characters",
      (length: number) => Array.from({ length }, (_, i) => String.fromCharCode(scramble(i))).join(""),
    ],
  ])("%s", async (_, make) => {
    const vocab = Object.fromEntries([...letters, "ab", "aa", "aaaa", " ", "  "].map((token, id) => [token, id]));
    const merges = [
      ["a", "b"],
      ["a", "a"],
      ["aa", "aa"],
      [" ", " "],
    ];
    const definitions: object[] = [
      { model: { type: "BPE", vocab, merges, unk_token: "z" } },
      {
        model: { type: "BPE", vocab, merges, unk_token: "z" },
        pre_tokenizer: {
          type: "Split",
          pattern: { Regex: "\\p{L}+|\\s+(?!\\S)|\\s+|[^\\p{L}\\s]+" },
          behavior: "Isolated",
        },
      },
      {
        model: { type: "Unigram", unk_id: 0, vocab: Object.keys(vocab).map((token, id) => [token, -id - 1]) },
        normalizer: { type: "NFKC" },
        pre_tokenizer: { type: "Metaspace" },
      },
      {
        model: { type: "WordPiece", vocab, unk_token: "z" },
        normalizer: { type: "BertNormalizer" },
        pre_tokenizer: { type: "BertPreTokenizer" },
      },
    ];
    for (const definition of definitions) {
      const tokenizer = await loadTokenizer(definition as TokenizerDefinition);
      const time = (text: string) => {
        const started = performance.now();
        tokenizer.encode(text);
        return performance.now() - started;
      };
      time(make(3000));
      const short = time(make(30_000));
      // Ten times the square would be a hundred times as long; a busy machine gets half a second.
      expect(time(make(300_000)), JSON.stringify(definition).slice(0, 300)).toBeLessThan(30 * short + 500);
    }
  });
});

test("more texts and characters than a function takes arguments", async () => {
  const tokenizer = await load({ normalizer: { type: "NFC" }, pre_tokenizer: { type: "WhitespaceSplit" } });
  const long = "e\u0301 ".repeat(70_000);
  expect(tokenizer.encode(`${long}a`).offsets).toEqual([[long.length, long.length + 1]]);
  const padding = paddingOptions(true, undefined)!;
  expect(paddedLength([...new Array(200_000).fill(1), 2], padding)).toBe(2);
});

test("many marks in a row are sorted once, each with its place", () => {
  const pairs = 7000;
  const started = performance.now();
  const { characters, sources } = decomposed(`é${"\u0301\u0316".repeat(pairs)}`, "NFD");
  expect(characters.join("")).toBe(`e${"\u0316".repeat(pairs)}${"\u0301".repeat(pairs + 1)}`);
  // Places are taken in order, but for the mark of é: it shares that of the one before.
  const places = Array.from({ length: 2 * pairs + 1 }, (_, i) => i);
  expect(sources).toEqual([...places.slice(0, pairs + 1), ...places.slice(pairs)]);
  expect(performance.now() - started).toBeLessThan(1000);
});

test("a long expression without regard to case is looked through once", () => {
  const started = performance.now();
  expect(regex(`(?i)${"a".repeat(20_000)}`).matches("A".repeat(20_000))).toEqual([[0, 20_000]]);
  expect(performance.now() - started).toBeLessThan(1500);
});

test.each([
  {},
  { strip_accents: false },
  { lowercase: false, clean_text: false },
  { lowercase: false, strip_accents: true, handle_chinese_chars: false },
])("BERT's ids word by word are those of the whole text: %o", async (options) => {
  const parts = [
    ...["a", "B", "é", "Σ", "ǅ", "İ", "'", "!", "；", "\u037e", "中", "豈", "𠀀", "😀", "각", "\u1161", "\u11a8"],
    ...[
      "\u0301",
      "\u0327",
      "\u0345",
      "\u093f",
      "\u0f71",
      "\u0f72",
      "\u200d",
      "\ufffd",
      "\0",
      " ",
      "\n",
      "\t",
      "\u00a0",
    ],
  ];
  const characters = new Set(parts.flatMap((part) => [part, part.toLowerCase(), part.normalize("NFD")]).join(""));
  const tokens = ["[UNK]", ...[...characters].flatMap((character) => [character, `##${character}`])];
  const tokenizer = await loadTokenizer({
    model: { type: "WordPiece", unk_token: "[UNK]", vocab: Object.fromEntries(tokens.map((token, id) => [token, id])) },
    normalizer: { type: "BertNormalizer", ...options },
    pre_tokenizer: { type: "BertPreTokenizer" },
  } as TokenizerDefinition);
  let state = 7;
  for (let round = 0; round < 2000; round++) {
    let text = "";
    for (let i = round % 23; i >= 0; i--) {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      text += parts[(state >>> 16) % parts.length];
    }
    const encoding = tokenizer.encode(text);
    expect(encoding.ids, JSON.stringify(text)).toEqual(encoding.row().ids);
  }
});
