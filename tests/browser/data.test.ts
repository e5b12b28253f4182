/** A page without server code reads, checks and splits the same data as Node, to the same hashes. */
import { checkDataset, fitTable, fromCsv, fromParquet, fromRows, type Row } from "tenon/data";
import { expect, test } from "vitest";
import { sha256Hex } from "../../src/core/sha256.js";
import { dataHashes, measurements } from "../data/measurements.js";
import { parquetFile } from "../data/parquet-writer.js";

test("a dropped file: schema, counts and the hash of the split are those of Node", async () => {
  const file = new File([measurements()], "measurements.csv");
  const report = await checkDataset(fromCsv(file), { name: file.name, seed: 7 });
  expect(report).toMatchObject({ rows: 200, split: { counts: { train: 160, val: 40 } } });
  expect(report.schema.fields.map(({ type }) => type)).toEqual(["int32", "float32", "float32", "category", "string"]);
  expect([report.contentHash, report.split.hash]).toEqual([dataHashes.content, dataHashes.split]);
});

test("the same seed gives the same batches as in Node, from a Blob, a stream and compressed", async () => {
  const blob = new Blob([measurements()]);
  const zipped = blob.stream().pipeThrough(new CompressionStream("gzip"));
  for (const source of [blob, blob.stream(), zipped]) {
    const data = (await fromCsv(source)).cache();
    const { train } = data.split({ train: 0.8, val: 0.2 }, { seed: 7, stratify: "kind" });
    const table = await fitTable(train, { features: ["width", "height", "kind"], target: "kind" });
    const bytes: number[] = [];
    for await (const { columns } of train.encode(table).shuffle(7).batch(16)) {
      bytes.push(...new Uint8Array((columns["features"].data as Float32Array).buffer));
    }
    expect(sha256Hex(Uint8Array.from(bytes))).toBe(dataHashes.batches);
  }
});

test("problems are told as in Node", async () => {
  const file = new File(["a,b\n1,x\nzwei,y\n"], "dropped.csv");
  const schema = { fields: { a: "int32", b: "string" } } as const;
  await expect(fromCsv(file, { schema }).toArray()).rejects.toThrow(
    'dropped.csv: row 2 (line 3), column "a": expected an int32, got "zwei".',
  );
  const cut = new Blob([new Uint8Array([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1])]);
  await expect(fromCsv(cut).toArray()).rejects.toThrow("broken gzip data");
});

test("a Parquet file is read in a page, and a damaged one refused", async () => {
  const bytes = parquetFile(100);
  const rows = await fromParquet(new File([bytes as BlobPart], "x.parquet")).toArray();
  expect(rows[99]).toEqual({ id: 99, name: "n99" });
  const lie = new Blob([parquetFile(5, { pageValues: 2 ** 30 }) as BlobPart]);
  await expect(fromParquet(lie).toArray()).rejects.toThrow("more values than the 5 of the footer");
});

test("gzip of several members is read to the end, where a page's own decompressor stops at the first", async () => {
  const gzip = async (text: string) =>
    new Uint8Array(
      await new Response(new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer(),
    );
  const lines = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => `${from + i},${(from + i) % 97}\n`).join("");
  const parts = [
    await gzip(`a,b\n${lines(0, 60_000)}`),
    await gzip(lines(60_000, 60_001)),
    await gzip(lines(60_001, 61_000)),
  ];
  const rows = await fromCsv(new Blob(parts as BlobPart[])).toArray();
  expect(rows).toEqual(Array.from({ length: 61_000 }, (_, i) => ({ a: i, b: i % 97 })));
  const followed = new Blob([...parts, "more"] as BlobPart[]);
  await expect(fromCsv(followed).count()).rejects.toThrow("the gzip data is followed by bytes that are no gzip");
  const cut = new Blob([...parts.slice(0, 2), parts[2].slice(0, 50)] as BlobPart[]);
  await expect(fromCsv(cut).count()).rejects.toThrow("broken gzip data");
  await expect(fromCsv(new Blob(parts as BlobPart[]), { maxDecompressedBytes: 1000 }).count()).rejects.toThrow(
    "may expand",
  );
});

test("workers of the page map as the page does", async () => {
  const map = (workers: number) =>
    fromCsv(new Blob([measurements()]))
      .map((row, { index }) => ({ x: (row["width"] as number) * 2 + index }), { workers })
      .toArray();
  expect(await map(2)).toEqual(await map(0));
});

test("a restored cursor continues what Node or a page began", async () => {
  const rows: Row[] = Array.from({ length: 100 }, (_, i) => ({ i }));
  const whole = (await fromRows(rows).shuffle(3).toArray()).map((row) => row["i"]);
  const rest = fromRows(rows).shuffle(3);
  rest.restore({ epoch: 0, position: 60 });
  expect((await rest.toArray()).map((row) => row["i"])).toEqual(whole.slice(60));
});
