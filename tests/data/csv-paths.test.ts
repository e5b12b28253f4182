import { type CsvOptions, fromCsv, type Row } from "tenon/data";
import { describe, expect, test } from "vitest";
import { Generator, randomInteger } from "../../src/core/random.js";
import { coerceText, INVALID } from "../../src/data/coerce.js";
import type { Field } from "../../src/data/schema.js";
import { inPieces } from "./shared.js";

// The parser reads rows that look as expected on a path of its own: it must mean what the rules mean.
const fields: Field[] = [
  { name: "float", type: "float32" },
  { name: "floatOrNull", type: "float32", nullable: true, min: -1000, max: 1000 },
  { name: "int", type: "int32" },
  { name: "intOrNull", type: "int32", nullable: true, max: 50 },
  { name: "string", type: "string" },
  { name: "stringOrNull", type: "string", nullable: true },
  { name: "short", type: "string", min: 1, max: 4 },
  { name: "category", type: "category" },
  { name: "oneOf", type: "category", values: ["a", "b", ""], nullable: true },
  { name: "bool", type: "bool", nullable: true },
];
const numbers = [
  "0",
  "-0",
  "12",
  " 12",
  "12 ",
  "+5",
  "-3.5",
  ".5",
  "5.",
  "1e3",
  "1E-2",
  "0.1234567890123456789",
  "1,5",
  "1.5",
];
const broken = [
  "",
  "-",
  ".",
  "NaN",
  "0x10",
  "1e999",
  "1_000",
  "1.2.3",
  "--1",
  "2147483648",
  "9".repeat(20),
  "1 2",
  "NA",
  "\0",
];
const texts = [
  "",
  "a",
  "b",
  "a",
  "é",
  "日本語",
  "a long text that is longer than what is looked at",
  "true",
  "False",
  "0",
  "NA",
  " a ",
];
const dialects: CsvOptions[] = [
  {},
  { delimiter: ";", decimal: "," },
  { decimal: "," },
  { delimiter: "\t", nullValues: ["NA"] },
  { delimiter: " " },
  { delimiter: "-" },
  { nullValues: ["", "12"] },
  { quote: "'", comment: "#" },
];

describe.each(dialects)("%j", (dialect) => {
  const { delimiter = ",", quote = '"', nullValues = [], decimal } = dialect;
  const call = new Generator(5).at(JSON.stringify(dialect), 0);
  let drawn = 0;
  const draw = (bound: number) => randomInteger(call, drawn++, bound);
  const pick = (list: readonly string[]) => list[draw(list.length)];
  const written = (cell: string) =>
    draw(3) === 0 || cell.includes(delimiter) || cell.includes(quote!)
      ? quote + cell.replaceAll(quote!, quote! + quote) + quote
      : cell;
  /** What the rules say; undefined where a cell breaks them. */
  const meaning = (field: Field, cell: string): unknown => {
    if (["", ...nullValues].includes(cell) && (field.nullable || field.type !== "string"))
      return field.nullable ? null : undefined;
    const value = coerceText(field, cell, decimal === ",");
    return value === INVALID ? undefined : value;
  };
  test("every cell of every column, alone and beside others", async () => {
    const kept: Row[] = [];
    let text = `${fields.map(({ name }) => name).join(delimiter)}\n`;
    let skipped = 0;
    for (let i = 0; i < 1500; i++) {
      const cells = fields.map(({ type }) =>
        // One cell in thirty is of any kind, so that most rows are whole and all kinds come up.
        draw(30) === 0 ? pick([...numbers, ...broken, ...texts]) : pick(/32/.test(type) ? numbers.slice(0, 4) : texts),
      );
      const values = fields.map((field, j) => meaning(field, cells[j]));
      if (values.includes(undefined)) skipped++;
      else kept.push(Object.fromEntries(fields.map(({ name }, j) => [name, values[j]])));
      text += cells.map(written).join(delimiter) + pick(["\n", "\r\n"]);
    }
    for (const size of [1 << 20, 61]) {
      const data = fromCsv(inPieces(text, size), { ...dialect, schema: { fields }, onViolation: "skip" });
      const rows = await data.toArray();
      expect(rows.length).toBe(kept.length);
      for (const [i, row] of rows.entries()) expect(row, `row ${i}`).toEqual(kept[i]);
      expect(data.report?.skippedRows).toBe(skipped);
    }
    expect(skipped).toBeGreaterThan(50);
    expect(kept.length).toBeGreaterThan(50);
  });
});

// Where a delimiter could begin a number, two of them are an empty field all the same.
test.each([
  ["a b c\n1 2 3\n4  5\n", "1  2 3", " "],
  ["a\tb\tc\n1\t 2\t3\n4\t\t5\n", "1\t\t2\t3", "\t"],
  ["a-b-c\n1-2-3\n4--5\n", "1--2-3", "-"],
  ["a7b7c\n17273\n4775\n", "172737", "7"],
])("%j is a table, and then %j has 4 fields", async (text, longer, delimiter) => {
  expect(await fromCsv({ text }, { delimiter }).toArray()).toEqual([
    { a: 1, b: 2, c: 3 },
    { a: 4, b: null, c: 5 },
  ]);
  const data = fromCsv({ text: `${text}${longer}\n` }, { delimiter });
  await expect(data.toArray()).rejects.toThrow(/row 3 .* expected 3 fields, got .*4 fields/);
});

// A text that was just read is known again by its characters: within quotes they may be such as end one without.
test.each([
  ['"x,y",1\n', "x,y,1\n"],
  ['"x\ny",1\n', "x\ny,1\n"],
  ['x"y,1\n', '"x"y",1\n'],
])("%j is no reason to read %j the same way", async (first, second) => {
  const data = fromCsv({ text: `a,b\n${first}${second}` }, { schema: { fields: { a: "string", b: "int32" } } });
  await expect(data.toArray()).rejects.toThrow("row 2 (line");
});

describe("lines that are no rows", () => {
  const text = "made by a logger\n\n# a comment\na,b\n# 9,9\n1,x\n#\n2,#y\n\n3,z\n# the end";
  const rows = [
    { a: 1, b: "x" },
    { a: 2, b: "#y" },
    { a: 3, b: "z" },
  ];
  test.each([1, 2, 5, 1 << 20])("comments and leading lines, in pieces of %i", async (size) => {
    expect(await fromCsv(inPieces(text, size), { comment: "#", skipRows: 1 }).toArray()).toEqual(rows);
  });
  test("lines are counted all the same", async () => {
    await expect(
      fromCsv({ text }, { comment: "#", skipRows: 1, schema: { fields: { a: "int32", b: "int32" } } }).toArray(),
    ).rejects.toThrow('row 1 (line 6), column "b": expected an int32, got "x"');
  });
  test("a .tsv is one by its name, also where an address goes on", async () => {
    const text = "a\tb,c,d\n1\tx\n";
    for (const name of ["x.tsv", "https://host/x.tsv.gz?raw=1", "x.TSV#top"])
      expect(await fromCsv({ text, name }).toArray()).toEqual([{ a: 1, "b,c,d": "x" }]);
  });
  test("Excel names the delimiter in a line of its own", async () => {
    expect(await fromCsv({ text: "sep=;\r\na;b\r\n1;2,5\r\n" }, { decimal: "," }).toArray()).toEqual([
      { a: 1, b: 2.5 },
    ]);
  });
});

test("a row of many pieces is not read again for each", async () => {
  const text = `a,b\n1,"${"x, ".repeat(1 << 20)}"\n2,y\n`;
  const started = performance.now();
  const rows = await fromCsv(inPieces(text, 1 << 12), { schema: { fields: { a: "int32", b: "string" } } }).toArray();
  expect(rows.map(({ a, b }) => [a, (b as string).length])).toEqual([
    [1, 3 << 20],
    [2, 1],
  ]);
  // Seconds, where it is; the machine may be busy.
  expect(performance.now() - started).toBeLessThan(3000);
});
