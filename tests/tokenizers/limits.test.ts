/** What files and texts of strangers may cost: time and memory. */
import { loadTokenizer, type TokenizerDefinition, trainTokenizer } from "tenon/tokenizers";
import { expect, test } from "vitest";
import { IdBuffer, PieceCache } from "../../src/tokenizers/models/byte-pieces.js";

const load = (definition: object) => loadTokenizer(definition as TokenizerDefinition);

test("ids far above the number of tokens make no tables", async () => {
  const model = { type: "BPE", vocab: { a: 2 ** 31 - 2 }, merges: [] };
  await expect(load({ model })).rejects.toThrow(/needs ids up to about the 1 tokens of its vocab, got 2147483646/);
  expect((await load({ model: { ...model, vocab: { a: 100_000 } } })).encode("a").ids).toEqual([100_000]);
});

test("of pieces that share a hash few are kept", () => {
  const step = (hash: number, unit: number) => Math.imul(hash ^ unit, 0x01000193);
  /** Two different blocks of units that lead from one state of the hash to the same. */
  const collision = (state: number): [string, string, number] => {
    const seen = new Map<number, string>();
    for (let x = 0; ; x++) {
      const units = [0x4e00 + (x % 8192), 0x4e00 + ((x * 97) % 8191), 0x4e00 + (((x * 31) >> 5) % 4096)];
      const hash = units.reduce(step, state);
      const block = String.fromCharCode(...units);
      const other = seen.get(hash);
      if (other !== undefined && other !== block) return [other, block, hash];
      seen.set(hash, block);
    }
  };
  const blocks: [string, string, number][] = [];
  for (let state = 18; blocks.length < 6; state = blocks[blocks.length - 1][2]) blocks.push(collision(state));
  const words = Array.from({ length: 64 }, (_, i) => blocks.map((block, k) => block[(i >> k) & 1]).join(""));
  let fresh = 0;
  const cache = new PieceCache((_text, _start, _end, out) => out.push(fresh++));
  for (const word of [...words, ...words]) cache.encode(word, 0, word.length, new IdBuffer());
  expect(fresh).toBe(64 + 32);
});

test.skipIf(!globalThis.gc)("a corpus does not stay in memory for the words in it", async () => {
  const heap = () => {
    globalThis.gc?.();
    return process.memoryUsage().heapUsed;
  };
  const filler = "the cat sat on the mat and the dog ran off ".repeat(6_000);
  const chunk = (i: number) => Buffer.from(`${filler}supercalifragilistic${"abcdefghij"[i]}word `).toString("latin1");
  for (const preTokenizer of [undefined, { type: "WhitespaceSplit" }]) {
    const before = heap();
    let after = 0;
    function* corpus() {
      for (let i = 0; i < 10; i++) yield chunk(i);
      after = heap();
    }
    await trainTokenizer(corpus(), { byteLevel: preTokenizer === undefined, preTokenizer, vocabSize: 300 });
    expect(after - before).toBeLessThan(1_200_000);
  }
});

test.skipIf(!globalThis.gc)("nor texts for what is remembered of their pieces", async () => {
  const letters = [..."▁abcdefghijklmnopqrstuvwxyz"];
  const unigram = { type: "Unigram", unk_id: 0, vocab: [["<unk>", 0], ...letters.map((letter) => [letter, -3])] };
  const bpe = { type: "BPE", vocab: Object.fromEntries(letters.map((letter, id) => [letter, id])), merges: [] };
  const filler = "the cat sat on the mat and the dog ran off ".repeat(6_000);
  for (const model of [unigram, bpe]) {
    const tokenizer = await load({ model, pre_tokenizer: { type: "Metaspace", prepend_scheme: "first" } });
    const measured: number[] = [];
    for (let i = 0; i < 10; i++) {
      const text = Buffer.from(`${filler}supercalifragilistic${"abcdefghij"[i]}word `).toString("latin1");
      expect(tokenizer.encode(text).ids.length).toBeGreaterThan(filler.length);
      globalThis.gc?.();
      if (i % 9 === 0) measured.push(process.memoryUsage().heapUsed);
    }
    expect(measured[1] - measured[0]).toBeLessThan(1_200_000);
  }
});
