/** The Unigram trainer, step by step. */
import { trainTokenizer } from "tenon/tokenizers";
import { expect, test } from "vitest";
import { Lattices } from "../../src/tokenizers/train/lattices.js";
import { repeats } from "../../src/tokenizers/train/repeats.js";
import { trainUnigram } from "../../src/tokenizers/train/unigram.js";

const options = {
  specialTokens: [],
  unknownToken: "<unk>",
  seedSize: 1e6,
  maxTokenLength: 16,
  shrinkingFactor: 0.75,
  rounds: 2,
};
const sentence = "low lower lowest new newer newest wide wider widest slow slower slowest 日本語 日本 👩‍👩‍👧 👩";
const words = new Map(sentence.split(" ").map((word, i): [string, number] => [`▁${word}`, 3 + ((i * 5) % 7)]));

test("seeds are the substrings that go on in different ways", () => {
  // "ab" is followed by "c", "d" and an end; "bc" and "abc" only by an end; "b" and "a" are single characters.
  expect(repeats(["abc", "abd", "ab", "xabc"], 16)).toEqual([["ab", 8]]);
  expect(repeats(["aaaa"], 16).sort()).toEqual([
    ["aa", 6],
    ["aaa", 6],
  ]);
  expect(repeats(["aaaa"], 2)).toEqual([["aa", 6]]);
  expect(repeats([], 16)).toEqual([]);
});

/** All ways to cut a text, with their probabilities. */
function* cuts(text: string[], pieces: Map<string, number>): Generator<[string[], number]> {
  if (text.length === 0) yield [[], 1];
  for (let length = 1; length <= text.length; length++) {
    const piece = text.slice(0, length).join("");
    const probability = pieces.get(piece);
    if (probability === undefined) continue;
    for (const [rest, other] of cuts(text.slice(length), pieces)) yield [[piece, ...rest], probability * other];
  }
}

test("expectations and best paths are those of all ways to cut a word", () => {
  const list: [string, number][] = [
    ["a", 0.2],
    ["b", 0.1],
    ["ab", 0.3],
    ["ba", 0.15],
    ["aba", 0.05],
    ["👩", 0.2],
  ];
  const pieces = new Map(list);
  const texts = ["", ...pieces.keys()];
  const counts = new Map([
    ["abab", 3],
    ["ba", 1],
    ["aabba👩ab", 2],
  ]);
  const lattices = new Lattices(counts, texts, 16);
  const { expected, objective } = lattices.expectations(Float64Array.from([1e-9, ...pieces.values()]));
  const wanted = new Array(texts.length).fill(0);
  let likelihood = 0;
  for (const [word, count] of counts) {
    const all = [...cuts([...word], pieces)];
    const total = all.reduce((sum, [, probability]) => sum + probability, 0);
    likelihood += count * Math.log(total);
    for (const [cut, probability] of all) {
      for (const piece of cut) wanted[texts.indexOf(piece)] += (count * probability) / total;
    }
  }
  for (const [id, count] of wanted.entries()) expect(expected[id], texts[id]).toBeCloseTo(count, 12);
  expect(objective).toBeCloseTo(-likelihood / 6, 12);
  const scores = Float64Array.from([-30, ...[...pieces.values()].map(Math.log)]);
  expect(lattices.best(0, scores).map((id) => texts[id])).toEqual(["ab", "ab"]);
  expect(lattices.best(0, scores, texts.indexOf("ab")).map((id) => texts[id])).toEqual(["aba", "b"]);
  // After "a" is dropped the pieces have new numbers, and what only "a" could spell is unknown.
  lattices.keep([2, 3]);
  expect(lattices.best(1, scores)).toEqual([1, 0]);
});

test("words of any length: no sum runs out of its range", () => {
  const lattices = new Lattices(new Map([["ab".repeat(20_000), 1]]), ["", "a", "b", "ab"], 16);
  const { expected, objective } = lattices.expectations(Float64Array.of(1e-12, 1e-8, 1e-8, 1e-15));
  // Each "ab" is two pieces with odds of 1e-16 to 1e-15.
  expect(expected[3]).toBeCloseTo(20_000 * (10 / 11), 6);
  expect(expected[1]).toBeCloseTo(20_000 / 11, 6);
  expect(objective).toBeCloseTo(-20_000 * Math.log(1e-16 + 1e-15), 3);
});

test("between two rounds of dropping the likelihood grows; sizes shrink to what was asked for", () => {
  const steps: { pieces: number; objective: number }[] = [];
  const vocab = trainUnigram(words, { ...options, vocabSize: 26, onStep: (step) => steps.push(step) });
  expect(vocab.length).toBeLessThanOrEqual(26);
  expect(vocab[0]).toEqual(["<unk>", 0]);
  for (const character of new Set([...words.keys()].join("")))
    expect(vocab.map(([token]) => token)).toContain(character);
  const scores = vocab.slice(1).map(([, score]) => score);
  expect(scores).toEqual([...scores].sort((a, b) => b - a));
  for (let i = 1; i < steps.length; i++) expect(steps[i].pieces).toBeLessThanOrEqual(steps[i - 1].pieces);
  for (let i = 0; i + 1 < steps.length; i += 2) {
    if (steps[i].pieces === steps[i + 1].pieces) {
      expect(steps[i + 1].objective).toBeLessThanOrEqual(steps[i].objective + 0.1);
    }
  }
  expect(trainUnigram(words, { ...options, vocabSize: 26 })).toEqual(vocab);
});

test("a vocabulary without room for all characters is refused", async () => {
  const training = trainTokenizer("abcdefgh", { model: "unigram", vocabSize: 6 });
  await expect(training).rejects.toThrow(/room for 1 special tokens and 9 characters, got 6/);
});
