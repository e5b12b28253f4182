import { fromParquet } from "tenon/data";
import { expect, test } from "vitest";
import { type Lies, parquetFile } from "./parquet-writer.js";

const read = (bytes: Uint8Array) => fromParquet(bytes, { name: "x.parquet" }).toArray();

test("the file without lies is read", async () => {
  const rows = await read(parquetFile(200));
  expect(rows.length).toBe(200);
  expect(rows[199]).toEqual({ id: 199, name: "n199" });
});

test("a row group without rows says nothing about types", async () => {
  const data = await fromParquet(parquetFile(200, { emptyFirst: true }));
  expect(data.schema.fields.map(({ type }) => type)).toEqual(["int32", "string"]);
  for (const _ of "twice") expect((await data.toArray()).at(-1)).toEqual({ id: 199, name: "n199" });
});

const lies: [Lies, string][] = [
  [{ rows: 6 }, "6 rows in all, 5 in the row groups"],
  [{ rows: -5 }, "-5 rows in all"],
  [{ groupRows: 2 ** 40, rows: 2 ** 40 }, 'column "id" of row group 0 has 5 values for 1099511627776 rows'],
  [{ groupRows: -1, rows: -1 }, "row group 0 has -1 rows"],
  [{ columnValues: 2 ** 31 }, 'column "id" of row group 0 has 2147483648 values for 5 rows'],
  [{ columnSize: 2 ** 40 }, 'column "id" of row group 0 ends at byte'],
  [{ columnSize: -1 }, 'column "id" of row group 0 ends at byte'],
  [{ columnOffset: -9 }, 'column "id" of row group 0 ends at byte'],
  [{ columnSize: 0 }, "its pages have 0 values, the footer says 5"],
  [{ type: 2 }, 'column "id" of row group 0 is INT64, in the schema INT32'],
  [{ children: 2 ** 30 }, '"root" has 1073741824 columns'],
  [{ children: -1 }, '"root" has -1 columns'],
  [{ children: 1 }, "its schema has 3 elements, 2 of them in the tree"],
  [{ pageValues: 4 }, "its pages have 4 values, the footer says 5"],
  [{ pageValues: 2 ** 30 }, "its pages have more values than the 5 of the footer"],
  [{ pageValues: -1 }, "the number of values of a page is -1"],
  [{ pageSize: 2 ** 30 }, "claims to expand beyond its limit"],
  [{ pageSize: 8 }, "a page expands to 20 bytes, its header says 8"],
  [{ pageCompressedSize: 2 ** 30 }, "a page of 1073741824 bytes begins 20 bytes before the chunk's end"],
  [{ pageCompressedSize: -40 }, "the compressed size of a page is -40"],
  [{ pageCompressedSize: 8, pageSize: 8 }, "a page of 8 bytes cannot hold its 5 values of INT32"],
  [{ encoding: 8 }, "a page uses a dictionary that is not there"],
  [{ encoding: 5 }, "delta blocks of 0 values"],
  [{ encoding: 4 }, "a page has an encoding that is not supported"],
  [{ encoding: 3 }, "INT32 has no RLE encoding"],
  [{ codec: 3 }, "the codec LZO is not supported"],
  [{ codec: 2 }, "is no gzip data of 20 bytes"],
  [{ pageType: 2 }, "a dictionary page has no dictionary header"],
  [{ pageType: 7 }, "a page has the unknown type 7"],
];
test.each(lies)("%j is told, soon", async (lie, message) => {
  const started = performance.now();
  await expect(read(parquetFile(5, lie))).rejects.toThrow(message);
  await expect(read(parquetFile(5, lie))).rejects.toThrow(/^x\.parquet: /);
  expect(performance.now() - started).toBeLessThan(5_000);
});
