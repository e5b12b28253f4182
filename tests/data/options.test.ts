import { gzipSync } from "node:zlib";
import { fitTable, fromCsv, fromIdx, fromJson, fromJsonl, fromParquet, fromRows, fromText } from "tenon/data";
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
