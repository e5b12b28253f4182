import { expect, test } from "vitest";
import {
  byteTokenizer,
  charTokenizer,
  compareTokenizers,
  loadTokenizer,
  trainTokenizer,
} from "../../src/tokenizers/index.js";

test("a tokenizer loads from a URL, encodes and decodes", async () => {
  const trained = await trainTokenizer("the cat sat on the mat, été, 日本語 ".repeat(10), { vocabSize: 280 });
  const url = URL.createObjectURL(new Blob([JSON.stringify(trained)], { type: "application/json" }));
  const tokenizer = await loadTokenizer(url);
  URL.revokeObjectURL(url);
  expect(tokenizer.hash).toBe(trained.hash);
  const text = "the cat 👩‍👩‍👧 日本語";
  const encoding = tokenizer.encode(text);
  expect(tokenizer.decode(encoding.ids)).toBe(text);
  expect(encoding.tokens.slice(0, 2)).toEqual(["the", "Ġcat"]);
  expect(encoding.offsets.at(-1)).toEqual([text.length - 1, text.length]);
});

test("a File does as well, and metrics are a table", async () => {
  const file = new File([JSON.stringify(byteTokenizer())], "tokenizer.json");
  const rows = compareTokenizers({ bytes: await loadTokenizer(file), characters: charTokenizer("ab ") }, "ab ab");
  console.table(rows);
  expect(rows.bytes.tokens).toBe(5);
  expect(rows.characters.coverage).toBe(1);
});

test("models other than BPE are loaded when a file needs them", async () => {
  for (const model of ["wordpiece", "unigram"] as const) {
    const tokenizer = await trainTokenizer("the cat sat on the mat ".repeat(20), { model, vocabSize: 40 });
    expect(tokenizer.decode(tokenizer.encode("the cat").ids)).toBe("the cat");
  }
});
