/** Bytes of another realm, such as a test runner's or a frame's: no `instanceof` knows them, every door takes them. */
import { runInNewContext } from "node:vm";
import { createModel, loadModel } from "tenon";
import { fromCsv } from "tenon/data";
import { MemoryStore } from "tenon/runs";
import { byteTokenizer, loadTokenizer } from "tenon/tokenizers";
import { expect, test } from "vitest";
import { bytesOf, isBytes } from "../../src/core/bytes.js";

const TheirBytes = runInNewContext("Uint8Array") as Uint8ArrayConstructor;
const theirs = (text: string) => TheirBytes.from(new TextEncoder().encode(text));

test("what bytes are", () => {
  expect(theirs("a")).not.toBeInstanceOf(Uint8Array);
  for (const bytes of [theirs("ab"), new Uint8Array([97, 98]), Buffer.from("ab")]) {
    expect(isBytes(bytes)).toBe(true);
    expect(bytesOf(bytes)).toEqual(new Uint8Array([97, 98]));
    expect(bytesOf(bytes)!.buffer).toBe(bytes.buffer);
  }
  expect(bytesOf(theirs("ab").buffer)).toEqual(new Uint8Array([97, 98]));
  for (const other of ["ab", [97], new Int8Array(1), new DataView(new ArrayBuffer(1)), null, undefined, new Blob([])]) {
    expect(isBytes(other)).toBe(false);
    expect(bytesOf(other)).toBeUndefined();
  }
});

test("data, a tokenizer, a store and a model's files", async () => {
  expect(await fromCsv(theirs("a,b\n1,x\n")).toArray()).toEqual([{ a: 1, b: "x" }]);
  expect(await fromCsv(theirs("a,b\n1,x\n").buffer).toArray()).toEqual([{ a: 1, b: "x" }]);
  const tokenizer = await loadTokenizer(theirs(JSON.stringify(byteTokenizer())));
  expect(tokenizer.encode("a").ids).toEqual([97]);

  const store = new MemoryStore();
  await store.write("a.txt", theirs("abc"));
  expect(await store.read("a.txt")).toEqual(new TextEncoder().encode("abc"));

  const config = { model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 4, n_positions: 4, vocab_size: 4 };
  const model = await createModel(config, undefined, { seed: 1 });
  await model.save({ store, folder: "m" });
  const file = async (name: string) => TheirBytes.from(await store.read(`m/${name}`));
  const names = ["config.json", "model.safetensors"];
  const files = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await file(name)] as const)));
  expect((await loadModel(files)).config).toMatchObject(config);
});
