/** Large files are read off their text: with the meaning of the ordinary way, or not at all. */
import { readFileSync } from "node:fs";
import { loadTokenizer, trainTokenizer } from "tenon/tokenizers";
import { describe, expect, test } from "vitest";
import { createTokenizer } from "../../src/tokenizers/create.js";
import type { TokenizerDefinition } from "../../src/tokenizers/definition.js";
import { type Scanned, scan } from "../../src/tokenizers/scan.js";
import { data, hasData } from "./data.js";

const corpus = 'the "cat" sat\\on the mat é日本 "vocab": "merges" '.repeat(20);

/** JSON with every character beyond ASCII escaped. */
const ascii = (json: string) =>
  json.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);

async function agree(json: string): Promise<void> {
  const scanned = scan(json);
  if (scanned === undefined) throw new Error("was not scanned");
  const plain = JSON.parse(json) as TokenizerDefinition;
  expect(new Map(scanned.vocabulary.entries())).toEqual(new Map(Object.entries(plain.model.vocab as object)));
  const fast = await createTokenizer(scanned.definition, {}, "x", scanned);
  const slow = await createTokenizer(plain);
  const { vocabulary } = scanned;
  const merges = (plain.model.merges as (string | [string, string])[]).flatMap((merge) => {
    const [first, second] = typeof merge === "string" ? merge.split(" ") : merge;
    return [first, second, first + second].map((token) => slow.idOf(token));
  });
  expect([...scanned.merges]).toEqual(merges);
  for (const id of [0, 5, vocabulary.bound - 1, vocabulary.bound, -1, 0.5]) {
    expect(fast.tokenOf(id)).toBe(slow.tokenOf(id));
  }
  for (const token of ["", "no such token", "__proto__", "toString"]) expect(fast.idOf(token)).toBe(slow.idOf(token));
  expect(fast.encode(corpus).row()).toEqual(slow.encode(corpus).row());
  expect(fast.hash).toBe(slow.hash);
  expect(JSON.stringify(fast)).toBe(JSON.stringify(plain));
}

describe("agrees with JSON.parse", () => {
  test.each([{}, { byteLevel: false }])("a trained tokenizer, in every way to write it: %j", async (options) => {
    const trained = (await trainTokenizer(corpus, { vocabSize: 320, ...options })).toJSON();
    const merges = trained.model.merges as string[][];
    const joined = { ...trained, model: { ...trained.model, merges: merges.map((merge) => merge.join(" ")) } };
    for (const definition of [trained, joined] as TokenizerDefinition[]) {
      for (const space of [0, 2, "\t"]) await agree(JSON.stringify(definition, null, space));
      await agree(ascii(JSON.stringify(definition)));
      await agree(
        JSON.stringify({ model: { merges: definition.model.merges, type: "BPE", vocab: definition.model.vocab } }),
      );
    }
  });

  test("tokens that are JSON's own words, spaces, and ids in any order with holes", async () => {
    const vocab = { '"': 4, "\\": 0, a: 9, b: 2, ab: 3, '"vocab"': 5, "a b": 6, "": 7, "\u0000": 8, ' "': 1 };
    await agree(JSON.stringify({ model: { type: "BPE", vocab, merges: [["a", "b"]] } }));
    await agree(JSON.stringify({ model: { type: "BPE", vocab: { x: 0 }, merges: [] } }));
  });

  test.skipIf(!hasData)("Qwen2's file: vocabulary and merges", () => {
    const json = readFileSync(`${data}/tokenizers_derived/qwen2/tokenizer.json`, "utf8");
    const { vocabulary, merges } = scan(json) as Scanned;
    const { model } = JSON.parse(json) as { model: { vocab: Record<string, number>; merges: [string, string][] } };
    const ids = new Map(Object.entries(model.vocab));
    let wrong = 0;
    for (const [token, id] of ids) if (vocabulary.idOf(token) !== id || vocabulary.tokenOf(id) !== token) wrong++;
    model.merges.forEach(([first, second], i) => {
      if (merges[3 * i] !== ids.get(first) || merges[3 * i + 1] !== ids.get(second)) wrong++;
      if (merges[3 * i + 2] !== ids.get(first + second)) wrong++;
    });
    expect(wrong).toBe(0);
    expect([vocabulary.size, merges.length]).toEqual([ids.size, 3 * model.merges.length]);
  });
});

describe("leaves to the ordinary way", () => {
  const usual = '{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}}';
  test("the usual one is not among them", () => expect(scan(usual)?.merges).toEqual(Int32Array.of(0, 1, 2)));

  test.each([
    ["a token twice", usual.replace('"b": 1', '"b": 1, "b": 3')],
    ["an id twice", usual.replace('"b": 1', '"b": 0')],
    ["a negative id", usual.replace('"b": 1', '"b": -1')],
    ["an id that is a fraction", usual.replace('"b": 1', '"b": 1.5')],
    ["an id with an exponent", usual.replace('"b": 1', '"b": 1e2')],
    ["an id with a leading zero", usual.replace('"b": 1', '"b": 01')],
    ["a far id", usual.replace('"b": 1', '"b": 100000000')],
    ["an id that is a text", usual.replace('"b": 1', '"b": "1"')],
    ["a merge of unknown tokens", usual.replace('"a b"', '"a c"')],
    ["a merge of three", usual.replace('"a b"', '"a b c"')],
    ["a merge in a list of three", usual.replace('"a b"', '["a", "b", "c"]')],
    ["a merge that is a number", usual.replace('"a b"', "7")],
    ["a comma too many", usual.replace('"a b"]', '"a b",]')],
    ["an unknown escape", usual.replace('"a b"', '"a \\\\x"')],
    ["a control character", usual.replace('"a b"', '"a \n"')],
    ["two vocabularies", usual.replace('"type"', '"x": {"vocab": {"a": 0}}, "type"')],
    ["a vocabulary that is overwritten", usual.replace('"merges"', '"vocab": 3, "merges"')],
    ["a vocabulary elsewhere", '{"vocab": {"a": 0}, "merges": [], "model": {"type": "BPE"}}'],
    ["another model", usual.replace("BPE", "WordPiece")],
    ["a prefix", usual.replace('"type"', '"continuing_subword_prefix": "##", "type"')],
    ["no model", '{"vocab": {"a": 0}, "merges": []}'],
    ["no object", "[]"],
  ])("%s", (_, json) => expect(scan(json)).toBeUndefined());

  test("a file that ends anywhere", () => {
    for (let length = 0; length < usual.length; length++) expect(scan(usual.slice(0, length))).toBeUndefined();
  });

  test("large files take either way to the same errors", async () => {
    const padding = `"x": "${"y".repeat(3_000_000)}", "model"`;
    const load = (json: string) => loadTokenizer(new TextEncoder().encode(json.replace('"model"', padding)));
    expect((await load(usual)).encode("ab").ids).toEqual([2]);
    await expect(load(usual.replace('"a b"', '"a c"'))).rejects.toThrow(/merges\[0\].*"c".*not in it/);
    await expect(load(usual.slice(0, -1))).rejects.toThrow(/is not valid JSON/);
  });
});
