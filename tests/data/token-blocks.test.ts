import { SequentialBlocks, splitText, TokenBlocks, type TokenSequence, tokenRange, tokensInMemory } from "tenon/data";
import { describe, expect, test } from "vitest";
import { Generator, randomInteger } from "../../src/core/random.js";

const corpus = Uint16Array.from({ length: 1000 }, (_, i) => i);

/** The same ids behind promises, as a file would give them. */
const slow = (inner: TokenSequence): TokenSequence => ({
  ...inner,
  read: async (start, end) => inner.read(start, end),
});

describe("TokenBlocks", () => {
  const options = { batchSize: 4, blockSize: 8, seed: 1337 };

  test("rows are runs of the corpus at the offsets of the stream `shuffle`", async () => {
    const source = new TokenBlocks(corpus, { ...options, nextToken: true });
    for (let batch = 0; batch < 3; batch++) {
      const { ids, shape } = await source.next();
      expect(shape).toEqual([4, 9]);
      const call = new Generator(1337).at("shuffle", batch);
      for (let row = 0; row < 4; row++) {
        const offset = randomInteger(call, row, 1000 - 9 + 1);
        expect([...ids.subarray(row * 9, row * 9 + 9)]).toEqual(Array.from({ length: 9 }, (_, i) => offset + i));
      }
    }
  });

  test("every place of the corpus can be drawn, the last included", async () => {
    const source = new TokenBlocks(corpus.subarray(0, 12), { batchSize: 64, blockSize: 8, seed: 1 });
    const first = new Set<number>();
    const { ids } = await source.next();
    for (let row = 0; row < 64; row++) first.add(ids[row * 8]);
    expect([...first].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4]);
  });

  test("state is the batch number; a restored source continues exactly, in memory or from a file", async () => {
    const source = new TokenBlocks(corpus, options);
    await source.next();
    await source.next();
    const state = JSON.parse(JSON.stringify(source.state()));
    const rest = [await source.next(), await source.next()];
    const other = new TokenBlocks(slow(tokensInMemory(Int32Array.from(corpus))), options);
    other.restore(state);
    expect([await other.next(), await other.next()]).toEqual(rest);
    expect(() => other.restore({ row: 1 })).toThrow('needs a state with "batch"');
  });

  test("a batch that could not be read was not given", async () => {
    const memory = tokensInMemory(corpus);
    const sources = [
      (tokens: TokenSequence) => new TokenBlocks(tokens, options),
      (tokens: TokenSequence) => new SequentialBlocks(tokens, { batchSize: 2, blockSize: 8 }),
    ];
    for (const make of sources) {
      let broken = true;
      const source = make({
        ...memory,
        read: async (start, end) => {
          if (broken) throw new Error("no disk");
          return memory.read(start, end);
        },
      });
      await expect(source.next()).rejects.toThrow("no disk");
      broken = false;
      expect(await source.next()).toEqual(await make(memory).next());
    }
  });

  test("batches that the caller keeps are not overwritten", async () => {
    const source = new TokenBlocks(corpus, options);
    const kept = await source.next();
    const copy = kept.ids.slice();
    await source.next();
    expect(kept.ids).toEqual(copy);
  });

  test("the fingerprint changes with content, seed and size, not with how wide ids are stored", async () => {
    const print = (ids: Uint16Array | Int32Array, more = {}) =>
      new TokenBlocks(ids, { ...options, ...more }).fingerprint();
    const base = await print(corpus);
    expect(base).toMatch(/^[0-9a-f]{64}$/);
    expect(await print(Int32Array.from(corpus))).toBe(base);
    expect(await print(corpus.subarray(1))).not.toBe(base);
    expect(await print(corpus, { seed: 1 })).not.toBe(base);
    expect(await print(corpus, { blockSize: 9 })).not.toBe(base);
  });

  test("more than 2^32 places are drawn uniformly", async () => {
    const length = 3 * 2 ** 32;
    const huge: TokenSequence = {
      name: "huge",
      length,
      read: (start) => [Math.floor(start / 2 ** 31)],
      contentHash: async () => "",
    };
    const counts = new Array(6).fill(0);
    const source = new TokenBlocks(huge, { batchSize: 3000, blockSize: 1, seed: 3 });
    for (const sixth of (await source.next()).ids) counts[sixth]++;
    for (const count of counts) expect(Math.abs(count - 500)).toBeLessThan(100);
  });

  test("refuses tokens that do not fill a block, and sizes that are no sizes", () => {
    expect(() => new TokenBlocks(corpus.subarray(0, 8), { ...options, nextToken: true })).toThrow(
      "tokens: needs at least 9 tokens for one block, got 8.",
    );
    expect(() => new TokenBlocks(corpus, { ...options, batchSize: 0 })).toThrow("batchSize: needs a positive integer");
    expect(() => new TokenBlocks(corpus, { ...options, blockSize: 1.5 })).toThrow(
      "blockSize: needs a positive integer",
    );
  });
});

describe("SequentialBlocks", () => {
  test("passes once over all whole blocks, each position predicted once", async () => {
    const source = new SequentialBlocks(corpus.subarray(0, 50), { batchSize: 2, blockSize: 8, nextToken: true });
    const rows: number[][] = [];
    for (let batch = await source.next(); batch; batch = await source.next()) {
      const [count, width] = batch.shape;
      for (let row = 0; row < count; row++) rows.push([...batch.ids.subarray(row * width, (row + 1) * width)]);
    }
    expect(rows.length).toBe(6);
    expect(rows.map((row) => row[0])).toEqual([0, 8, 16, 24, 32, 40]);
    expect(rows[5]).toEqual([40, 41, 42, 43, 44, 45, 46, 47, 48]);
    expect(await source.next()).toBeNull();
  });

  test("a fraction is spread over the whole sequence and never empty", async () => {
    const source = new SequentialBlocks(corpus, { batchSize: 100, blockSize: 10, fraction: 0.05 });
    const batch = await source.next();
    expect(source.blocks).toBe(5);
    expect(source.batches).toBe(1);
    expect([0, 1, 2, 3, 4].map((row) => batch!.ids[row * 10])).toEqual([0, 200, 400, 600, 800]);
    expect(new SequentialBlocks(corpus, { batchSize: 1, blockSize: 10, fraction: 1e-6 }).blocks).toBe(1);
    expect(() => new SequentialBlocks(corpus, { batchSize: 1, blockSize: 10, fraction: 0 })).toThrow("fraction");
  });

  test("continues from its state", async () => {
    const options = { batchSize: 3, blockSize: 10 };
    const source = new SequentialBlocks(corpus, options);
    await source.next();
    const other = new SequentialBlocks(corpus, options);
    other.restore(source.state());
    expect(await other.next()).toEqual(await source.next());
  });
});

test("a range of tokens is read and hashed as if it were alone", async () => {
  const part = tokenRange(tokensInMemory(corpus), 100, 120);
  expect([...((await part.read(0, 3)) as Uint16Array)]).toEqual([100, 101, 102]);
  expect(await part.contentHash()).toBe(await tokensInMemory(corpus.slice(100, 120)).contentHash());
  expect(() => tokenRange(part, 5, 30)).toThrow("0 <= start <= end <= 20");
});

test("a text is split by ratio at floor(n * ratio), never inside a surrogate pair", () => {
  expect(splitText("abcdefghij", { train: 0.9, val: 0.1 })).toEqual({ train: "abcdefghi", val: "j" });
  expect(splitText("ab😀cd", { train: 0.5, val: 0.5 })).toEqual({ train: "ab😀", val: "cd" });
  expect(splitText("0123456789", { a: 0.7, b: 0.1, c: 0.2 })).toEqual({ a: "0123456", b: "7", c: "89" });
  expect(() => splitText("abc", { train: 0.9, val: 0.2 })).toThrow("ratios add up to at most 1");
  expect(() => splitText("abc", { train: 0 })).toThrow('the part "train" needs a ratio above 0');
});
