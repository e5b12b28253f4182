import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { parquetSchema } from "hyparquet";
import { fromParquet } from "tenon/data";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { setWarningListener } from "../../src/core/warnings.js";
import { inferField, type TopColumn, topLevelColumns } from "../../src/data/parquet-schema.js";
import { DATA, describeWithData } from "./shared.js";

/** Rows as JSON would hold them: the form of hyparquet's expectations, which leave out some members that are null. */
function plain(value: unknown): unknown {
  if (value === undefined || value === null) return null;
  if (typeof value === "bigint") return Number(value);
  if (Object.is(value, -0)) return 0;
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  if (value instanceof Date) return value.toISOString();
  if (ArrayBuffer.isView(value)) return Array.from(value as Uint8Array, plain);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "object")
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, item]) => item !== undefined && item !== null)
        .map(([key, item]) => [key, plain(item)]),
    );
  return value;
}

test("a column whose first rows are all null, or are none, has the type that the file says", () => {
  type Element = { children?: Element[]; [key: string]: unknown };
  const nodeOf = ({ children = [], ...element }: Element): object => ({
    element: { name: "x", ...element },
    children: children.map(nodeOf),
  });
  const typeOf = (element: Element, range?: [number, number], asText = true) => {
    const nested = element.children !== undefined || element["repetition_type"] === "REPEATED";
    const column = { name: "x", node: nodeOf(element), nested, leaves: [], required: false, range };
    const none = inferField(column as unknown as TopColumn, [], asText);
    expect(inferField(column as unknown as TopColumn, [{ x: null }, { x: null }], asText)).toEqual(none);
    return none;
  };
  const field = (type: string) => ({ name: "x", type, nullable: true });
  const list = (items: string) => ({ ...field("list"), items });
  expect(typeOf({ type: "INT32" })).toEqual(field("int32"));
  expect(typeOf({ type: "INT32", logical_type: { type: "INTEGER" } })).toEqual(field("int32"));
  expect(typeOf({ type: "INT64" }, [0, 2 ** 40])).toEqual(field("float32"));
  expect(typeOf({ type: "BOOLEAN" })).toEqual(field("bool"));
  expect(typeOf({ type: "INT64" }, [-5, 2 ** 31 - 1])).toEqual(field("int32"));
  expect(typeOf({ type: "INT64" })).toEqual(field("float32"));
  expect(typeOf({ type: "INT32", converted_type: "UINT_32" })).toEqual(field("float32"));
  expect(typeOf({ type: "INT32", converted_type: "UINT_32" }, [0, 9])).toEqual(field("int32"));
  expect(typeOf({ type: "INT32", converted_type: "TIME_MILLIS" })).toEqual(field("int32"));
  expect(typeOf({ type: "INT32", converted_type: "DECIMAL", scale: 2, precision: 9 })).toEqual(field("float32"));
  expect(typeOf({ type: "INT32", converted_type: "DECIMAL", precision: 9 })).toEqual(field("int32"));
  expect(typeOf({ type: "INT64", converted_type: "DECIMAL", precision: 10 })).toEqual(field("float32"));
  expect(typeOf({ type: "FIXED_LEN_BYTE_ARRAY", logical_type: { type: "FLOAT16" } })).toEqual(field("float32"));
  expect(typeOf({ type: "BYTE_ARRAY", converted_type: "UTF8" })).toEqual(field("string"));
  expect(typeOf({ type: "BYTE_ARRAY" })).toEqual(field("string"));
  expect(typeOf({ type: "BYTE_ARRAY" }, undefined, false)).toEqual(field("bytes"));
  expect(typeOf({ type: "FIXED_LEN_BYTE_ARRAY" })).toEqual(field("bytes"));
  expect(typeOf({ type: "INT32", converted_type: "DATE" })).toEqual(field("json"));
  expect(typeOf({ type: "INT64", logical_type: { type: "TIMESTAMP" } })).toEqual(field("json"));
  expect(typeOf({ type: "INT32", logical_type: { type: "NULL" } })).toEqual(field("json"));
  expect(typeOf({ children: [{ type: "INT32" }, { type: "INT32" }] })).toEqual(field("json"));
  const item = (element: object) => ({ repetition_type: "REPEATED", ...element });
  expect(typeOf({ type: "INT64", repetition_type: "REPEATED" })).toEqual(list("float32"));
  expect(typeOf({ converted_type: "LIST", children: [item({ type: "BOOLEAN" })] })).toEqual(list("bool"));
  expect(
    typeOf({
      converted_type: "LIST",
      children: [item({ children: [{ type: "BYTE_ARRAY", converted_type: "UTF8" }] })],
    }),
  ).toEqual(list("string"));
  const pairs = item({ children: [{ type: "INT32" }, { type: "INT32" }] });
  expect(typeOf({ converted_type: "LIST", children: [pairs] })).toEqual(field("json"));
});

test("a column's range is that of all row groups, however many they are", () => {
  const group = (min: number, max: bigint) => ({
    num_rows: 2n,
    columns: [{ meta_data: { path_in_schema: ["x"], statistics: { min_value: min, max_value: max, null_count: 0n } } }],
  });
  const row_groups = [group(-5, 0n), ...new Array(100_000).fill(group(3, 4n)), group(1, 9n)];
  const tree = parquetSchema({
    schema: [
      { name: "root", num_children: 1 },
      { name: "x", type: "INT64" },
    ],
  });
  expect(topLevelColumns(tree, row_groups as never)).toMatchObject([{ name: "x", required: true, range: [-5, 9] }]);
});

describeWithData("hyparquet's files", "parquet/hyparquet", (folder) => {
  const files = readdirSync(folder).filter((file) => file.endsWith(".parquet"));
  test("are there", () => expect(files.length).toBeGreaterThan(50));
  test.each(files)("%s", async (file) => {
    const expected = JSON.parse(readFileSync(join(folder, file.replace(".parquet", ".json")), "utf8"));
    const rows = await fromParquet(join(folder, file)).toArray();
    const names = rows.length > 0 ? Object.keys(rows[0]) : [];
    // The expectations of some files are rows as arrays.
    const got = Array.isArray(expected[0]) ? rows.map((row) => names.map((name) => row[name])) : rows;
    expect(plain(got)).toEqual(plain(expected));
  });
});

describeWithData("one table in every codec", "parquet/parquet-wasm", (folder) => {
  const codecs = ["brotli", "gzip", "lz4", "none", "snappy", "zstd"];
  test.each(codecs)("%s, in one row group and in two", async (codec) => {
    const reference = await fromParquet(join(folder, "1-partition-none.parquet")).toArray();
    expect(reference.length).toBeGreaterThan(2);
    expect(await fromParquet(join(folder, `1-partition-${codec}.parquet`)).toArray()).toEqual(reference);
    expect(await fromParquet(join(folder, `2-partition-${codec}.parquet`)).toArray()).toEqual(reference);
  });
  test("no rows, string views, geometry", async () => {
    expect(await fromParquet(join(folder, "empty.parquet")).toArray()).toEqual([]);
    expect((await fromParquet(join(folder, "string_view.parquet")).toArray()).length).toBeGreaterThan(0);
    expect((await fromParquet(join(folder, "naturalearth_cities_wkb.parquet")).toArray()).length).toBe(202);
  });
});

describeWithData("files of pyarrow", "parquet/generated", (folder) => {
  const { num_rows, rows_first_200 } = JSON.parse(readFileSync(join(folder, "mixed_expected.json"), "utf8"));
  /** pyarrow's tagged values beside ours. */
  const agrees = (got: unknown, expected: unknown): boolean => {
    if (expected === null) return got === null || got === undefined;
    if (typeof expected === "number") return Math.abs(Number(got) - expected) <= 1e-6 * Math.max(1, Math.abs(expected));
    if (Array.isArray(expected))
      return Array.isArray(got) || ArrayBuffer.isView(got)
        ? expected.every((item, i) => agrees((got as unknown[])[i], item))
        : false;
    if (typeof expected !== "object") return got === expected;
    const tagged = expected as Record<string, unknown>;
    if ("int" in tagged) return String(got) === tagged["int"];
    if ("time" in tagged)
      return (got as Date).toISOString().startsWith(String(tagged["time"]).replace(" ", "T").slice(0, 19));
    if ("decimal" in tagged) return agrees(got, Number(tagged["decimal"]));
    if ("hex" in tagged) return Buffer.from(got as Uint8Array).toString("hex") === tagged["hex"];
    return Object.entries(tagged).every(([key, item]) => agrees((got as Record<string, unknown>)[key], item));
  };
  test.each(["none", "snappy"])("mixed types, %s", async (codec) => {
    const rows = await fromParquet(join(folder, `mixed_${codec}.parquet`)).toArray();
    expect(rows.length).toBe(num_rows);
    rows_first_200.forEach((expected: Record<string, unknown>, i: number) => {
      for (const [name, value] of Object.entries(expected)) {
        expect(agrees(rows[i][name], value), `row ${i}, ${name}: ${JSON.stringify(value)}`).toBe(true);
      }
    });
  });
  test("the file's types are the schema", async () => {
    const { schema } = await fromParquet(join(folder, "mixed_snappy.parquet"));
    const types = Object.fromEntries(schema.fields.map((field) => [field.name, field.type]));
    expect(types).toMatchObject({ id: "int32", i8: "int32", f32: "float32", b: "bool", cat: "category" });
    expect(schema.fields.find((field) => field.name === "lf")).toMatchObject({ type: "list", items: "float32" });
  });
  test("columns are chosen, a schema is enforced", async () => {
    const file = join(folder, "mixed_snappy.parquet");
    const two = await fromParquet(file, { columns: ["id", "s"] })
      .take(2)
      .toArray();
    expect(Object.keys(two[0])).toEqual(["id", "s"]);
    await expect(fromParquet(file, { columns: ["nope"] }).toArray()).rejects.toThrow('has no column "nope"');
    const schema = { fields: { id: { type: "int32" as const, max: 3 } } };
    await expect(fromParquet(file, { columns: ["id"], schema }).toArray()).rejects.toThrow(
      'row 5, column "id": expected an int32 of at most 3, got 4.',
    );
    const skipped = fromParquet(file, { columns: ["id"], schema, onViolation: "skip" });
    expect(await skipped.count()).toBe(4);
    expect(skipped.report).toMatchObject({ rows: 5000, skippedRows: 4996 });
  });
  test("a column of text", async () => {
    const rows = await fromParquet(join(folder, "tinystories_snappy.parquet")).toArray();
    expect(rows.length).toBeGreaterThan(500);
    expect(typeof rows[0]["text"]).toBe("string");
  });
});

const sample = join(DATA, "parquet/generated/mixed_snappy.parquet");

describe.skipIf(!existsSync(sample))("broken files", () => {
  const bytes = existsSync(sample) ? new Uint8Array(readFileSync(sample)) : new Uint8Array();
  const read = (content: Uint8Array) => fromParquet(content, { name: "x.parquet" }).toArray();
  test("cuts and damaged bytes are errors with the file's name, or rows: never a hang or a crash", async () => {
    for (const length of [0, 4, 7, 8, 11, 1000, bytes.length - 9, bytes.length - 1]) {
      await expect(read(bytes.slice(0, length)), `${length} bytes`).rejects.toThrow("x.parquet");
    }
    let errors = 0;
    for (let i = 0; i < 40; i++) {
      const damaged = bytes.slice();
      // The footer, where lies do most harm, and the pages in turn.
      const at = i % 2 ? bytes.length - 12 - ((i * 7919) % 4000) : (i * 104729) % bytes.length;
      damaged[at] ^= 1 << (i % 8);
      await read(damaged).catch((error) => {
        errors++;
        expect(error.name).toBe("DataError");
        expect(error.message).toContain("x.parquet");
      });
    }
    expect(errors).toBeGreaterThan(5);
  }, 60_000);
  test("a Node Buffer is read as its bytes", async () => {
    expect((await fromParquet(Buffer.from(bytes)).toArray()).length).toBe(5000);
  });
  test("a footer longer than the file", async () => {
    const lying = bytes.slice();
    new DataView(lying.buffer).setUint32(lying.length - 8, 0x7fffffff, true);
    await expect(read(lying)).rejects.toThrow("x.parquet: cannot be read as Parquet");
  });
});

describe.skipIf(!existsSync(sample))("from a URL", () => {
  const bytes = existsSync(sample) ? readFileSync(sample) : Buffer.alloc(0);
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    requests.push(request.headers.range ?? "all");
    if (request.url === "/missing") response.writeHead(404).end();
    else if (request.url === "/cut") {
      response.writeHead(200, { "Content-Length": bytes.length });
      response.write(bytes.subarray(0, 1000), () => response.destroy());
    } else if (range && request.url === "/changed" && range[1] !== "0") {
      const [start, end] = [Number(range[1]), Number(range[2])];
      const sent = `bytes ${start}-${end}/${bytes.length + 1}`;
      response.writeHead(206, { "Content-Range": sent }).end(bytes.subarray(start, end + 1));
    } else if (range && (request.url === "/ranges" || request.url === "/changed")) {
      const [start, end] = [Number(range[1]), Math.min(Number(range[2]), bytes.length - 1)];
      response
        .writeHead(206, { "Content-Range": `bytes ${start}-${end}/${bytes.length}` })
        .end(bytes.subarray(start, end + 1));
    } else response.writeHead(200, { "Content-Length": bytes.length }).end(bytes);
  });
  let origin = "";
  beforeAll(async () => {
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  test("range requests fetch the footer and the wanted columns only", async () => {
    requests.length = 0;
    const rows = await fromParquet(`${origin}/ranges`, { columns: ["id"] }).toArray();
    expect(rows.length).toBe(5000);
    expect(requests).not.toContain("all");
    expect(rows[4999]).toEqual({ id: 4999 });
  });
  test("a server without ranges sends the file once, and that is told", async () => {
    const warnings: string[] = [];
    const before = setWarningListener(({ message }) => void warnings.push(message));
    requests.length = 0;
    expect((await fromParquet(`${origin}/whole`).toArray()).length).toBe(5000);
    setWarningListener(before);
    expect(requests.length).toBe(1);
    expect(warnings.join()).toContain("the server has no range requests; the whole file is kept in memory");
  });
  test("a file that is another one by the next request is an error", async () => {
    await expect(fromParquet(`${origin}/changed`).toArray()).rejects.toThrow(
      /asked for bytes from \d+ of \d+, the server sent bytes .* The file has changed since it was opened/,
    );
  });
  test("HTTP errors and cut connections are errors", async () => {
    await expect(fromParquet(`${origin}/missing`).toArray()).rejects.toThrow("the server answered HTTP 404 Not Found");
    await expect(fromParquet(`${origin}/cut`).toArray()).rejects.toThrow(
      /the connection was cut after \d+ bytes of \d+/,
    );
    const nobody = "http://127.0.0.1:9/x.parquet";
    await expect(fromParquet(nobody).toArray()).rejects.toThrow(`${nobody}: cannot be fetched`);
  });
});
