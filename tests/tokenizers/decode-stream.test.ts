/** Streams of ids whose text changes behind what went out, and those of which nothing goes out. */
import { byteTokenizer, loadTokenizer } from "tenon/tokenizers";
import { expect, test } from "vitest";

const tokens = ["▁Hi", "<0x0A>", "<0xE4>", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "<0x81>", "▁there", "<s>"];
const fallback = await loadTokenizer({
  added_tokens: [{ id: 9, content: "<s>", special: true }],
  decoder: {
    type: "Sequence",
    decoders: [
      { type: "Replace", pattern: { String: "▁" }, content: " " },
      { type: "ByteFallback" },
      { type: "Fuse" },
      { type: "Strip", content: " ", start: 1, stop: 0 },
    ],
  },
  model: { type: "WordLevel", vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), unk_token: "<s>" },
});
const streamed = (names: string[]) => {
  const stream = fallback.decodeStream();
  return [...names.map((name) => stream.push(fallback.idOf(name)!)), stream.end()];
};

test("a byte that spoils the one before it ends no stream", () => {
  // Both bytes become U+FFFD, but the line feed is out already.
  expect(streamed(["▁Hi", "<0x0A>", "<0xE4>", "▁there", "▁Hi"])).toEqual([
    "Hi",
    "\n",
    "",
    "\ufffd\ufffd there",
    " Hi",
    "",
  ]);
  expect(streamed(["▁Hi", "<0x0A>", "<0xE4>"])).toEqual(["Hi", "\n", "", "\ufffd\ufffd"]);
});

test("characters go out whole", () => {
  const emoji = (last: string) => ["<0xF0>", "<0x9F>", "<0x98>", last];
  const parts = streamed([...emoji("<0x80>"), ...emoji("<0x81>"), "▁there"]);
  expect(parts).toEqual(["", "", "", "😀", "", "", "", "😁", " there", ""]);
});

test("special tokens and halves of characters without end are not decoded again and again", () => {
  const stream = byteTokenizer().decodeStream();
  const special = fallback.decodeStream();
  const started = performance.now();
  let text = "";
  for (let i = 0; i < 8_000; i++) {
    text += stream.push(0x80);
    expect(special.push(9)).toBe("");
  }
  expect(special.push(0)).toBe("Hi");
  expect(text + stream.end()).toBe("\ufffd".repeat(8_000));
  expect(performance.now() - started).toBeLessThan(2000);
});
