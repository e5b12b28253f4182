import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDataset } from "tenon/data";
import { afterAll, describe, expect, test } from "vitest";
import { UsageError } from "../../src/cli/arguments.js";
import { run } from "../../src/cli/data-check.js";
import { Histogram } from "../../src/data/histogram.js";
import { recordingIo } from "../setup/command-io.js";
import { describeWithData } from "./shared.js";

async function command(...args: string[]) {
  const { io, out, err } = recordingIo();
  const code = await run(args, io).catch((error) => {
    io.err(error.message);
    return error instanceof UsageError ? 2 : 1;
  });
  return { code, out, err };
}

describe("tenon data check", () => {
  const folder = mkdtempSync(join(tmpdir(), "tenon-check-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "t.csv");
  writeFileSync(
    file,
    `id,kind,x\n${Array.from({ length: 50 }, (_, i) => `${i},${"ab"[i % 2]},${i % 10 ? i / 2 : ""}`).join("\n")}\n`,
  );
  const schemaFile = join(folder, "schema.json");
  writeFileSync(
    schemaFile,
    JSON.stringify({
      fields: { id: { type: "int32", max: 40 }, kind: { type: "category", values: ["a"] }, x: "string" },
    }),
  );

  test("prints schema, counts, missing values, histograms, the split and no problems", async () => {
    const { code, out, err } = await command(file);
    expect(code).toBe(0);
    expect(err).toEqual([]);
    const text = out.join("\n");
    expect(text).toContain(`${file}: 50 rows, 3 columns`);
    expect(text).toContain("id      an int32");
    expect(text).toContain("kind    a category");
    expect(text).toContain("a 25, b 25");
    expect(text).toContain("x       a finite float32 or null, 5 missing");
    expect(text).toContain("0.5 to 24.5, mean 12.5  |");
    expect(text).toContain("split by seed 0: train 40, val 10 (hash ");
    expect(text).toContain("no problems");
  });
  test("more values than are counted are told as such", async () => {
    for (const [rows, told] of [
      [10_000, "(10,000 values)"],
      [10_001, "(10,000+ values)"],
    ] as const) {
      const many = join(folder, "many.csv");
      writeFileSync(many, `kind\n${Array.from({ length: rows }, (_, i) => `k${i}`).join("\n")}\n`);
      const schema = join(folder, "many.json");
      writeFileSync(schema, JSON.stringify({ fields: { kind: { type: "category" } } }));
      expect((await command(many, "--schema", schema)).out.join("\n")).toContain(told);
      const { columns } = JSON.parse((await command(many, "--schema", schema, "--json")).out[0]);
      expect([columns[0].distinct, columns[0].uncounted]).toEqual([10_000, rows > 10_000 ? true : undefined]);
    }
  });
  test("--json prints one object", async () => {
    const { code, out } = await command(file, "--json", "--seed", "7", "--split", "train=0.5,test=0.5");
    expect(code).toBe(0);
    expect(out.length).toBe(1);
    const report = JSON.parse(out[0]);
    expect(report).toMatchObject({ rows: 50, split: { seed: 7, counts: { train: 25, test: 25 } } });
    expect(report.columns[0]).toMatchObject({ name: "id", count: 50, missing: 0, min: 0, max: 49, mean: 24.5 });
    expect(report.columns[0].histogram.counts.reduce((a: number, b: number) => a + b, 0)).toBe(50);
    expect(report.contentHash).toMatch(/^[0-9a-f]{64}$/);
    expect(
      JSON.parse((await command(file, "--json", "--seed", "8", "--split", "train=0.5,test=0.5")).out[0]).split.hash,
    ).not.toBe(report.split.hash);
  });
  test("a schema is enforced; problems are listed by row, and the exit code is 1", async () => {
    const { code, out } = await command(file, "--schema", schemaFile);
    expect(code).toBe(1);
    const text = out.join("\n");
    expect(text).toContain(`${file}: row 2 (line 3), column "kind": expected one of "a", got "b".`);
    expect(text).toContain("problems: 34 values, 0 broken rows");
  });
  test.each(["null", "0", '""', "false", "[]"])("the schema %s is refused", async (schema) => {
    const wrong = join(folder, "wrong.json");
    writeFileSync(wrong, schema);
    expect(await command(file, "--schema", wrong)).toMatchObject({
      code: 1,
      out: [],
      err: [expect.stringMatching(/^schema: needs an object with "fields", by list or by name, got /)],
    });
  });
  test("data without a row are a problem", async () => {
    for (const [name, text] of [
      ["header.csv", "a,b\n"],
      ["empty.jsonl", ""],
      ["empty.json", "[]"],
      ["empty.txt", ""],
    ]) {
      const empty = join(folder, name);
      writeFileSync(empty, text);
      const { code, out } = await command(empty);
      expect(code).toBe(1);
      expect(out.join("\n")).toContain(`${empty}: row 1: expected at least one row, got the end of the data.`);
      expect(out).not.toContain("no problems");
      const report = JSON.parse((await command(empty, "--json")).out[0]);
      expect(report).toMatchObject({ rows: 0, report: { violations: [{ expected: "at least one row" }] } });
    }
    const nothing = join(folder, "nothing.csv");
    writeFileSync(nothing, "");
    expect(await command(nothing)).toMatchObject({ code: 1, err: [expect.stringContaining("got an empty file")] });
  });
  test("a column that is nearly one of numbers is pointed at; encodings and decimal marks are options", async () => {
    const german = join(folder, "german.csv");
    writeFileSync(german, Buffer.from("ort;grad\nKöln;1,5\nUlm;NA\nBonn;2,5\n", "latin1"));
    expect((await command(german)).err[0]).toContain(
      "is not valid utf-8: byte 0xf6 at offset 10. If the file has another",
    );
    const options = ["--encoding", "latin1", "--decimal", ",", "--null", "-", "--null", "NA"];
    expect((await command(german, ...options)).out.join("\n")).toContain("grad    a finite float32 or null, 1 missing");
    const nearly = join(folder, "nearly.csv");
    writeFileSync(nearly, "x,y\n1,a\n2,b\nNA,3\n");
    const { out } = await command(nearly);
    expect(out.join("\n")).toContain('2 of 3 are numbers, but not "NA": a missing value (--null) or a mistake?');
    expect(out.join("\n")).not.toContain("1 of 3 are numbers");
  });
  test("decimal commas are pointed at, where they make more of a column numbers than points do", async () => {
    const check = async (name: string, text: string, ...more: string[]) => {
      writeFileSync(join(folder, name), text);
      return (await command(join(folder, name), ...more)).out.join("\n");
    };
    const rows = "a;b\n1;3,14\n2;-1,5e3\n3;x\n4;2\n";
    const hint = "3 of 4 are numbers if commas are decimal marks: --decimal , reads a CSV file so";
    expect(await check("commas.csv", rows)).toContain(hint);
    expect(await check("commas.csv", rows, "--decimal", ",")).toContain('3 of 4 are numbers, but not "x"');
    expect(await check("points.csv", "a;b\n1;3.14\n2;2.5\n3;1,5\n")).toContain('2 of 3 are numbers, but not "1,5"');
    expect(await check("texts.csv", "a;b\n1;yes, no\n2;no, yes\n3;1,5\n")).not.toContain("decimal marks");
  });
  test("lines and rows that are broken as a whole are counted as such", async () => {
    for (const [name, text, told] of [
      ["cut.jsonl", '{"a":1,"b":1}\n{"a":2,"b":2}\n{"a":', "2 values, 1 broken row"],
      ["long.csv", "a,b\n1,2\n1,2,3\n", "0 values, 1 broken row"],
      ["short.csv", "a,b\n1,2\n1\n", "1 value, 1 broken row"],
      ["quote.csv", 'a,b\n1,2\n1,"2\n', "1 broken row"],
    ]) {
      writeFileSync(join(folder, name), text);
      const { code, out } = await command(join(folder, name));
      expect([code, out.join("\n")]).toEqual([1, expect.stringContaining(told)]);
    }
  });
  test("files that cannot be read, and wrong usage", async () => {
    expect(await command(join(folder, "no.csv"))).toMatchObject({
      code: 1,
      err: [expect.stringContaining("no such file")],
    });
    expect(await command(file, "--schema", join(folder, "no.json"))).toMatchObject({ code: 1 });
    expect(await command(join(folder, "mystery.bin"))).toMatchObject({
      code: 1,
      err: [expect.stringContaining("the name tells no format")],
    });
    expect(await command()).toMatchObject({ code: 2 });
    for (const [wrong, message] of [
      ["--sead=1", "there is no option --sead. Did you mean --seed?"],
      ["--format=cvs", "--format needs csv, jsonl, json, parquet, text or idx, got cvs. Did you mean csv?"],
      ...["train", "__proto__=1", "a=0.5,a=0.5", "a=0.5=0.5", "a="].map((parts) => [
        `--split=${parts}`,
        `--split needs parts such as train=0.8,val=0.2, got ${parts}.`,
      ]),
      ["--seed=x", "--seed needs an integer from 0 up, got x."],
      ["--seed=-1", "--seed needs an integer from 0 up, got -1."],
      ["--seed=1.5", "--seed needs an integer from 0 up, got 1.5."],
      ["--seed=", "--seed needs an integer from 0 up, got nothing."],
      ["--seed=9007199254740993", "--seed needs an integer from 0 up, got 9007199254740993."],
    ]) {
      expect(await command(file, wrong)).toMatchObject({ code: 2, err: [message] });
    }
    expect((await command("--help", file)).code).toBe(0);
  });
});

test("the histogram of one pass counts every value", () => {
  for (const values of [
    [1, 2, 3, 3, 3],
    [0.001, 5000, -7e8, 3],
    [5],
    [0, 0, 0],
    Array.from({ length: 1000 }, (_, i) => (i - 500) ** 3 / 7),
  ]) {
    const histogram = new Histogram();
    for (const value of values) histogram.add(value);
    const { start, width, counts } = histogram.bins();
    expect(counts.length).toBeLessThanOrEqual(17);
    const expected = counts.map(
      (_, i) => values.filter((value) => value >= start + i * width && value < start + (i + 1) * width).length,
    );
    expect(counts).toEqual(expected);
    expect(counts.reduce((a, b) => a + b, 0)).toBe(values.length);
  }
});

describe("the data section of a config", () => {
  test("mistakes name the nearest key", () => {
    expect(() => openDataset({ cvs: "x.csv" } as never)).toThrow('data: unknown key "cvs". Did you mean "csv"?');
    expect(() => openDataset({})).toThrow("data: needs one of csv, jsonl, json, parquet, text, idx, got none");
    expect(() => openDataset({ csv: "a.csv", text: "b.txt" })).toThrow("got csv and text");
  });
});

describeWithData("public files", "tabular", (folder) => {
  const cases: [string, number, number, string[]][] = [
    ["seaborn-data/iris.csv", 150, 5, []],
    ["seaborn-data/titanic.csv", 891, 15, []],
    ["seaborn-data/diamonds.csv", 53940, 10, []],
    ["california-housing/housing.csv", 20640, 10, []],
    ["mnist/t10k-images-idx3-ubyte.gz", 10000, 2, ["--labels", "mnist/t10k-labels-idx1-ubyte.gz"]],
    ["../parquet/generated/mixed_snappy.parquet", 5000, 17, []],
    ["../text/instruction-data/instruction-data.json", 1100, 3, []],
    ["../text/makemore-names/names.txt", 32033, 1, []],
  ];
  test.each(cases)("%s", async (file, rows, columns, more) => {
    const args = more.map((part) => (part.startsWith("--") ? part : join(folder, part)));
    const { code, out, err } = await command(join(folder, file), "--json", ...args);
    expect([code, err]).toEqual([0, []]);
    const report = JSON.parse(out[0]);
    expect([report.rows, report.columns.length]).toEqual([rows, columns]);
    expect(Object.values(report.split.counts as Record<string, number>).reduce((a, b) => a + b, 0)).toBe(rows);
  });
});
