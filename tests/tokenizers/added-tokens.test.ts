/** Added tokens, many and odd ones. */
import { loadTokenizer, type TokenizerDefinition } from "tenon/tokenizers";
import { expect, test } from "vitest";
import { numbers } from "./random-definition.js";

const tokenizer = (contents: string[], flags: object = {}) =>
  loadTokenizer({
    added_tokens: contents.map((content, i) => ({ id: i + 1, content, normalized: false, special: true, ...flags })),
    model: { type: "BPE", vocab: { "\0": 0 }, merges: [] },
  } as TokenizerDefinition);

test("the longest token at the leftmost place is found, as alternatives sorted by length find it", async () => {
  const random = numbers(5);
  const word = () => Array.from({ length: 1 + random(5) }, () => "ab(*"[random(4)]).join("");
  for (let round = 0; round < 200; round++) {
    const contents = [...new Set(Array.from({ length: 1 + random(8) }, word))];
    const text = Array.from({ length: 12 }, word).join("");
    const literal = (content: string) => content.replace(/[(*]/g, "\\$&");
    const longestFirst = [...contents].sort((a, b) => b.length - a.length).map(literal);
    const wanted = text.match(new RegExp(longestFirst.join("|"), "g")) ?? [];
    expect((await tokenizer(contents)).encode(text).tokens, `${contents} in ${text}`).toEqual(wanted);
  }
});

test("thousands of them are looked for as fast as a few", async () => {
  const han = Array.from({ length: 3000 }, (_, i) => String.fromCharCode(0x4e00 + i));
  const places = (i: number) => [i * 7919, i * 104729 + (i % 13), i * 31 + Math.floor(i / 3000)];
  const many = Array.from({ length: 6000 }, (_, i) =>
    String.fromCharCode(...places(i).map((at) => 0x4e00 + (at % 3000))),
  );
  expect(new Set(many).size).toBe(6000);
  const loaded = await tokenizer(many);
  const started = performance.now();
  expect(loaded.encode(han.join("").repeat(10)).ids).toEqual([]);
  expect(loaded.encode(many.slice(0, 3).join("")).tokens).toEqual(many.slice(0, 3));
  expect(performance.now() - started).toBeLessThan(2000);
});

test("white space that tokens take along is looked through once", async () => {
  const loaded = await tokenizer([" "], { rstrip: true });
  const started = performance.now();
  expect(loaded.encode(" ".repeat(40_000)).ids.length).toBe(40_000);
  expect(performance.now() - started).toBeLessThan(2000);
  const { offsets } = loaded.encode("   a b");
  expect(offsets).toEqual([
    [0, 3],
    [1, 3],
    [2, 3],
    [4, 5],
  ]);
});
