/** Cutting and filling up, where much is cut. What is cut how: `pipelines.test.ts`. */
import { byteTokenizer, loadTokenizer, type TokenizerDefinition } from "tenon/tokenizers";
import { expect, test } from "vitest";

const words = { the: 0, cat: 1, Ġthe: 2, Ġcat: 3, "<s>": 4, "</s>": 5 };
const roberta: TokenizerDefinition = {
  pre_tokenizer: { type: "ByteLevel", add_prefix_space: false },
  post_processor: {
    type: "RobertaProcessing",
    cls: ["<s>", 4],
    sep: ["</s>", 5],
    trim_offsets: true,
    add_prefix_space: false,
  },
  model: { type: "WordLevel", vocab: words, unk_token: "the" },
};

test("a pair of long texts makes no part of its overflow before that is asked for", async () => {
  const tokenizer = await loadTokenizer(roberta);
  const [text, textPair] = ["the cat ".repeat(8000), "cat the ".repeat(8000)];
  const started = performance.now();
  const encoding = tokenizer.encode(text, { textPair, truncation: 12 });
  // All parts of the one with all of the other, 64 million tokens, took the memory of the process.
  expect(encoding.ids.length).toBe(12);
  expect(encoding.offsets[1]).toEqual([0, 3]);
  expect(performance.now() - started).toBeLessThan(2000);
  const few = tokenizer.encode("the cat the cat the", { textPair: " cat cat cat cat", truncation: 8 });
  expect(few.overflowing.map(({ ids }) => ids.join(" "))).toEqual([
    ...["4 2 3 5 5 3 3 5", "4 2 3 5 5 3 3 5", "4 2 5 5 3 3 5", "4 2 5 5 3 3 5", "4 0 3 5 5 3 3 5"],
  ]);
  expect(few.overflowing).toBe(few.overflowing);
});

test("white space is taken out of offsets once, also of tokens that two parts share", async () => {
  const tokenizer = await loadTokenizer(roberta);
  const { offsets, overflowing } = tokenizer.encode("the cat the cat", { truncation: { maxLength: 5, stride: 2 } });
  const all = [offsets, ...overflowing.map((part) => part.offsets)];
  expect(all).toEqual([
    [
      [0, 0],
      [0, 3],
      [4, 7],
      [8, 11],
      [0, 0],
    ],
    [
      [0, 0],
      [4, 7],
      [8, 11],
      [12, 15],
      [0, 0],
    ],
  ]);
});

test.each([
  { truncation: 5 },
  { truncation: { maxLength: 5, direction: "left" } },
  { truncation: { maxLength: 11, strategy: "onlySecond" } },
  { truncation: 0 },
  { padding: { length: 12, direction: "left" } },
  { truncation: 7, padding: { multipleOf: 4 } },
  { truncation: 4, addSpecialTokens: false },
] as const)("ids without a row are those of the row: %o", async (options) => {
  const tokenizer = await loadTokenizer(roberta);
  for (const textPair of options.truncation && typeof options.truncation === "object"
    ? [" cat the"]
    : [undefined, " cat the"]) {
    const encoding = tokenizer.encode("the", { textPair, ...options });
    expect(encoding.ids).toEqual(encoding.row().ids);
    const long = byteTokenizer().encode("abcdefgh", { textPair: textPair ?? "ijklmnopqr", ...options });
    expect(long.ids).toEqual(long.row().ids);
  }
});
