/** Random `tokenizer.json` definitions of all components with all options, and texts that are hard on them. */
import type { Component, TokenizerDefinition } from "tenon/tokenizers";
import { trainTokenizer } from "tenon/tokenizers";

/** Whole numbers below a bound, from a seed (xorshift32). */
export function numbers(seed: number): (below: number) => number {
  let state = Math.imul(seed, 0x9e3779b1) >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

type Random = (below: number) => number;
const pick = <T>(random: Random, list: readonly T[]): T => list[random(list.length)];
const flag = (random: Random): boolean => random(2) === 0;

/** What texts are made of: scripts, marks, spaces, tokens, and whatever components look for. */
export const snippets = [
  ..." \n\t\r'.,!?-_|#aAbB09",
  ...["the", " The", " cat", "'s", "'LL", "don't", " do not", "n't", "Hello World", "fox jumps", "_x", "a_b", "-#x"],
  ...[
    "ß",
    "é",
    "e\u0301",
    "가",
    "\u1100\u1161\u11a8",
    "中文",
    "日本語",
    "ﾊﾟ",
    "１２",
    "123",
    "²",
    "½",
    "ﬁ",
    "Å",
    "İ",
    "ς",
    "Σ",
    "ǅ",
    "ё",
  ],
  ...[
    "👩‍👩‍👧‍👦",
    "🏽",
    "🇩🇪",
    "❤\ufe0f",
    "▁",
    "▁▁",
    "Ġ",
    "Ċ",
    "##",
    "</w>",
    "<s>",
    "</s>",
    "<unk>",
    "[UNK]",
    "[CLS]",
    "[MASK]",
    "<pad>",
    "|",
  ],
  ...[
    "<|end|>",
    "<0x0A>",
    "<0xE2>",
    "\u0000",
    "\u0001",
    "\u007f",
    "\u0085",
    "\u00a0",
    "\u00ad",
    "\ufffd",
    "\u200b",
    "\u200d",
    "\u200e",
    "\ufeff",
    "\u2028",
    "\u3000",
  ],
  ...[
    "\u0301\u0327",
    "हिन्दी",
    "ไทย",
    "العربية",
    "עברית",
    "ру",
    "Ελ",
    "http://a.b/c?d=1",
    "        ",
    "\r\n",
    "\n\n",
    "...",
    "—",
    "¿",
    "“x”",
    "$5",
    "a+b=c",
    "①",
    "Ⅷ",
    "々",
    "ー",
    "ｱ",
    "ﷺ",
  ],
];

/** A well-formed text. */
export function randomText(random: Random, extra: readonly string[] = []): string {
  let out = "";
  for (let n = random(10); n > 0; n--) {
    const kind = random(12);
    if (kind === 0) out += String.fromCodePoint(random(0xd800));
    else if (kind === 1) out += pick(random, ["a", "the", "0", " ", "é", "あ"]).repeat(1 + random(9));
    else if (kind < 4 && extra.length > 0) out += pick(random, extra);
    else out += pick(random, snippets);
  }
  return out;
}

const corpus = `${snippets.join(" ")} ${snippets.join("")} ${"the quick brown fox jumps over the lazy dog. The cat sat, the dog did not! ".repeat(8)}`;

interface Vocabularies {
  bytes: Component;
  characters: Component;
  suffixes: Component;
  prefixes: Component;
  unigram: Component;
  wordpiece: Component;
  words: Component;
}

/** The models that definitions vary. */
export async function vocabularies(): Promise<Vocabularies> {
  const model = async (options: object) => (await trainTokenizer(corpus, options)).toJSON().model;
  const prefixed = await model({ vocabSize: 330, model: "wordpiece" });
  const pieces = Object.keys(prefixed.vocab as object);
  const list = [...new Set(corpus.split(/\s+/).concat("<unk>", "[UNK]", "[CLS]", "[SEP]"))];
  return {
    bytes: await model({ vocabSize: 420 }),
    characters: await model({ vocabSize: 420, byteLevel: false }),
    suffixes: affixed(pieces, "", "</w>"),
    prefixes: affixed(pieces, "##", ""),
    unigram: await model({ vocabSize: 330, model: "unigram" }),
    wordpiece: prefixed,
    words: { type: "WordLevel", vocab: Object.fromEntries(list.map((word, id) => [word, id])), unk_token: "[UNK]" },
  };
}

/** A BPE whose symbols carry a prefix or a suffix: merges join the first characters of words to what follows. */
function affixed(words: string[], prefix: string, suffix: string): Component {
  const vocab: Record<string, number> = {};
  const add = (token: string) => {
    vocab[token] ??= Object.keys(vocab).length;
  };
  const bare = words.map((word) => word.replace(/^##/, "")).filter((word) => word !== "");
  add("<unk>");
  for (const character of new Set(bare.join(""))) {
    add(character);
    add(prefix + character);
    add(character + suffix);
    add(prefix + character + suffix);
  }
  const merges: [string, string][] = [];
  for (const word of bare) {
    const characters = [...word];
    let whole = characters[0];
    for (let i = 1; i < characters.length; i++) {
      const next = prefix + characters[i] + (i === characters.length - 1 ? suffix : "");
      const merged = whole + next.slice(prefix.length);
      if (vocab[merged] === undefined) {
        add(merged);
        merges.push([whole, next]);
      }
      whole = merged;
    }
  }
  return { type: "BPE", vocab, merges, continuing_subword_prefix: prefix || null, end_of_word_suffix: suffix || null };
}

const BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"];
const REGEXES = [
  "\\s+",
  "\\d",
  "\\p{L}+|\\p{N}+",
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  "[一-龥぀-ゟ゠-ヿ]+",
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  " ?[^(\\s|[.,!?…。，、।۔،])]+",
  "(?<=[a-z])(?=[A-Z0-9])",
  "\\w+|[^\\w\\s]+",
  "\\b",
  "",
  "x*",
  "[\\p{Han}\\p{Hiragana}\\p{Katakana}]",
  "(?:e|\u0301)",
  "\\A.|.\\z",
  "[[:punct:]]+",
  "(a|the)(?= )",
  "\\r?\\n",
  " {2,}",
];
const STRINGS = [" ", "a", "the", "▁", "\n", "..", "é", "", "''", "  ", "e\u0301"];
const pattern = (random: Random) =>
  flag(random) ? { String: pick(random, STRINGS) } : { Regex: pick(random, REGEXES) };

export interface Materials {
  models: Vocabularies;
  /** A map of SentencePiece in base64. */
  charsmap: string | undefined;
}

function normalizer(random: Random, materials: Materials, depth = 0): Component {
  switch (random(depth < 2 ? 17 : 14)) {
    case 0:
      return { type: "NFC" };
    case 1:
      return { type: "NFD" };
    case 2:
      return { type: "NFKC" };
    case 3:
      return { type: "NFKD" };
    case 4:
      return { type: "Lowercase" };
    case 5:
      return { type: "Strip", strip_left: flag(random), strip_right: flag(random) };
    case 6:
      return { type: "StripAccents" };
    case 7:
    case 8:
      return { type: "Replace", pattern: pattern(random), content: pick(random, ["", "▁", "x", " ", "ab", "é"]) };
    case 9:
      return { type: "Prepend", prepend: pick(random, ["▁", " ", "ab", "é"]) };
    case 10:
      return { type: "ByteLevel" };
    case 11:
      return {
        type: "BertNormalizer",
        clean_text: flag(random),
        handle_chinese_chars: flag(random),
        strip_accents: pick(random, [true, false, null]),
        lowercase: flag(random),
      };
    case 12:
      return { type: "Nmt" };
    case 13:
      if (materials.charsmap === undefined) return { type: "NFKC" };
      return { type: "Precompiled", precompiled_charsmap: materials.charsmap };
    default:
      return {
        type: "Sequence",
        normalizers: several(random, 4, () => normalizer(random, materials, depth + 1)),
      };
  }
}

const several = <T>(random: Random, below: number, make: () => T): T[] => Array.from({ length: random(below) }, make);

/** As older files say when a mark is put before a text. */
const OLD_PREFIXES = [{ add_prefix_space: true }, { add_prefix_space: false, prepend_scheme: "never" }];

function preTokenizer(random: Random, depth = 0): Component {
  switch (random(depth < 2 ? 16 : 12)) {
    case 0:
      return { type: "ByteLevel", add_prefix_space: flag(random), trim_offsets: flag(random), use_regex: flag(random) };
    case 1:
    case 2:
    case 3:
      return { type: "Split", pattern: pattern(random), behavior: pick(random, BEHAVIORS), invert: flag(random) };
    case 4: {
      const replacement = pick(random, ["▁", "▁", "_", "Ġ"]);
      if (random(3) === 0) return { type: "Metaspace", replacement, ...pick(random, OLD_PREFIXES) };
      const prepend_scheme = pick(random, ["always", "never", "first"]);
      return { type: "Metaspace", replacement, prepend_scheme, split: flag(random) };
    }
    case 5:
      return { type: "Whitespace" };
    case 6:
      return { type: "WhitespaceSplit" };
    case 7:
      return { type: "Digits", individual_digits: flag(random) };
    case 8:
      return { type: "Punctuation", behavior: pick(random, BEHAVIORS) };
    case 9:
      return { type: "BertPreTokenizer" };
    case 10:
      return pick(random, [{ type: "UnicodeScripts" }, { type: "FixedLength", length: 1 + random(5) }]);
    case 11:
      return { type: "CharDelimiterSplit", delimiter: pick(random, [" ", "|", "_", "é"]) };
    default:
      return { type: "Sequence", pretokenizers: several(random, 4, () => preTokenizer(random, depth + 1)) };
  }
}

function model(random: Random, { models }: Materials): Component {
  const kind = pick(random, [
    "bytes",
    "bytes",
    "characters",
    "characters",
    "suffixes",
    "prefixes",
    "unigram",
    "wordpiece",
    "words",
  ] as const);
  const base = structuredClone(models[kind]);
  if (kind === "unigram") {
    const vocab = base.vocab as [string, number][];
    if (flag(random)) for (let byte = 0; byte < 256; byte++) if (random(20) > 0) vocab.push([byteToken(byte), -10]);
    return { ...base, byte_fallback: flag(random), unk_id: pick(random, [0, base.unk_id, 5, null]) };
  }
  if (kind === "wordpiece") {
    const limit = pick(random, [100, 3, 10]);
    return { ...base, max_input_chars_per_word: limit, unk_token: pick(random, ["[UNK]", "the", "missing"]) };
  }
  if (kind === "words") return { ...base, unk_token: pick(random, ["[UNK]", "<unk>", "missing"]) };
  const vocab = base.vocab as Record<string, number>;
  const merges = (base.merges as [string, string][]).filter(() => random(30) > 0);
  if (flag(random)) {
    let next = Object.keys(vocab).length;
    for (let byte = 0; byte < 256; byte++) if (random(20) > 0) vocab[byteToken(byte)] ??= next++;
  }
  if (vocab["<unk>"] === undefined) vocab["<unk>"] = Object.keys(vocab).length;
  return {
    ...base,
    merges: flag(random)
      ? merges
      : merges.every((merge) => !merge.join("").includes(" "))
        ? merges.map((merge) => merge.join(" "))
        : merges,
    unk_token: pick(random, ["<unk>", null, "a"]),
    fuse_unk: flag(random),
    // With affixes the library's offsets point outside of the text.
    byte_fallback: kind !== "suffixes" && kind !== "prefixes" && flag(random),
    ignore_merges: random(3) === 0,
    dropout: null,
  };
}

const byteToken = (byte: number) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;

function postProcessor(random: Random, depth = 0): Component | null {
  const pair = (token: string): [string, number] => [token, random(20)];
  switch (random(depth < 1 ? 8 : 5)) {
    case 0: {
      const piece = (): object => {
        const type_id = random(3);
        const id = pick(random, ["<s>", "</s>", "[SEP] x"]);
        return random(2) === 0 ? { SpecialToken: { id, type_id } } : { Sequence: { id: "A", type_id } };
      };
      const second = { Sequence: { id: "B", type_id: random(3) } };
      const first = { Sequence: { id: "A", type_id: random(3) } };
      const single = [...several(random, 3, () => piece()).filter((part) => "SpecialToken" in part), first];
      if (flag(random)) single.push({ SpecialToken: { id: "</s>", type_id: random(3) } } as never);
      const both = flag(random) ? [first, second] : [second, first];
      const specials = several(random, 4, () => piece()).filter((part) => "SpecialToken" in part);
      return {
        type: "TemplateProcessing",
        single,
        pair: [...specials, both[0], ...specials, both[1], ...specials],
        special_tokens: {
          "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] },
          "</s>": { id: "</s>", ids: [2], tokens: ["</s>"] },
          "[SEP] x": { id: "[SEP] x", ids: [3, 4], tokens: ["[SEP]", "x"] },
        },
      };
    }
    case 1:
      return { type: "BertProcessing", sep: pair("[SEP]"), cls: pair("[CLS]") };
    case 2:
      return {
        type: "RobertaProcessing",
        sep: pair("</s>"),
        cls: pair("<s>"),
        trim_offsets: flag(random),
        add_prefix_space: flag(random),
      };
    case 3:
      return { type: "ByteLevel", add_prefix_space: flag(random), trim_offsets: flag(random), use_regex: flag(random) };
    case 4:
      return depth > 0 ? { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true } : null;
    default:
      return { type: "Sequence", processors: chain(several(random, 4, () => postProcessor(random, depth + 1))) };
  }
}

/** Hugging Face's library ends the process where a template is given special tokens as texts. */
function chain(processors: (Component | null)[]): (Component | null)[] {
  const first = processors.findIndex((processor) => processor?.type === "TemplateProcessing");
  return first < 0 ? processors : processors.filter((processor, i) => i <= first || processor?.type === "ByteLevel");
}

/** The library ends the process where a token is shorter than what is stripped of its end. */
const ENDS = [
  { start: 0, stop: 0 },
  { start: 1, stop: 0 },
  { start: 2, stop: 0 },
  { start: 0, stop: 1 },
];

function decoder(random: Random, depth = 0): Component | null {
  switch (random(depth < 2 ? 14 : 9)) {
    case 0:
      return { type: "ByteLevel", add_prefix_space: flag(random), trim_offsets: flag(random), use_regex: flag(random) };
    case 1:
      return { type: "WordPiece", prefix: pick(random, ["##", "", "t"]), cleanup: flag(random) };
    case 2: {
      const prepend_scheme = pick(random, ["always", "never", "first"]);
      if (random(3) === 0) return { type: "Metaspace", replacement: "▁", ...pick(random, OLD_PREFIXES) };
      return { type: "Metaspace", replacement: pick(random, ["▁", "_"]), prepend_scheme, split: flag(random) };
    }
    case 3:
      return { type: "BPEDecoder", suffix: pick(random, ["</w>", "", "e"]) };
    case 4:
      return {
        type: "CTC",
        pad_token: pick(random, ["<pad>", "a"]),
        word_delimiter_token: pick(random, ["|", " ", ""]),
        cleanup: flag(random),
      };
    case 5:
      return { type: "Fuse" };
    case 6:
      return {
        type: "Strip",
        content: pick(random, [" ", "▁", "a"]),
        ...pick(random, depth > 0 ? ENDS.slice(0, 3) : ENDS),
      };
    case 7:
      return { type: "Replace", pattern: pattern(random), content: pick(random, ["", " ", "é"]) };
    case 8:
      return { type: "ByteFallback" };
    case 9:
      return null;
    default:
      return { type: "Sequence", decoders: several(random, 5, () => decoder(random, depth + 1) ?? { type: "Fuse" }) };
  }
}

const ADDED = [
  "<s>",
  "</s>",
  "<|end|>",
  "[MASK]",
  "the",
  "é",
  "A b",
  " x",
  "x ",
  "日本",
  "\n",
  "[UNK]",
  "E\u0301",
  "'s",
  "  ",
  "▁",
  "<0x0A>",
  "cat",
];

/** A definition; the same for the same random numbers. */
export function randomDefinition(random: Random, materials: Materials): TokenizerDefinition {
  const tokens = [...new Set(several(random, 6, () => pick(random, ADDED)))];
  const definition: TokenizerDefinition = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: random(4) === 0 ? null : normalizer(random, materials),
    pre_tokenizer: random(5) === 0 ? null : preTokenizer(random),
    post_processor: random(3) === 0 ? null : postProcessor(random),
    decoder: decoder(random),
    model: model(random, materials),
  };
  const size = Array.isArray(definition.model.vocab)
    ? definition.model.vocab.length
    : Object.keys(definition.model.vocab as object).length;
  const known = (content: string): number | undefined => {
    const { vocab } = definition.model;
    if (!Array.isArray(vocab)) return (vocab as Record<string, number>)[content];
    const at = vocab.findIndex(([token]) => token === content);
    return at < 0 ? undefined : at;
  };
  let next = size;
  definition.added_tokens = tokens.map((content) => ({
    id: known(content) ?? next++,
    content,
    single_word: random(4) === 0,
    lstrip: random(3) === 0,
    rstrip: random(3) === 0,
    normalized: flag(random),
    special: flag(random),
  }));
  return definition;
}
