/** Trainers: merges of reference implementations, determinism, options. */
import { readFileSync } from "node:fs";
import { charTokenizer, loadTokenizer, type TrainOptions, trainTokenizer } from "tenon/tokenizers";
import { describe, expect, test } from "vitest";
import { data, hasData } from "./data.js";

const sentence = "the cat sat on the mat and the cat ate the rat that sat on the other mat";
const corpus = `${sentence} `.repeat(5);

test.skipIf(!hasData)("the merges and vocabulary of Stanford's CS336 reference", async () => {
  const folder = `${data}/text/cs336-fixtures`;
  const merges = readFileSync(`${folder}/train-bpe-reference-merges.txt`, "utf8").split("\n").filter(Boolean);
  const vocab = JSON.parse(readFileSync(`${folder}/train-bpe-reference-vocab.json`, "utf8"));
  const tokenizer = await trainTokenizer(readFileSync(`${folder}/corpus.en`, "utf8"), {
    vocabSize: 500,
    specialTokens: ["<|endoftext|>"],
    ties: "greatestText",
    splitSpecialTokens: true,
  });
  const { model } = tokenizer.toJSON() as { model: { merges: [string, string][]; vocab: Record<string, number> } };
  expect(model.merges.map((merge) => merge.join(" "))).toEqual(merges);
  expect(Object.keys(model.vocab).sort()).toEqual(Object.keys(vocab).sort());
});

describe("byte-pair encoding", () => {
  test("a large corpus after a small text: the limit to a regular expression's work is that of each text", async () => {
    const small = await trainTokenizer("a b", { vocabSize: 257 });
    expect(small.decode(small.encode("a b").ids)).toBe("a b");
    const large = await trainTokenizer("the cat ".repeat(1_600_000), { vocabSize: 259 });
    expect(large.toJSON().model.merges).toHaveLength(3);
  });

  test("the most frequent pair first; of equals the one of lower ids", async () => {
    // "ab" 3 times, "bc" and "cd" twice each: after "ab", "c d" has the lower ids of what is left.
    const tokenizer = await trainTokenizer("ab ab ab cd cd ef ef", {
      byteLevel: false,
      preTokenizer: { type: "WhitespaceSplit" },
      vocabSize: 10,
    });
    const { model } = tokenizer.toJSON() as { model: { merges: string[][]; vocab: Record<string, number> } };
    expect(model.merges).toEqual([
      ["a", "b"],
      ["c", "d"],
      ["e", "f"],
    ]);
    expect(Object.keys(model.vocab)).toEqual(["<unk>", "a", "b", "c", "d", "e", "f", "ab", "cd", "ef"]);
  });

  test("runs of one character merge from the left", async () => {
    const tokenizer = await trainTokenizer("aaaa aaaa aaa", {
      byteLevel: false,
      preTokenizer: { type: "WhitespaceSplit" },
      vocabSize: 4,
    });
    expect(tokenizer.toJSON().model.merges).toEqual([
      ["a", "a"],
      ["aa", "aa"],
    ]);
  });

  test("minimum frequency, alphabet limit, special tokens", async () => {
    const tokenizer = await trainTokenizer(corpus, {
      vocabSize: 5000,
      minFrequency: 1000,
      specialTokens: ["<s>", "</s>"],
    });
    expect(tokenizer.vocabSize).toBe(258);
    expect(tokenizer.encode("a<s>b").tokens).toEqual(["a", "<s>", "b"]);
    expect([tokenizer.idOf("<s>"), tokenizer.idOf("</s>")]).toEqual([0, 1]);
    const small = await trainTokenizer(corpus, { byteLevel: false, limitAlphabet: 3, vocabSize: 4 });
    expect(small.vocabSize).toBe(4);
  });
});

describe.each(["bpe", "wordpiece", "unigram"] as const)("%s", (model) => {
  test("is deterministic, encodes its corpus, survives saving, reads streams", async () => {
    const phases: string[] = [];
    const options = { model, vocabSize: model === "bpe" ? 300 : 60 };
    const first = await trainTokenizer([corpus, corpus], { ...options, onProgress: ({ phase }) => phases.push(phase) });
    async function* stream() {
      yield corpus;
      yield new Blob([corpus]);
    }
    const second = await trainTokenizer(stream(), options);
    expect(second.hash).toBe(first.hash);
    expect(new Set(phases)).toEqual(new Set(["reading", "training"]));
    expect(first.vocabSize).toBeLessThanOrEqual(options.vocabSize);
    const text = "the cat sat on the mat";
    expect(first.decode(first.encode(text).ids)).toBe(text);
    expect(first.encode(text).length).toBeLessThan(text.length * (model === "unigram" ? 0.75 : 0.5));
    const again = await loadTokenizer(JSON.parse(JSON.stringify(first)));
    expect(again.encode(text).ids).toEqual(first.encode(text).ids);
  });
});

describe("what is trained spells what it reads", () => {
  const text = "the café is the café of the café, naïve café ".repeat(10);
  test.each([
    { preTokenizer: { type: "Digits" } },
    { preTokenizer: null },
    { preTokenizer: { type: "Sequence", pretokenizers: [{ type: "Digits" }, { type: "Punctuation" }] } },
    { preTokenizer: { type: "Sequence", pretokenizers: [{ type: "Digits" }, { type: "ByteLevel" }] } },
    { preTokenizer: null, normalizer: { type: "ByteLevel" } },
    { byteLevel: false },
    { byteLevel: false, endOfWordSuffix: "</w>" },
    { byteLevel: false, continuingSubwordPrefix: "##" },
    { byteLevel: false, endOfWordSuffix: "</w>", preTokenizer: { type: "WhitespaceSplit" } },
    { model: "wordpiece", normalizer: null, continuingSubwordPrefix: "++" },
    { model: "unigram" },
  ] as const)("%j", async (options) => {
    const tokenizer = await trainTokenizer(text, { vocabSize: 300, ...options } as TrainOptions);
    const ids = tokenizer.encode("the naïve café").ids;
    expect(tokenizer.decode(ids).trim()).toBe("the naïve café");
    expect(ids.length).toBeLessThan(12);
  });

  test("bytes that no text held have tokens behind any pre-tokenizer", async () => {
    const tokenizer = await trainTokenizer(text, { vocabSize: 300, preTokenizer: { type: "Whitespace" } });
    expect(tokenizer.decode(tokenizer.encode("日本語🙂").ids)).toBe("日本語🙂");
  });
});

test("a character that a limit drops counts where it is a special token, as in Hugging Face's trainer", async () => {
  const options = { vocabSize: 6, limitAlphabet: 2, byteLevel: false, preTokenizer: { type: "WhitespaceSplit" } };
  const tokenizer = await trainTokenizer("abab abab cc", { ...options, specialTokens: ["c"], unknownToken: "a" });
  expect(tokenizer.toJSON().model.merges).toContainEqual(["c", "c"]);
});

test("no tokenizer is made of nothing", async () => {
  for (const empty of ["", [], ["", new Blob([])], (async function* () {})()])
    for (const model of ["bpe", "wordpiece", "unigram"] as const)
      await expect(trainTokenizer(empty, { model })).rejects.toThrow(
        /^trainTokenizer: needs a text to learn from, got none\.$/,
      );
  expect(() => charTokenizer("")).toThrow("charTokenizer: needs a text to learn from, got none.");
});

test("options that make no sense are refused", async () => {
  const deep = Array.from({ length: 20_000 }).reduce((part: object) => ({ type: "Sequence", pretokenizers: [part] }), {
    type: "ByteLevel",
  });
  const rows: [object | null | number, RegExp][] = [
    [{ vocabsize: 3 }, /Did you mean "vocabSize"/],
    [null, /needs its options as an object, got null/],
    [300, /needs its options as an object, got 300/],
    [{ vocabSize: 0 }, /whole number from 1 up for vocabSize, got 0/],
    [{ minFrequency: -1 }, /whole number from 0 up for minFrequency/],
    [{ model: "bpee" }, /"bpe", "wordpiece" or "unigram" for model, got "bpee"/],
    [{ ties: "greatest" }, /"lowestIds" or "greatestText" for ties/],
    [{ limitAlphabet: -1 }, /from 1 up for limitAlphabet, got -1/],
    [{ maxTokenLength: "x" }, /from 1 up for maxTokenLength, got "x"/],
    [{ model: "unigram", maxTokenLength: Number.NaN }, /from 1 up for maxTokenLength, got NaN/],
    [{ specialTokens: "<s>" }, /a list of texts for specialTokens, got "<s>"/],
    [{ initialAlphabet: [""] }, /a list of texts for initialAlphabet/],
    [{ unknownToken: "" }, /a text for unknownToken/],
    [{ model: "wordpiece", endOfWordSuffix: "</w>" }, /wordpiece has no use for endOfWordSuffix/],
    [{ model: "unigram", initialAlphabet: ["z"] }, /unigram has no use for initialAlphabet/],
    [{ endOfWordSuffix: "</w>" }, /needs byteLevel: false with endOfWordSuffix/],
    [{ continuingSubwordPrefix: "##" }, /needs byteLevel: false with continuingSubwordPrefix/],
    [{ preTokenizer: deep }, /nests at most 16 deep/],
    [{ preTokenizer: { type: "Sequence" } }, /pre_tokenizer needs its parts/],
  ];
  for (const [options, message] of rows) await expect(trainTokenizer("a", options as never)).rejects.toThrow(message);
});
