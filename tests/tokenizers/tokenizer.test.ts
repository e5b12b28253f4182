/** What does not need a third-party file: built-in tokenizers, streams, hashes, batches, metrics, formats. */
import {
  byteTokenizer,
  charTokenizer,
  compareTokenizers,
  loadTokenizer,
  type TokenizerDefinition,
  tokenizerMetrics,
  trainTokenizer,
} from "tenon/tokenizers";
import { describe, expect, test } from "vitest";
import { Merges } from "../../src/tokenizers/models/merges.js";

const texts = ["", "hello", "Ünïcödé 日本語 👩‍👩‍👧‍👦\n\t", "a\u0000b", " spaces  everywhere "];

/** Small numbers that look random. */
function* random(seed: number): Generator<number, never> {
  for (let x = seed; ; ) {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0;
    yield x >>> 16;
  }
}

describe("built-in tokenizers", () => {
  test("characters in the order of code points", () => {
    const tokenizer = charTokenizer("héllo 👩 hé");
    expect(tokenizer.vocabSize).toBe(6);
    expect([" ", "h", "l", "o", "é", "👩"].map((token) => tokenizer.idOf(token))).toEqual([0, 1, 2, 3, 4, 5]);
    expect(tokenizer.encode("hello 👩").ids).toEqual([1, 2, 2, 3, 0, 5]);
    expect(tokenizer.decode(tokenizer.encode("héllo 👩").ids)).toBe("héllo 👩");
  });

  test.each(texts)("bytes: %j", (text) => {
    const tokenizer = byteTokenizer();
    const { ids } = tokenizer.encode(text);
    expect(ids).toEqual([...new TextEncoder().encode(text)]);
    expect(tokenizer.decode(ids)).toBe(text);
  });

  test("a saved tokenizer is the same tokenizer", async () => {
    for (const tokenizer of [charTokenizer("abc é"), byteTokenizer()]) {
      const again = await loadTokenizer(new TextEncoder().encode(JSON.stringify(tokenizer)));
      expect(again.hash).toBe(tokenizer.hash);
      expect(again.encode("cab é").ids).toEqual(tokenizer.encode("cab é").ids);
    }
  });
});

test("the hash depends on what decides ids, and on nothing else", async () => {
  const model = { type: "BPE", vocab: { a: 0, b: 1, ab: 2 }, merges: ["a b"] };
  const load = (definition: object) => loadTokenizer(definition as TokenizerDefinition).then(({ hash }) => hash);
  const hash = await load({ model });
  expect(await load({ truncation: { max_length: 3 }, decoder: { type: "Fuse" }, version: "1.0", model })).toBe(hash);
  expect(await load({ model: { ...model, merges: [["a", "b"]] } })).toBe(hash);
  expect(await load({ model: { ...model, merges: [] } })).not.toBe(hash);
  expect(await load({ model, normalizer: { type: "NFC" } })).not.toBe(hash);
});

describe("decoding as a stream", () => {
  test.each(texts)("%j never shows half a character and ends with the whole text", (text) => {
    const tokenizer = byteTokenizer();
    const stream = tokenizer.decodeStream();
    let out = "";
    for (const id of tokenizer.encode(text).ids) {
      const piece = stream.push(id);
      expect(piece).not.toContain("\ufffd");
      out += piece;
    }
    expect(out + stream.end()).toBe(text);
  });

  test("with a decoder that looks at neighbours", async () => {
    const tokenizer = await trainTokenizer("the cat sat on the mat. The cat's hat!", {
      model: "wordpiece",
      vocabSize: 60,
    });
    const { ids } = tokenizer.encode("the cat sat on the hat.");
    const stream = tokenizer.decodeStream();
    const out = ids.map((id) => stream.push(id)).join("") + stream.end();
    expect(out).toBe(tokenizer.decode(ids));
  });

  test("a character that never ends comes out at the end", () => {
    const stream = byteTokenizer().decodeStream();
    expect(stream.push(0xe6)).toBe("");
    expect(stream.push(0x97)).toBe("");
    expect(stream.end()).toBe("\ufffd");
  });
});

test("batches agree with single texts and pad to the longest", async () => {
  const tokenizer = byteTokenizer();
  const batch = await tokenizer.encodeBatch(["a", "bcd", ["e", "f"]], { padding: { id: 0 } });
  expect(batch.map(({ ids }) => ids)).toEqual([
    [97, 0, 0],
    [98, 99, 100],
    [101, 102, 0],
  ]);
  expect(batch[0].attentionMask).toEqual([1, 0, 0]);
  expect(await tokenizer.decodeBatch([[97], [98, 99]])).toEqual(["a", "bc"]);
});

test("dropout is seeded and keeps the text", async () => {
  const trained = await trainTokenizer("low lower lowest newer wider ".repeat(20), { vocabSize: 300 });
  const definition = structuredClone(trained.toJSON());
  definition.model.dropout = 0.5;
  const tokenizer = await loadTokenizer(definition);
  const plain = tokenizer.encode("lowest wider").ids;
  const seeds = [1, 2, 3, 4, 5].map((dropoutSeed) => tokenizer.encode("lowest wider", { dropoutSeed }).ids);
  expect(plain).toEqual(trained.encode("lowest wider").ids);
  expect(new Set(seeds.map(String)).size).toBeGreaterThan(2);
  expect(tokenizer.encode("lowest wider", { dropoutSeed: 1 }).ids).toEqual(seeds[0]);
  for (const ids of seeds) expect(tokenizer.decode(ids)).toBe("lowest wider");
});

test("metrics", () => {
  const { perText, ...metrics } = tokenizerMetrics(byteTokenizer(), ["ab ab", "éé"]);
  expect(metrics).toEqual({
    texts: 2,
    bytes: 9,
    characters: 7,
    words: 3,
    tokens: 9,
    fertility: 3,
    compression: 1,
    unknownRate: 0,
    coverage: 1,
    entropy: expect.closeTo(2.281, 3),
    usedTokens: 5,
    vocabularyUse: 5 / 256,
  });
  expect(perText.map(({ tokens }) => tokens)).toEqual([5, 4]);
  const rows = compareTokenizers({ bytes: byteTokenizer(), characters: charTokenizer("ab") }, "ab c");
  expect(rows.characters.coverage).toBe(0.5);
  expect(rows.bytes.tokens).toBe(4);
});

test("the unknown token of an old WordPiece file, which names neither its type nor that token, counts", async () => {
  const vocab = { "[UNK]": 0, a: 1 };
  const tokenizer = await loadTokenizer({ model: { vocab, continuing_subword_prefix: "##" } });
  expect(tokenizerMetrics(tokenizer, "b").unknownRate).toBe(1);
});

test("the fast way of merging is the meaning of the merges, for random tables", () => {
  const numbers = random(7);
  const next = (below: number) => numbers.next().value % below;
  for (let round = 0; round < 300; round++) {
    // Tokens are texts over a few letters; ids 0 to 2 are the letters.
    const names = ["a", "b", "c"];
    const pairs: number[] = [];
    for (let k = next(30); k > 0; k--) {
      const first = next(names.length);
      const second = next(names.length);
      const name = names[first] + names[second];
      if (name.length > 9) continue;
      let merged = names.indexOf(name);
      if (merged < 0) merged = names.push(name) - 1;
      pairs.push(first, second, merged);
    }
    const merges = new Merges(Int32Array.from(pairs), names.length, (id) => id < 3);
    for (let k = 0; k < 10; k++) {
      const symbols = Int32Array.from({ length: 25 + next(60) }, () => next(3));
      const fast = merges.encode(symbols, symbols.length);
      const found = fast.tokens.slice(0, fast.count);
      const slow = merges.mergeByRank(symbols, symbols.length);
      expect([...found], JSON.stringify({ names, pairs, symbols: [...symbols] })).toEqual([
        ...slow.tokens.slice(0, slow.count),
      ]);
      const short = symbols.slice(0, 2 + next(20));
      const brief = merges.encode(short, short.length);
      const want = merges.mergeByRank(short, short.length);
      expect([...brief.tokens.slice(0, brief.count)]).toEqual([...want.tokens.slice(0, want.count)]);
    }
  }
});
