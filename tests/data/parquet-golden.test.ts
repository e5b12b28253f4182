import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fromParquet, type Row } from "tenon/data";
import { expect, test } from "vitest";

// Files of other writers, in every codec, encoding, page version and shape: a new case is a file beside its table.
const folder = "tests/fixtures/parquet";
const files = readdirSync(folder).filter((file) => file.endsWith(".parquet"));

/** A value in the form of the expectations, where what JSON lacks is tagged. */
function tagged(value: unknown): unknown {
  if (value === undefined || value === null) return null;
  if (typeof value === "bigint") return { int: String(value) };
  if (typeof value === "number")
    return Number.isFinite(value) ? value : { float: String(value).toLowerCase().replace("infinity", "inf") };
  if (value instanceof Date) return { date: value.toISOString() };
  if (value instanceof Uint8Array) return { hex: Buffer.from(value).toString("hex") };
  if (ArrayBuffer.isView(value)) return Array.from(value as Int32Array, tagged);
  if (Array.isArray(value)) return value.map(tagged);
  if (typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, item]) => [k, tagged(item)]));
  return value;
}

/** Decimals are compared as numbers, to the last digit but one; everything else exactly. */
function expectSame(got: unknown, expected: unknown, place: string): void {
  if (expected !== null && typeof expected === "object") {
    if ("decimal" in expected) {
      const near = Number(expected.decimal);
      expect(Math.abs((got as number) - near), `${place}: ${String(got)}`).toBeLessThanOrEqual(1e-15 * Math.abs(near));
      return;
    }
    if (!("int" in expected || "float" in expected || "date" in expected || "hex" in expected)) {
      const missing = Object.keys(expected).filter((key) => !(key in Object(got)));
      const whole = { ...(got as object), ...Object.fromEntries(missing.map((key) => [key, null])) };
      expect(Object.keys(whole).sort(), place).toEqual(Object.keys(expected).sort());
      for (const [key, item] of Object.entries(expected)) {
        expectSame((whole as Record<string, unknown>)[key], item, `${place}.${key}`);
      }
      return;
    }
  }
  expect(got, place).toEqual(expected);
}

const read = (file: string): Promise<Row[]> => fromParquet(join(folder, file), { binary: "bytes" }).toArray();

test.each(files.filter((file) => !file.startsWith("encrypted")))("%s", async (file) => {
  const expected = JSON.parse(readFileSync(join(folder, `${file.split("-")[0]}.json`), "utf8")) as Row[];
  const rows = await read(file);
  expect(rows.length).toBe(expected.length);
  rows.forEach((row, i) => {
    expectSame(tagged(row), expected[i], `row ${i}`);
  });
});

test("encryption is named, and columns in clear are read", async () => {
  await expect(read("encrypted-footer.parquet")).rejects.toThrow("its footer is encrypted, which is not supported");
  await expect(read("encrypted-column.parquet")).rejects.toThrow('encrypted-column.parquet: "i" is encrypted');
  const rows = await fromParquet(join(folder, "encrypted-column.parquet"), { columns: ["s"] }).toArray();
  expect(rows.map((row) => row.s)).toEqual(Array.from({ length: 12 }, (_, i) => `s${i}`));
});
