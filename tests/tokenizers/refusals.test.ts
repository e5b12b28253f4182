/** Settings and arguments that are none, each refused by name; and files of families that look alike. */
import { readFileSync } from "node:fs";
import {
  byteTokenizer,
  charTokenizer,
  loadTokenizer,
  type TokenizerDefinition,
  type VocabAndMerges,
} from "tenon/tokenizers";
import { expect, test } from "vitest";
import { data, hasData } from "./data.js";

const words = { type: "WordLevel", vocab: { a: 0 }, unk_token: "a" };
const load = (parts: object) => loadTokenizer({ model: words, ...parts } as TokenizerDefinition);
const template = (token: object) => ({
  post_processor: {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "x", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    special_tokens: { x: token },
  },
});
const deep = Array.from({ length: 20_000 }).reduce((inner: object) => ({ inner }), {});
const long = "x".repeat(1_000_000);

test.each<[object, RegExp]>([
  [{ normalizer: { type: "Sequence", decoders: [] } }, /normalizer needs its parts in a list normalizers/],
  [{ normalizer: { type: "Prepend" } }, /normalizer \(Prepend\): needs a text prepend, got undefined/],
  [
    { normalizer: { type: "Replace", pattern: "a", content: 5 } },
    /normalizer \(Replace\): needs a text content, got 5/,
  ],
  [{ decoder: { type: "Replace", pattern: "a" } }, /decoder \(Replace\): needs a text content, got undefined/],
  [{ decoder: { type: "Strip", content: "a", start: "1" } }, /whole numbers start and stop, got \["1", 0\]/],
  [{ decoder: { type: "WordPiece", prefix: 5 } }, /decoder \(WordPiece\): needs a text prefix, got 5/],
  [{ pre_tokenizer: { type: "FixedLength", length: 0 } }, /needs a length from 1 up, got 0/],
  [{ pre_tokenizer: { type: "Metaspace", prepend_scheme: "alway" } }, /got "alway"\. Did you mean always/],
  [template({}), /special_tokens\["x"\]: needs ids and as many tokens, got undefined/],
  [template({ ids: ["q"], tokens: ["q"] }), /needs ids and as many tokens, got \["q"\]/],
  [template({ ids: [1], tokens: [] }), /needs ids and as many tokens/],
  [
    { added_tokens: [{ id: 1, content: "a".repeat(2000) }] },
    /added_tokens hold at most 1024 characters each, got 2000/,
  ],
  [{ model: { ...words, deep } }, /model nests at most 16 deep/],
  [{ model: { type: "BPE", vocab: long, merges: [] } }, /got "x{60}…"/],
  [{ model: { type: "Unigram", vocab: [long] } }, /got "x{60}…"/],
  [{ pre_tokenizer: { type: "Split", pattern: { Regex: `(${long}` }, behavior: "Isolated" } }, /regex "\(x{59}…"/],
])("settings %#", async (parts, message) => {
  const error = await load(parts).catch((error: Error) => error);
  expect(error).toMatchObject({ name: "FormatError", message: expect.stringMatching(message) });
  expect((error as Error).message.length).toBeLessThan(300);
});

const tokenizer = byteTokenizer();
const fixed = (padding: unknown) => load({ padding }).then((loaded) => loaded.encode("a", { padding: true }));
test.each<[() => unknown, RegExp]>([
  [() => tokenizer.decodeBatch(5 as never), /decodeBatch: needs a list of lists of ids, got 5/],
  [() => tokenizer.decodeBatch([[1], 2] as never), /decodeBatch: needs a list of ids at 1, got 2/],
  [() => tokenizer.decode([1], { skip_special_tokens: false } as never), /Did you mean "skipSpecialTokens"/],
  [() => charTokenizer(undefined as never), /charTokenizer: needs a text, got undefined/],
  [() => tokenizer.encode("a", { padding: { length: 2 ** 40 } }), /at most 16777216 tokens for the length, got 1099/],
  [
    () => tokenizer.encode("a", { padding: { multipleOf: 2 ** 40 } }),
    /at most 16777216 tokens for the length, got 1099/,
  ],
  [() => tokenizer.encode("a", { padding: { id: "x" as never } }), /from 0 up for id, got "x"/],
  [() => fixed({ strategy: { Fixed: "x" } }), /from 0 up for length, got "x"/],
  [
    () => load({ truncation: { max_length: 1, strategy: 5 } }).then((t) => t.encode("a", { truncation: true })),
    /got 5/,
  ],
  [() => loadTokenizer({ model: words }, { confg: {} } as never), /Did you mean "config"/],
])("arguments %#", async (call, message) => {
  const error = await (async () => call())().catch((error: Error) => error);
  expect(error).toMatchObject({ name: "ConfigError", message: expect.stringMatching(message) });
});

test("padding without a strategy pads to the longest", async () => {
  expect((await fixed({ strategy: null })).ids).toEqual([0]);
});

test("a piece that is too long for a message is cut in it", async () => {
  const unknowing = await load({ model: { ...words, unk_token: "?" } });
  expect(() => unknowing.encode(long)).toThrow(/for "x{60}…", got "\?"/);
});

test("long tokens of rank files and of .model files are refused, and not worked out", async () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const ranks = (length: number) => bytes(`YQ== 0\n${btoa("a".repeat(length))} 1\n`);
  const started = performance.now();
  await expect(loadTokenizer(ranks(5000))).rejects.toThrow(/line 2 needs a token of at most 4096 bytes, got 5000/);
  expect((await loadTokenizer(ranks(4096))).vocabSize).toBe(2);
  const number = (value: number) => (value < 128 ? [value] : [(value & 127) | 128, value >> 7]);
  const field = (tag: number, content: number[]) => [tag, ...number(content.length), ...content];
  const model = (length: number) =>
    new Uint8Array([...field(10, field(10, [...bytes("b".repeat(length))])), ...field(18, [24, 2])]);
  await expect(loadTokenizer(model(5000))).rejects.toThrow(/pieces of at most 4096 characters, got one of 5000/);
  expect((await loadTokenizer(model(4000))).vocabSize).toBe(1);
  expect(performance.now() - started).toBeLessThan(4000);
});

const files = (extra: Record<string, number> = {}): VocabAndMerges => ({
  vocab: { "<s>": 0, "</s>": 1, "<mask>": 2, a: 3, Ġ: 4, Ġa: 5, ...extra },
  merges: "#version: 0.2\nĠ a\n",
});

test("vocab.json and merges.txt are read as their class says", async () => {
  const roberta = await loadTokenizer(files(), { config: { tokenizer_class: "RobertaTokenizer" } });
  expect(roberta.encode("a <mask>", { textPair: "a" }).ids).toEqual([0, 3, 2, 1, 1, 3, 1]);
  const prefixed = await loadTokenizer(files(), {
    config: { tokenizer_class: "GPT2Tokenizer", add_prefix_space: true },
  });
  expect(prefixed.encode("a").ids).toEqual([5]);
  const begun = await loadTokenizer(files(), { config: { add_bos_token: true, bos_token: "<s>" } });
  expect(begun.encode("a", { textPair: "a" }).ids).toEqual([0, 3, 0, 3]);
  expect((await loadTokenizer(files())).encode("a a").ids).toEqual([3, 5]);
});

test.each([
  [files({ "a</w>": 6 }), {}, /byte-level tokens without <\/w>, got "a<\/w>"/],
  [files(), { tokenizer_class: "Qwen2Tokenizer" }, /a tokenizer_class like .* got "Qwen2Tokenizer"\. Save it as/],
  [{ vocab: { a: 0 }, merges: "" }, { tokenizer_class: "BartTokenizer" }, /its bos_token in the vocabulary, got "<s>"/],
])("those of other families are refused %#", async (source, config, message) => {
  await expect(loadTokenizer(source as VocabAndMerges, { config })).rejects.toThrow(message);
});

test.skipIf(!hasData)("RoBERTa's ids from its vocabulary and merges", async () => {
  const { model } = JSON.parse(readFileSync(`${data}/tokenizers/roberta-base/tokenizer.json`, "utf8"));
  const merges = model.merges.map((merge: string | string[]) => (Array.isArray(merge) ? merge.join(" ") : merge));
  const source = { vocab: model.vocab, merges: merges.join("\n") };
  const loaded = await loadTokenizer(source, { config: { tokenizer_class: "RobertaTokenizer" } });
  expect(loaded.encode("Hello world").ids).toEqual([0, 31414, 232, 2]);
});
