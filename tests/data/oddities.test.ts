import {
  type Dataset,
  encodeInstructions,
  encodeRow,
  fitTable,
  fromCsv,
  fromIdx,
  fromJson,
  fromJsonl,
  fromRows,
  fromText,
  type Row,
} from "tenon/data";
import { describe, expect, test } from "vitest";
import { decodeText } from "../../src/data/decode.js";
import { inPieces } from "./shared.js";

const utf16 = (text: string, big = false) => {
  const bytes = Buffer.from(text, "utf16le");
  return Uint8Array.from(big ? bytes.swap16() : bytes);
};
const json = (text: string) => fromJson({ text, name: "x.json" });
const lines = (text: string, options = {}) => fromJsonl({ text, name: "x.jsonl" }, options);

describe("what is not the text that was expected is named, with the next step", () => {
  const cases: [string, () => Dataset, string][] = [
    ["UTF-16 without a mark", () => fromCsv(utf16("a,b\n1,2\n")), 'Pass encoding: "utf-16le"'],
    ["the same, big-endian", () => fromText(utf16("one\ntwo", true)), 'Pass encoding: "utf-16be"'],
    ["the same in JSON, in pieces", () => fromJson(inPieces(utf16('[{"a":1}]'), 3)), "looks like utf-16le"],
    ["UTF-32", () => fromText(Uint8Array.of(0xff, 0xfe, 0, 0, 65, 0, 0, 0)), "is UTF-32 text"],
    ["Excel", () => fromCsv(Uint8Array.of(0x50, 0x4b, 3, 4, 20, 0)), "an Excel workbook, text was expected. Unpack"],
    [
      "Parquet",
      () => fromCsv(Buffer.from("PAR1....")),
      "is a Parquet file, text was expected. Read it with fromParquet.",
    ],
    [
      "Zstandard",
      () => fromJsonl(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 1)),
      "Expand the file, or compress it with gzip.",
    ],
    ["a web page", () => fromCsv({ text: "<!DOCTYPE html>\n<html>" }), "is an HTML page, not CSV"],
    ["JSON lines read as JSON", () => json('{"a":1}\n{"a":2}\n'), "read it with fromJsonl"],
    ["rows with something around them", () => json('{"version":1,"data":[{"a":1}]}'), 'pass path: "data"'],
    ["the same alone", () => json('{"rows":[{"a":1}]}'), 'pass path: "rows"'],
    [
      "a table of pandas",
      () => json('{"a":{"0":1},"b":{"0":2}}'),
      'pandas writes such a list with df.to_json(orient="records")',
    ],
    ["the same, split", () => json('{"columns":["a"],"index":[0],"data":[[1]]}'), 'orient="records"'],
  ];
  test.each(cases)("%s", async (_, make, message) => {
    await expect(make().toArray()).rejects.toThrow(message);
  });
  test("addresses of other kinds", () => {
    expect(() => fromCsv("s3://bucket/x.csv")).toThrow("begins with https:, http:, file:, blob: or data:, got s3:");
  });
});

describe("numbers of JSON are what was written", () => {
  const range = "expected numbers within the range of float64, got";
  const refused: [string, string, Record<string, unknown>?][] = [
    ['{"a":1}\n{"a":1e999}', `x.jsonl: row 2 (line 2), column "a": expected`],
    ['{"a":1e999}', "expected a finite float32, got 1e999", { a: "float32" }],
    ['{"a":-1E+400}', "expected an int32, got -1E+400", { a: "int32" }],
    ['{"a":1e999}', `${range} 1e999. Write it as a text`, { a: "json" }],
    ['{"a":{"b":[1e999]}}', `${range} {"b":["1e999"]}`, { a: "json" }],
    ['{"a":[1,1e999]}', "expected a list of float32", { a: "list" }],
    [`{"a":${"9".repeat(400)}}`, range, { a: "json" }],
    ['{"a":9007199254740993}', "expected an int32, got 9007199254740993", { a: "int32" }],
    ["{1e999:1}", "expected one JSON object per line"],
    ['{"a":01234567890123456789}', "expected one JSON object per line"],
    ['{"a":1e999,}', "expected one JSON object per line"],
  ];
  test.each(refused)("%s", async (text, message, fields) => {
    const data = lines(text, fields && { schema: { fields } });
    await expect(data.toArray()).rejects.toThrow(message);
  });
  test("with a policy they are counted, and nothing else is lost", async () => {
    const data = lines('{"a":{"b":1e999},"c":1}\n{"a":2,"c":2}', { onViolation: "null" });
    expect(await data.toArray()).toEqual([
      { a: null, c: 1 },
      { a: 2, c: 2 },
    ]);
    expect(data.report).toMatchObject({ nulledValues: 1, violations: [{ row: 1, line: 1, column: "a" }] });
  });
  const kept: [string, unknown][] = [
    ["9007199254740993", 9007199254740993n],
    ["-12345678901234567890", -12345678901234567890n],
    ["9007199254740992", 2 ** 53],
    ["123456789012345680000", 123456789012345680000], // as JavaScript itself writes it
    ["0.1234567890123456789", 0.12345678901234568],
    ["1e308", 1e308],
    ["1e-999", 0],
    ['"number 1e999 9007199254740993"', "number 1e999 9007199254740993"],
    ['"a \\" 1e999"', 'a " 1e999'],
    ['["\\u006eumber 12", 9007199254740993]', ["number 12", 9007199254740993n]],
    ["[9007199254740993, [-9007199254740993], {}]", [9007199254740993n, [-9007199254740993n], {}]],
  ];
  test.each(kept)("%s is kept", async (text, value) => {
    const schema = { fields: { a: "json" } } as const;
    expect(await lines(`{"a":${text}}`, { schema }).toArray()).toEqual([{ a: value }]);
    expect(await fromJson({ text: `[{"a":${text}}]` }, { schema }).toArray()).toEqual([{ a: value }]);
  });
  test("a long id is the same text in a category, and rounded where a float32 is wanted", async () => {
    const [row] = await lines('{"a":9007199254740993,"b":9007199254740993}', {
      schema: { fields: { a: "category", b: "float32" } },
    }).toArray();
    expect(row).toEqual({ a: "9007199254740993", b: 2 ** 53 });
  });
  test("NaN in memory is refused by name, not taken for text", async () => {
    await expect(fromRows([{ a: Number.NaN }, { a: 1 }]).toArray()).rejects.toThrow(
      'column "a": expected a finite float32, got NaN. If it means a missing value, write null',
    );
  });
});

describe("splitBy", () => {
  const rows = fromRows([{ set: "a" }, { set: "b" }, { set: "c" }, { set: "a" }]);
  test("a row that no part names is told, or dropped when that is said", async () => {
    const parts = { train: "a", val: ["b"] };
    await expect(rows.splitBy("set", parts).train.toArray()).rejects.toThrow(
      'splitBy: row 3 has "c" in the column "set", which no part names. The parts name "a", "b". Add the value to one, or pass { others: "drop" }.',
    );
    const { train, val } = rows.splitBy("set", parts, { others: "drop" });
    expect([await train.count(), await val.count()]).toEqual([2, 1]);
    expect(train.report).toMatchObject({ rows: 4, droppedRows: 1 });
    const file = fromCsv({ text: "set\na\nb\nc\nc\n" });
    const { train: read } = file.splitBy("set", parts, { others: "drop" });
    const mapped = read.map((row) => row);
    expect(read.report).toBeUndefined();
    for (let pass = 0; pass < 2; pass++) expect(await mapped.count()).toBe(1);
    expect(mapped.report).toMatchObject({ rows: 4, skippedRows: 0, droppedRows: 2 });
    expect(file.report).not.toHaveProperty("droppedRows");
    expect(() => rows.splitBy("set", parts, { others: "skip" as never })).toThrow("others needs error or drop");
    expect(await train.fingerprint()).not.toBe(await rows.splitBy("set", { ...parts, rest: "c" }).train.fingerprint());
  });
});

describe("shapes", () => {
  const idx = (type: number, shape: number[], body: number[]) =>
    Uint8Array.from([0, 0, type, shape.length, ...shape.flatMap((n) => [0, 0, 0, n]), ...body]);
  const columns = async (data: Dataset): Promise<Row> => ({ ...(await data.batch(2).next())?.columns });
  test("idx files of every type keep their dims and their whole numbers", async () => {
    expect(await columns(fromIdx(idx(11, [2, 1, 2], [0, 1, 255, 255, 0, 3, 128, 0])))).toEqual({
      image: { data: Int32Array.of(1, -1, 3, -32768), shape: [2, 1, 2] },
    });
    expect(await columns(fromIdx(idx(12, [1, 1], [127, 255, 255, 255])))).toEqual({
      image: { data: Int32Array.of(2147483647), shape: [1, 1] },
    });
    expect(await columns(fromIdx(idx(13, [1, 1, 1], [0x3f, 0xc0, 0, 0])))).toEqual({
      image: { data: Float32Array.of(1.5), shape: [1, 1, 1] },
    });
    const labelled = fromIdx(idx(8, [2, 1], [1, 2]), { labels: idx(8, [2, 1], [1, 2]) });
    await expect(labelled.toArray()).rejects.toThrow("needs one label per item, got shape [2, 1]");
  });
  test("lists and images of a shape: nested or flat, null where that is allowed, and nothing else", async () => {
    const schema = { fields: { x: { type: "list", shape: [2, 2], nullable: true } } } as const;
    const data = fromRows([{ x: [[1, 2], [3, 4]] }, { x: null }], { schema }); // biome-ignore format: a matrix
    expect(await columns(data)).toEqual({
      x: {
        data: Float32Array.of(1, 2, 3, 4, 0, 0, 0, 0),
        shape: [2, 2, 2],
        mask: Uint8Array.of(1, 1, 1, 1, 0, 0, 0, 0),
      },
    });
    for (const x of [
      [1, 2, 3],
      [[1, 2], [3]],
      [[1, 2, 3, 4]],
      [
        [[1], [2]],
        [[3], [4]],
      ],
    ]) {
      await expect(fromRows([{ x }], { schema }).toArray()).rejects.toThrow(
        "expected a list of float32 of shape [2, 2]",
      );
    }
  });
});

describe("steps and batches tell what they cannot do, and make nothing of it", () => {
  const numbers = fromRows([{ x: 1 }]);
  const schema = (type: "int32" | "float32") => ({ schema: { fields: [{ name: "x", type }] } });
  const first = (data: Dataset): Promise<unknown> => data.batch(20).next();
  const cases: [string, () => Promise<unknown>, string][] = [
    [
      "types that differ",
      () => first(numbers.concat(fromRows([{ x: "s" }]))),
      'concat: the column "x" is an int32 in one dataset, a string in another',
    ],
    [
      "vocabularies that differ",
      () =>
        first(
          fromRows([{ c: "a" }], { schema: { fields: { c: { type: "category", values: ["a"] } } } }).concat(
            fromRows([], { schema: { fields: { c: { type: "category", values: ["b"] } } } }),
          ),
        ),
      'the column "c" is one of "a" in one dataset, one of "b" in another',
    ],
    [
      "text in a column of numbers",
      () => first(numbers.map(() => ({ x: "1" }) as Row, schema("float32"))),
      'column "x", row 0 of the batch: expected a finite float32, got "1"',
    ],
    [
      "a fraction in a column of integers",
      () => first(numbers.map(() => ({ x: 1.5 }) as Row, schema("int32"))),
      "expected an int32, got 1.5",
    ],
    [
      "null within a list of numbers",
      () => first(numbers.map(() => ({ x: [1, null] }), { schema: { fields: [{ name: "x", type: "list" }] } })),
      'column "x", row 0 of the batch: expected a list of float32, got null',
    ],
    [
      "ids that are none",
      () => first(numbers.map(() => ({ x: [1, 3e9] }), { schema: { fields: [{ name: "x", type: "tokens" }] } })),
      "expected a list of token ids (integers from 0), got 3000000000",
    ],
    [
      "fractions in an image",
      () =>
        first(
          numbers.map(() => ({ x: Float32Array.of(0.5, 1) }), {
            schema: { fields: [{ name: "x", type: "image", shape: [2] }] },
          }),
        ),
      "expected bytes of shape [2], got 0.5",
    ],
    [
      "padding that the column cannot hold",
      () =>
        numbers
          .map(() => ({ x: Uint16Array.of(1) }))
          .batch({ batchSize: 1, ragged: "pad", padValue: -100 })
          .next(),
      'column "x" cannot hold the padValue -100',
    ],
    [
      "a column that the first row lacks",
      () => first(fromRows([{ x: 1 }, { x: 2 }]).map((row, { index }) => (index === 1 ? { ...row, labels: 3 } : row))),
      'row 1 of the batch has a column "labels", which row 0 lacks',
    ],
    [
      "fractions to pack",
      () =>
        numbers
          .map(() => ({ ids: [1.5] }))
          .pack({ blockSize: 1 })
          .toArray(),
      "pack: row 0 needs whole numbers as ids and labels, got 1.5",
    ],
    [
      "a value outside the vocabulary",
      () =>
        first(
          numbers.map(() => ({ x: "c" }) as Row, {
            schema: { fields: [{ name: "x", type: "category", values: ["a"] }] },
          }),
        ),
      'expected one of "a", got "c"',
    ],
    [
      "text in place of ids",
      () =>
        numbers
          .map(() => ({ ids: "abc" }))
          .pack({ blockSize: 2 })
          .toArray(),
      'pack: row 0 needs token ids in the column "ids", got "abc"',
    ],
    [
      "no list to bucket by",
      () =>
        fromRows([{ a: [1] }, { a: null }])
          .bucket({ column: "a", batchSize: 1 })
          .toArray(),
      'bucket: needs a list or a text in the column "a", got null',
    ],
    [
      "no column to stratify by",
      () =>
        numbers
          .map((row) => row)
          .split({ a: 1 }, { stratify: "y" })
          .a.toArray(),
      'split: a row has no column "y"',
    ],
    [
      "NaN for a prediction",
      async () => encodeRow(await fitTable(fromRows([{ x: 1 }, { x: 2 }])), { x: Number.NaN }),
      'column "x": expected a finite number, got NaN',
    ],
    [
      "a target that is no number",
      async () => {
        const schema = { fields: [{ name: "x", type: "float32" as const }] };
        const nan = numbers.map(() => ({ x: Number.NaN }), { schema });
        return nan.encode((await fitTable(numbers, { features: [], target: "x" })) as never).toArray();
      },
      'column "x": expected a finite number, got NaN',
    ],
    [
      "a long id as a text to learn",
      async () => encodeInstructions({ encode: () => ({ ids: [] }) })({ instruction: "a", output: 12345678901234567n }),
      'needs a text in the column "output", got 12345678901234567',
    ],
    ["no options", async () => numbers.batch("4" as never), 'batch: needs its options as an object, got "4"'],
    [
      "a decimal mark of another kind",
      async () => fromCsv({ text: "a" }, { decimal: ";" as never }),
      "fromCsv: decimal needs . or ,",
    ],
  ];
  test.each(cases)("%s", async (_, run, message) => {
    await expect((async () => run())()).rejects.toThrow(message);
  });
  test("schemas that go together are joined", async () => {
    const a = fromRows([{ x: 1, c: "a" }], {
      schema: { fields: { x: { type: "int32", min: 0, max: 5 }, c: "category" } },
    });
    const b = fromRows([{ x: 1.5, c: null }], {
      schema: { fields: { x: { type: "float32", min: 1 }, c: { type: "string", nullable: true } } },
    });
    expect(a.concat(b).schema.fields).toEqual([
      { name: "x", type: "float32", min: 0 },
      { name: "c", type: "string", nullable: true },
    ]);
    const one = await numbers
      .interleave(fromRows([{ y: 2 }]))
      .batch(2)
      .next();
    expect(one?.columns).toEqual({
      x: { data: Int32Array.of(1, 0), shape: [2], mask: Uint8Array.of(1, 0) },
      y: { data: Int32Array.of(0, 2), shape: [2], mask: Uint8Array.of(0, 1) },
    });
    expect((await a.concat(b).batch(2).next())?.columns["x"].data).toEqual(Float32Array.of(1, 1.5));
  });
});

test("what fetch gave is read once, and its errors are told", async () => {
  expect(await fromCsv(new Response("a,b\n1,2\n")).toArray()).toEqual([{ a: 1, b: 2 }]);
  await expect(fromCsv(new Response("no", { status: 403 }), { name: "x.csv" }).toArray()).rejects.toThrow(
    "x.csv: the server answered HTTP 403",
  );
});

test("long lines, documents and texts cost no more than short ones", async () => {
  const text = "x".repeat(20 << 20);
  const started = performance.now();
  for (const by of ["line", "document", "whole"] as const) {
    const [row] = await fromText(inPieces(text, 1 << 16), { by }).toArray();
    expect((row["text"] as string).length).toBe(text.length);
  }
  // Seconds, where each piece was searched from the beginning.
  expect(performance.now() - started).toBeLessThan(4000);
});

test("long runs within a cell or a document are read once", async () => {
  const run = 100_000;
  const started = performance.now();
  for (const cell of [`1${" ".repeat(run)}x`, `${"1".repeat(run)}x`]) {
    expect((await fromCsv({ text: `a,b\n1,2\n${cell},3\n` })).schema.fields[0].type).toBe("string");
  }
  const text = `\n\r\na${"\n".repeat(run)}b\r\n`;
  expect(await fromText({ text }, { by: "document" }).toArray()).toEqual([{ text: text.trim() }]);
  // Ten seconds and more, where a run is read from each of its places.
  expect(performance.now() - started).toBeLessThan(1000);
});

test("a large piece of a stream is decoded in parts that fit into a cache, and no character is cut", async () => {
  const text = Array.from({ length: 80_000 }, (_, i) => `${i},é€😀\n`).join("");
  const pieces: string[] = [];
  for await (const piece of decodeText(inPieces(text, 1 << 20), "table")) pieces.push(piece);
  expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThanOrEqual(1 << 17);
  expect(pieces.join("")).toBe(text);
});
