import { gzipSync } from "node:zlib";
import { ConfigError } from "tenon";
import {
  encodeInstructions,
  encodeTexts,
  fitTable,
  fromCsv,
  fromIdx,
  fromJson,
  fromJsonl,
  fromParquet,
  fromRows,
  fromText,
  openTokenFile,
  SequentialBlocks,
  TokenBlocks,
} from "tenon/data";
import { describe, expect, test } from "vitest";

const rows = fromRows([
  { x: 1, ids: [1], kind: "a" },
  { x: 2, ids: [2], kind: "b" },
]);

describe("a misspelt option is an error that names the nearest one", () => {
  const cases: [string, () => unknown, string][] = [
    ["fromCsv", () => fromCsv("a\n1", { delimeter: ";" } as never), "delimiter"],
    ["fromJsonl", () => fromJsonl("{}\n", { maxRowLengh: 5 } as never), "maxRowLength"],
    ["fromJson", () => fromJson("[]", { pth: "a" } as never), "path"],
    ["fromText", () => fromText("a\n", { seperator: "x" } as never), "separator"],
    ["fromIdx", () => fromIdx(new Uint8Array(8), { label: "x" } as never), "labels"],
    ["fromParquet", () => fromParquet(new Uint8Array(8), { column: ["x"] } as never), "columns"],
    ["fromRows", () => fromRows([], { shema: {} } as never), "schema"],
    ["map", () => rows.map((row) => row, { concurency: 2 } as never), "concurrency"],
    ["filter", () => rows.filter(() => true, { nam: "x" } as never), "name"],
    ["shuffle", () => rows.shuffle({ sead: 1 } as never), "seed"],
    ["split", () => rows.split({ train: 1 }, { stratfy: "kind" } as never), "stratify"],
    ["bucket", () => rows.bucket({ column: "ids", batchSize: 1, sed: 2 } as never), "seed"],
    ["pack", () => rows.pack({ blockSize: 2, endOfTxt: 0 } as never), "endOfText"],
    ["batch", () => rows.batch({ batchSize: 2, dropLst: true } as never), "dropLast"],
  ];
  test.each(cases)("%s", (where, call, nearest) => {
    expect(call).toThrow(new RegExp(`^${where}: has no option .*Did you mean "${nearest}"`));
  });
  test("fitTable", async () => {
    await expect(fitTable(rows, { feature: ["x"] } as never)).rejects.toThrow('Did you mean "features"?');
  });
});

describe("an option of another kind is an error that says which, before anything is read", () => {
  const csv = (options: object) => () => fromCsv("a,b\n1,2", options);
  const ids = Int32Array.of(1, 2, 3);
  const tokenizer = { encode: () => ({ ids: [1] }) };
  const of = (schema: unknown) => () => fromRows([], { schema: schema as never });
  const cases: [string, () => unknown][] = [
    [
      'fromParquet: columns needs a list of texts, got "i"',
      () => fromParquet(new Uint8Array(8), { columns: "i" as never }),
    ],
    ['fromCsv: columns needs a list of texts, got "ab"', csv({ columns: "ab" })],
    ["fromCsv: nullValues needs a list of texts, got 5", csv({ nullValues: 5 })],
    ['fromCsv: nullValues needs a list of texts, got "NA"', csv({ nullValues: "NA" })],
    ["fromCsv: header needs true or false, got 0", csv({ header: 0 })],
    ['fromCsv: maxRowLength needs an integer from 0, got "x"', csv({ maxRowLength: "x" })],
    ["fromCsv: skipRows needs an integer from 0, got -1", csv({ skipRows: -1 })],
    ['fromCsv: maxDecompressedBytes needs an integer from 0, got "x"', csv({ maxDecompressedBytes: "x" })],
    ["fromJson: path needs a text, got 5", () => fromJson("[]", { path: 5 as never })],
    ["fromText: separator needs a text, got 5", () => fromText("a\n", { separator: 5 as never })],
    ["fromText: by needs line, document or whole, got 5", () => fromText("a\n", { by: 5 as never })],
    ["batch: columns needs a list of texts, got 5", () => rows.batch({ batchSize: 1, columns: 5 as never })],
    ['batch: columns needs a list of texts, got "ab"', () => rows.batch({ batchSize: 1, columns: "ab" as never })],
    [
      "batch: padValue needs a number, or numbers by column",
      () => rows.batch({ batchSize: 1, padValue: "0" as never }),
    ],
    ['batch: dropLast needs true or false, got "no"', () => rows.batch({ batchSize: 1, dropLast: "no" as never })],
    ["pack: endOfText needs an int32, got 1.5", () => rows.pack({ blockSize: 2, endOfText: 1.5 })],
    ['pack: padLast needs an int32, got "x"', () => rows.pack({ blockSize: 2, padLast: "x" as never })],
    ["encodeTexts: endOfText needs an int32, got 1.5", () => encodeTexts(tokenizer, { endOfText: 1.5 })],
    ["encodeInstructions: endOfText needs", () => encodeInstructions(tokenizer, { endOfText: "x" as never })],
    ["split: needs parts and their ratios by name, got null", () => rows.split(null as never)],
    ["splitBy: needs parts and their values by name, got", () => rows.splitBy("kind", ["a"] as never)],
    ['split: no column "5"', () => rows.split({ train: 1 }, { group: 5 as never })],
    [
      "concat: needs datasets, got an array. Rows in memory become one with fromRows",
      () => rows.concat([{ x: 1 }] as never),
    ],
    ["interleave: needs datasets, got null", () => rows.interleave(null as never)],
    ["map: needs a function of a row, got 5", () => rows.map(5 as never)],
    ['filter: needs a function of a row, got "x"', () => rows.filter("x" as never)],
    ["flatMap: needs a function of a row, got undefined", () => rows.flatMap(undefined as never)],
    ["flatMap: has no option", () => rows.flatMap(() => [], { concurency: 2 } as never)],
    ['schema: needs an object with "fields", by list or by name, got {"fields":null}', of({ fields: null })],
    ['schema: needs an object with "fields", by list or by name, got {"fields":"x"}', of({ fields: "x" })],
    ["schema: a field needs a name, got null", of({ fields: [null] })],
    ['schema: field "a" needs a known type, got null', of({ fields: { a: null } })],
    ['schema: needs an object with "fields"', () => rows.map((row) => row, { schema: { fields: null } as never })],
    [
      'TokenBlocks: has no option "nextTokens". Did you mean "nextToken"?',
      () => new TokenBlocks(ids, { batchSize: 1, blockSize: 2, seed: 1, nextTokens: true } as never),
    ],
    [
      'SequentialBlocks: has no option "seed"',
      () => new SequentialBlocks(ids, { batchSize: 1, blockSize: 2, seed: 1 } as never),
    ],
    [
      "tokens: needs Int32Array, Uint32Array, Uint16Array or Uint8Array of ids, got [1, 2, 3]. Make one of a list of ids: Int32Array.from(ids)",
      () => new TokenBlocks([1, 2, 3] as never, { batchSize: 1, blockSize: 2, seed: 1 }),
    ],
    [
      "tokens: needs Int32Array",
      () => new SequentialBlocks(Float32Array.of(1.5, 2) as never, { batchSize: 1, blockSize: 2 }),
    ],
  ];
  test.each(cases)("%s", (message, call) => {
    expect(call).toThrow(ConfigError);
    expect(call).toThrow(message);
  });
  test("of those that answer later", async () => {
    await expect(fitTable(rows, { features: "x" as never })).rejects.toThrow(
      "fitTable: features needs a list of texts",
    );
    await expect(openTokenFile(new Uint8Array(8), { dtype: "int16" as never })).rejects.toThrow(
      'openTokenFile: dtype needs uint16, uint32 or int32, got "int16"',
    );
    await expect(fromRows([null as never, { x: 1 }]).toArray()).rejects.toThrow("row 1: expected an object, got null");
  });
});

test("choices that do not exist are errors", async () => {
  expect(() => fromCsv("a\n1", { onViolation: "skp" as never })).toThrow(
    'fromCsv: onViolation needs error, skip or null, got "skp".',
  );
  expect(() => fromRows([], { extraColumns: "keep" as never })).toThrow("error or drop");
  expect(() => rows.batch({ batchSize: 2, ragged: "padd" as never })).toThrow("pad, truncate or error");
  await expect(fitTable(rows, { task: "regresion" as never })).rejects.toThrow("classification or regression");
});

test("take and skip need counts, flatMap a list", async () => {
  expect(() => rows.take(-1)).toThrow("take: count needs an integer from 0, got -1.");
  expect(() => rows.skip(0.5)).toThrow("skip: count needs an integer from 0, got 0.5.");
  expect(await rows.take(Number.POSITIVE_INFINITY).count()).toBe(2);
  await expect(rows.flatMap(() => 5 as never).toArray()).rejects.toThrow("needs to give a list of rows, got 5");
});

describe("a column that no object can hold is refused, never lost", () => {
  test("in a header, a schema, rows", async () => {
    await expect(fromCsv("__proto__,a\n1,2\n").toArray()).rejects.toThrow('cannot be named "__proto__"');
    expect(await fromCsv("__proto__,a\n1,2\n", { columns: ["p", "a"] }).toArray()).toEqual([{ p: 1, a: 2 }]);
    const fields = JSON.parse('{"__proto__":"int32"}');
    expect(() => fromCsv("a\n1\n", { schema: { fields } })).toThrow('cannot be named "__proto__"');
    expect(() => fromRows([JSON.parse('{"__proto__":1,"a":2}')])).toThrow('cannot be named "__proto__"');
  });
});

test("a long first line is looked through once, not for every piece", async () => {
  const line = gzipSync(Buffer.alloc(17e6, "x"));
  const start = performance.now();
  await expect(fromCsv(line).toArray()).rejects.toThrow("the first line is longer than 16777216 characters");
  // Half a minute where every piece begins anew.
  expect(performance.now() - start).toBeLessThan(8000);
}, 60_000);
