/** Files that are broken or mean harm, and texts that are not well-formed. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import {
  byteTokenizer,
  charTokenizer,
  compareTokenizers,
  loadTokenizer,
  type TokenizerDefinition,
  tokenizerMetrics,
  trainTokenizer,
} from "tenon/tokenizers";
import { describe, expect, test } from "vitest";
import { regex } from "../../src/tokenizers/regex/regex.js";

const bpe = (model: object = {}, rest: object = {}): TokenizerDefinition => ({
  ...rest,
  model: { type: "BPE", vocab: { a: 0, b: 1, ab: 2 }, merges: ["a b"], ...model },
});
const bytes = (text: string) => new TextEncoder().encode(text);
const circle: Record<string, unknown> = { type: "Sequence" };
circle.normalizers = [circle];
const charsmap = (size: number, ...units: number[]) => {
  const view = new DataView(new ArrayBuffer(4 + 4 * units.length));
  view.setUint32(0, size, true);
  units.forEach((unit, i) => {
    view.setUint32(4 + 4 * i, unit, true);
  });
  return Buffer.from(view.buffer).toString("base64");
};
const precompiled = (text: string) => bpe({}, { normalizer: { type: "Precompiled", precompiled_charsmap: text } });

describe("refused by name", () => {
  const rows: [string, unknown, RegExp][] = [
    ["JSON that ends early", bytes('{"model": {"type": "BPE"'), /is not valid JSON/],
    ["no model", {}, /needs an object model, got undefined/],
    ["a model that is a list", { model: [] }, /needs an object model, got \[\]/],
    [
      "an unknown model",
      { model: { type: "BPEE", vocab: {} } },
      /model: needs a type .* got "BPEE".* Did you mean BPE/,
    ],
    ["a model with a name of Object", { model: { type: "constructor" } }, /needs a type/],
    ["an unknown normalizer", bpe({}, { normalizer: { type: "NFX" } }), /normalizer: needs a type .* got "NFX"/],
    ["an unknown pre-tokenizer", bpe({}, { pre_tokenizer: { type: "toString" } }), /pre_tokenizer: needs a type/],
    ["an unknown decoder", bpe({}, { decoder: { type: "X" } }), /decoder: needs a type/],
    ["an unknown post-processor", bpe({}, { post_processor: { type: "X" } }), /post_processor: needs a type/],
    ["a sequence without parts", bpe({}, { normalizer: { type: "Sequence" } }), /needs its parts/],
    ["a circle", bpe({}, { normalizer: circle }), /nests at most 16 deep/],
    ["a merge of unknown tokens", bpe({ merges: ["a c"] }), /merges\[0\].*"c".*not in it/],
    ["a merge to an unknown token", bpe({ merges: ["b a"] }), /merges\[0\].*"ba".*not in it/],
    ["a merge of three", bpe({ merges: ["a b c"] }), /merges\[0\]: needs two tokens/],
    ["a merge that is a number", bpe({ merges: [7] }), /merges\[0\]: needs two tokens/],
    ["ids out of range", bpe({ vocab: { a: 2 ** 31 }, merges: [] }), /ids are integers.*got 2147483648/],
    ["ids that are texts", bpe({ vocab: { a: "1" }, merges: [] }), /ids are integers/],
    ["negative ids", bpe({ vocab: { a: -1 }, merges: [] }), /ids are integers/],
    ["one id twice", bpe({ vocab: { a: 0, b: 0 }, merges: [] }), /one token for each id/],
    ["dropout above 1", bpe({ dropout: 2 }), /dropout is a number from 0 to 1/],
    ["a score that is missing", { model: { type: "Unigram", vocab: [["a"]] } }, /vocab\[0\]: needs \[token, score\]/],
    ["an unk_id outside", { model: { type: "Unigram", unk_id: 4, vocab: [["a", 0]] } }, /unk_id is a token's id/],
    [
      "a delimiter of no character",
      bpe({}, { pre_tokenizer: { type: "CharDelimiterSplit", delimiter: "" } }),
      /one character/,
    ],
    ["a charsmap that is no base64", precompiled("!!"), /is base64/],
    ["a charsmap that points outside itself", precompiled(charsmap(4000, 1, 2, 3)), /needs a trie/],
    ["a pattern that is no pattern", bpe({}, { pre_tokenizer: { type: "Split", pattern: 3 } }), /needs a pattern/],
    ["an added token without content", bpe({}, { added_tokens: [{ id: 1 }] }), /added_tokens hold objects/],
    ["a page instead of a file", bytes("<!doctype html><title>Not found</title>"), /got "<!doctype html>/],
    ["bytes that are nothing", new Uint8Array([1, 2, 3, 4, 5, 6]), /got "\\u0001\\u0002/],
    ["a SentencePiece model that ends early", new Uint8Array([10, 200, 1, 10, 1]), /does not fit|no SentencePiece/],
    ["a rank that is missing", bytes("YQ== 0\nYg==\n"), /line 2 needs a new token/],
    [
      "a template with an unknown token",
      bpe({}, { post_processor: { type: "TemplateProcessing", single: [{ SpecialToken: { id: "x" } }] } }),
      /special_tokens/,
    ],
    [
      "a template with a second text where there is one",
      bpe({}, { post_processor: { type: "TemplateProcessing", single: [{ Sequence: { id: "B", type_id: 0 } }] } }),
      /needs in single its texts/,
    ],
  ];
  test.each(rows)("%s", async (_, source, message) => {
    await expect(loadTokenizer(source as TokenizerDefinition)).rejects.toThrow(message);
    await expect(loadTokenizer(source as TokenizerDefinition)).rejects.toHaveProperty("name", "FormatError");
  });

  test.each([
    ["(a", "does not close a group"],
    ["a)", "closes a group that was not opened"],
    ["[a", "does not close a bracket"],
    ["*a", "repeats nothing"],
    ["\\p{Nothing}", "needs a known property"],
    ["\\X", "uses"],
    ["(?<=a+)b", "looks behind over any number"],
    ["[b-a]", "range that runs backwards"],
    ["(?P<x>a)", "opens a group with"],
    ["a{200000}", "repeats more than"],
    [`a${"{1}".repeat(20_000)}`, "repeats repetitions"],
    ["(?:a{300}b){300}", "unfolds to more than 60000 steps"],
    ["(?:(?:(?:){3000}){3000}){10}", "unfolds to more than 60000 steps"],
    ["(?:(?:a{0}){3000}){3000}", "unfolds to more than 60000 steps"],
    ["(?:(?=a{300}b)){300}", "unfolds to more than 60000 steps"],
    ["(?:(?>a{300}b)){300}", "unfolds to more than 60000 steps"],
  ])("the expression %s", (pattern, message) => {
    expect(() => regex(pattern)).toThrow(message);
  });
});

test("quantifiers side by side are as many as one likes", () => {
  expect(regex(`(?i)${"a?".repeat(2000)}b`).matches("AB")).toEqual([[0, 2]]);
});

test("what is repeated no times has no length", () => {
  expect(regex("(?<=(?:a*){0}b)c").matches("bc")).toEqual([[1, 2]]);
});

test("expressions that backtrack without end are stopped", () => {
  expect(() => regex("(?=(a+)+b)c").matches("a".repeat(40))).toThrow(/backtracks without end/);
  // As an automaton the same expression is harmless.
  expect(regex("(a+)+b").matches("a".repeat(2000))).toEqual([]);
  expect(() => regex("a*b").matches("a".repeat(100000))).toThrow(/times over/);
});

test("names of Object.prototype are tokens like any other", async () => {
  const vocab = JSON.parse('{"__proto__": 1, "constructor": 2, "u": 0}');
  const tokenizer = await loadTokenizer({ model: { type: "WordLevel", unk_token: "u", vocab } });
  expect(tokenizer.encode("__proto__").ids).toEqual([1]);
  expect(tokenizer.encode("constructor").ids).toEqual([2]);
  expect(tokenizer.encode("toString").ids).toEqual([0]);
  expect(tokenizer.decode([1])).toBe("__proto__");
});

test("also in the other formats", async () => {
  const names = ["constructor", "__proto__", "toString"];
  const words = await loadTokenizer(new File([["[UNK]", "[CLS]", "[SEP]", ...names].join("\n")], "vocab.txt"));
  expect(names.map((name) => words.idOf(name))).toEqual([3, 4, 5]);
  const letters = [...new Set(names.join(""))].map((letter) => `${btoa(letter)} `);
  const ranks = [...letters, ...names.map((name) => `${btoa(name)} `)].map((line, rank) => line + rank).join("\n");
  const tokenizer = await loadTokenizer(bytes(ranks));
  for (const name of names) expect(tokenizer.decode([tokenizer.idOf(name) as number])).toBe(name);
});

test("of equal lines of a vocab.txt the last counts, as for Hugging Face's readers", async () => {
  const lines = ["[UNK]", "[CLS]", "[SEP]", "a", "b", "a"];
  const tokenizer = await loadTokenizer(new File([lines.join("\n")], "vocab.txt"));
  expect(tokenizer.encode("a b", { addSpecialTokens: false }).ids).toEqual([5, 4]);
  expect(tokenizer.decode([4, 5])).toBe("b a");
  expect(() => tokenizer.decode([3])).toThrow(/got 3 at position 0/);
});

test("an id that does not exist is an IndexError with its place", () => {
  const tokenizer = charTokenizer("ab");
  expect(() => tokenizer.decode([0, 9])).toThrow(/got 9 at position 1. The highest id is 1./);
  for (const id of [-1, 0.5, Number.NaN, 2 ** 40]) expect(() => tokenizer.decode([id])).toThrow(/decode: ids/);
});

describe("what is handed over", () => {
  const tokenizer = byteTokenizer();
  const rows: [string, () => unknown, RegExp][] = [
    ["a number", () => tokenizer.encode(5 as never), /encode: needs a text, got 5/],
    ["nothing", () => tokenizer.encode(undefined as never), /encode: needs a text, got undefined/],
    [
      "metrics of nothing",
      () => tokenizerMetrics(tokenizer, undefined as never),
      /tokenizerMetrics: needs a text, or several in a list, got undefined/,
    ],
    [
      "metrics of a number in a comparison",
      () => compareTokenizers({ tokenizer }, 5 as never),
      /compareTokenizers: needs a text, or several in a list, got 5/,
    ],
    ["a list of texts", () => tokenizer.encode(["a"] as never), /encode: needs a text, got \["a"\].*encodeBatch/],
    ["a pair of a number", () => tokenizer.encode("a", { textPair: 5 as never }), /a text as textPair, got 5/],
    [
      "an option of another library",
      () => tokenizer.encode("a", { add_special_tokens: false } as never),
      /encode: has no option "add_special_tokens".*Did you mean "addSpecialTokens"/,
    ],
    ["an unknown unit", () => tokenizer.encode("a", { offsetUnit: "char" as never }), /offsetUnit .*, got "char"/],
    ["a length as padding", () => tokenizer.encode("a", { padding: 8 as never }), /padding needs true or/],
    [
      "a length of padding under another name",
      () => tokenizer.encode("a", { padding: { max_length: 8 } as never }),
      /padding: has no option "max_length"/,
    ],
    [
      "a direction of padding that is none",
      () => tokenizer.encode("a", { padding: { direction: "start" as never } }),
      /padding: needs "right" or "left" for direction, got "start"/,
    ],
    [
      "truncation by another name",
      () => tokenizer.encode("a", { truncation: { maxLength: 8, side: "left" } as never }),
      /truncation: has no option "side"/,
    ],
    ["an id that is no list", () => tokenizer.decode(5 as never), /decode: needs a list of ids, got 5/],
    ["a text as a batch", () => tokenizer.encodeBatch("ab" as never), /encodeBatch: needs a list of texts, got "ab"/],
    ["a batch with a number", () => tokenizer.encodeBatch(["a", 5 as never]), /a text, or two in a list, at 1, got 5/],
    ["a batch with a triple", () => tokenizer.encodeBatch([["a", "b", "c"] as never]), /at 0, got \["a", "b", "c"\]/],
    ["a corpus that is none", () => trainTokenizer(undefined as never), /a corpus of texts and Blobs, got undefined/],
    ["a corpus of numbers", () => trainTokenizer([1] as never), /a corpus of texts and Blobs, got 1/],
  ];
  test.each(rows)("%s", async (_, call, message) => {
    const calling = (async () => call())();
    await expect(calling).rejects.toThrow(message);
    await expect(calling).rejects.toHaveProperty("name", "ConfigError");
  });

  test("Node's console shows what a tokenizer is, not its tables", () => {
    expect(inspect(tokenizer)).toBe("Tokenizer(BPE, 256 tokens)");
  });
});

test("lone surrogates count as U+FFFD, of the same length", () => {
  const tokenizer = byteTokenizer();
  const encoding = tokenizer.encode("a\ud800b\udc00");
  expect(tokenizer.decode(encoding.ids)).toBe("a\ufffdb\ufffd");
  expect(encoding.offsets[4]).toEqual([2, 3]);
});

test("a charsmap whose entry points outside its texts is refused where it is used", async () => {
  // Unit 0 leads to unit 97 ("a"), a leaf whose value lies far outside.
  const units = new Array(256).fill(0);
  units[0] = 0;
  units[97] = 97 | (1 << 8) | ((97 ^ 100) << 10);
  units[100] = 0x7fffffff;
  const tokenizer = await loadTokenizer(precompiled(charsmap(4 * units.length, ...units)));
  expect(() => tokenizer.encode("a")).toThrow(/points to byte/);
});

test("the unknown token of metrics is the model's, not a word that looks like one", async () => {
  const words = (unk_token: string) => ({ model: { type: "WordLevel", unk_token, vocab: { unk: 0, "?": 1 } } });
  expect(tokenizerMetrics(await loadTokenizer(words("?")), ["unk"]).unknownRate).toBe(0);
  expect(tokenizerMetrics(await loadTokenizer(words("?")), ["x"]).unknownRate).toBe(1);
  expect(tokenizerMetrics(await loadTokenizer(words("unk")), ["x"]).unknownRate).toBe(1);
});

test("a server that fails is no file that is missing; addresses may go on behind the name", async () => {
  let broken = "/broken/tokenizer.json";
  const files: Record<string, string> = {
    "/vocab.json": '{"a": 0, "b": 1, "ab": 2}',
    "/merges.txt": "#version: 0.2\na b\n",
    "/vocab.txt": "[CLS]\n[SEP]\n[UNK]\na\n",
  };
  const server = createServer(({ url = "" }, response) => {
    const file = files[url.replace(/^\/broken/, "").replace("?download=true", "")];
    response.writeHead(url === broken ? 503 : file === undefined ? 404 : 200).end(file);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
      broken = `/broken/${name}`;
      await expect(loadTokenizer(`${address}/broken/`)).rejects.toThrow(`${name}: needs status 200, got 503`);
    }
    expect((await loadTokenizer(`${address}/`)).encode("ab").ids).toEqual([2]);
    expect((await loadTokenizer(`${address}/vocab.json?download=true`)).encode("ab").ids).toEqual([2]);
    expect((await loadTokenizer(`${address}/vocab.txt?download=true`)).encode("a").ids).toEqual([0, 3, 1]);
  } finally {
    await new Promise((closed) => server.close(closed));
  }
});

test("a file that is no UTF-8 is refused, not read with other characters", async () => {
  const bytes = new TextEncoder().encode(JSON.stringify(charTokenizer("aé")));
  expect((await loadTokenizer(bytes)).encode("é").ids).toEqual([1]);
  const latin1 = Uint8Array.from(Buffer.from(JSON.stringify(charTokenizer("aé")), "latin1"));
  await expect(loadTokenizer(latin1)).rejects.toThrow("tokenizer: needs UTF-8, got other bytes");
});

test("an answer that is cut off, a wrong address and a server that is not there are told apart", async () => {
  const server = createServer((request, response) => {
    response.writeHead(request.url === "/cut.json" ? 200 : 404, { "content-length": 1000 });
    response.write('{"model": ', () => response.destroy());
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    await expect(loadTokenizer(`${address}/cut.json`)).rejects.toThrow(
      /cut\.json: needs the whole file, got .* cut off/,
    );
    await expect(loadTokenizer(`${address}/none.json`)).rejects.toThrow(/none\.json: needs status 200, got 404/);
  } finally {
    await new Promise((closed) => server.close(closed));
  }
  await expect(loadTokenizer(`${address}/cut.json`)).rejects.toThrow(/cannot be fetched/);
});
