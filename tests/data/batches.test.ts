import { join } from "node:path";
import {
  type Batch,
  type BatchOptions,
  decodeTarget,
  encodeRow,
  fitTable,
  fromCsv,
  fromIdx,
  fromRows,
  type Row,
} from "tenon/data";
import { describe, expect, test } from "vitest";
import { setWarningListener } from "../../src/core/warnings.js";
import { describeWithData } from "./shared.js";

async function all(batches: AsyncIterable<Batch>): Promise<Batch[]> {
  const list: Batch[] = [];
  for await (const batch of batches) list.push(batch);
  return list;
}
const ragged = (rows: number[][]) =>
  fromRows(
    rows.map((ids) => ({ ids })),
    { schema: { fields: { ids: "tokens" } } },
  );
const one = async (rows: number[][], options: Partial<BatchOptions>) =>
  (await ragged(rows)
    .batch({ batchSize: 10, ...options })
    .next())!.columns["ids"];

describe("batches", () => {
  const rows = Array.from({ length: 10 }, (_, i) => ({
    x: i / 2,
    n: i,
    ok: i % 2 === 0,
    name: `n${i}`,
    kind: "ab"[i % 2],
  }));
  const schema = {
    fields: { x: "float32", n: "int32", ok: "bool", name: "string", kind: { type: "category", values: ["a", "b"] } },
  } as const;
  test("columns are typed, the batch dimension comes first, the last batch is short", async () => {
    const [first, , , last] = await all(fromRows(rows, { schema }).batch(3));
    expect(first.size).toBe(3);
    expect(first.columns["x"]).toEqual({ data: Float32Array.of(0, 0.5, 1), shape: [3] });
    expect(first.columns["n"]).toEqual({ data: Int32Array.of(0, 1, 2), shape: [3] });
    expect(first.columns["ok"]).toEqual({ data: Uint8Array.of(1, 0, 1), shape: [3] });
    expect(first.columns["name"]).toEqual({ data: ["n0", "n1", "n2"], shape: [3] });
    expect(first.columns["kind"]).toEqual({ data: Int32Array.of(0, 1, 0), shape: [3] });
    expect(last.size).toBe(1);
    expect(last.columns["n"].shape).toEqual([1]);
  });
  test("dropLast leaves the short one out; epochs repeat", async () => {
    expect((await all(fromRows(rows).batch({ batchSize: 3, dropLast: true }))).length).toBe(3);
    expect((await all(fromRows(rows).batch({ batchSize: 3, epochs: 2 }))).map(({ size }) => size)).toEqual([
      3, 3, 3, 1, 3, 3, 3, 1,
    ]);
  });
  test("no rows, no batch; without end that is an error", async () => {
    const none = fromRows(rows).filter(() => false);
    expect(await none.batch(2).next()).toBeNull();
    await expect(none.batch({ batchSize: 2, epochs: Number.POSITIVE_INFINITY }).next()).rejects.toThrow(
      "an epoch has 0 rows",
    );
  });
  test("nulls come with a mask; without nullable they are errors", async () => {
    const data = fromCsv(
      { text: "a,b\n1,x\n,y\n" },
      { schema: { fields: { a: { type: "float32", nullable: true }, b: "string" } } },
    );
    expect((await data.batch(2).next())!.columns["a"]).toEqual({
      data: Float32Array.of(1, 0),
      shape: [2],
      mask: Uint8Array.of(1, 0),
    });
    const bad = fromRows(rows).map((row) => ({ x: row["n"] === 1 ? null : 1 }));
    await expect(bad.batch(3).next()).rejects.toThrow('column "x" is not nullable, got null in row 1');
  });
  test("unknown columns and sizes are refused", async () => {
    await expect(
      fromRows(rows)
        .batch({ batchSize: 2, columns: ["y"] })
        .next(),
    ).rejects.toThrow('batch: no column "y"');
    expect(() => fromRows(rows).batch(0)).toThrow("batchSize needs a positive integer, got 0");
    for (const [name, value] of [
      ["epochs", Number.NaN],
      ["multipleOf", 0],
      ["maxLength", 1.5],
    ] as const) {
      expect(() => fromRows(rows).batch({ batchSize: 1, [name]: value })).toThrow(`${name} needs a positive integer`);
    }
  });
  test("an error stays where it is: whoever asks again does not get the end, or the next batch", async () => {
    const unread = fromCsv({ text: "x\n1\n2\n3\nold\n" }, { schema: { fields: { x: "int32" } } });
    const uneven = fromRows([{ x: [1] }, { x: [2] }, { x: [3] }, { x: [4, 5] }, { x: [6] }]);
    for (const [data, given] of [
      [unread, 0], // the piece of text that it stands in gives no rows
      [uneven, 1],
    ] as const) {
      const batches = data.batch({ batchSize: 2, epochs: 2 });
      for (let k = 0; k < given; k++) await batches.next();
      for (let again = 0; again < 3; again++) {
        await expect(batches.next()).rejects.toThrow('column "x"');
        expect(batches.state()).toEqual({ epoch: 0, batch: given });
      }
    }
  });
});

describe("ragged rows", () => {
  const rows = [[1, 2, 3], [4], [5, 6]];
  test("error: equal lengths or an error that names the rows", async () => {
    expect(
      await one(
        [
          [1, 2],
          [3, 4],
        ],
        {},
      ),
    ).toEqual({ data: Int32Array.of(1, 2, 3, 4), shape: [2, 2] });
    await expect(one(rows, {})).rejects.toThrow(
      "rows must have equal lengths, got 3 in row 0 and 1 in row 1 of the batch.",
    );
  });
  test("pad: to the longest, with a mask, on either side, to a multiple", async () => {
    expect(await one(rows, { ragged: "pad", padValue: 9 })).toEqual({
      data: Int32Array.of(1, 2, 3, 4, 9, 9, 5, 6, 9),
      shape: [3, 3],
      mask: Uint8Array.of(1, 1, 1, 1, 0, 0, 1, 1, 0),
    });
    const left = await one(rows, { ragged: "pad", padSide: "left", multipleOf: 4 });
    expect(left.shape).toEqual([3, 4]);
    expect([...(left.data as Int32Array)]).toEqual([0, 1, 2, 3, 0, 0, 0, 4, 0, 0, 5, 6]);
    expect([...left.mask!]).toEqual([0, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 1]);
  });
  test("truncate: to maxLength, from either side", async () => {
    const right = await one(rows, { ragged: "truncate", maxLength: 2 });
    expect([...(right.data as Int32Array)]).toEqual([1, 2, 4, 0, 5, 6]);
    const left = await one(rows, { ragged: "truncate", maxLength: 2, truncateSide: "left" });
    expect([...(left.data as Int32Array)]).toEqual([2, 3, 4, 0, 5, 6]);
    await expect(one(rows, { ragged: "truncate" })).rejects.toThrow('ragged "truncate" needs maxLength');
  });
  test("a context that is too short, and empty rows, are errors", async () => {
    await expect(one(rows, { ragged: "pad", maxLength: 2 })).rejects.toThrow("rows may have 2 elements, got 3");
    await expect(one([[1], []], { ragged: "pad" })).rejects.toThrow(
      "row 1 of the batch: needs at least one element, got none",
    );
    const nullable = fromRows([{ ids: [1] }, { ids: null }], {
      schema: { fields: { ids: { type: "tokens", nullable: true } } },
    });
    await expect(nullable.batch({ batchSize: 2, ragged: "pad" }).next()).rejects.toThrow(
      "row 1 of the batch: needs at least one element, got null. Filter such rows out",
    );
    expect((await one([[1], []], { ragged: "pad", allowEmpty: true })).mask).toEqual(Uint8Array.of(1, 0));
  });
  test("pad values by column; masks and labels of another length are refused", async () => {
    const data = (labels: number[]) =>
      fromRows(
        [
          { ids: [1, 2], labels },
          { ids: [3], labels: [-100] },
        ],
        {
          schema: { fields: { ids: "tokens", labels: { type: "list", items: "int32" } } },
        },
      );
    const padded = (await data([-100, 2])
      .batch({ batchSize: 2, ragged: "pad", padValue: { labels: -100 } })
      .next())!;
    expect([...(padded.columns["labels"].data as Int32Array)]).toEqual([-100, 2, -100, -100]);
    expect([...(padded.columns["ids"].data as Int32Array)]).toEqual([1, 2, 3, 0]);
    await expect(data([-100, 2, 3]).batch({ batchSize: 2, ragged: "pad" }).next()).rejects.toThrow(
      '"labels" must have the shape of "ids", got [2, 3] and [2, 2]',
    );
  });
  test("a run may be longer than a function takes arguments", async () => {
    const ids = [1];
    const data = fromRows(Array.from({ length: 150_000 }, (_, n) => ({ n, ids })));
    const rows = await data.bucket({ column: "ids", batchSize: 140_000, window: 1 }).toArray();
    expect([rows.length, rows[0], rows.at(-1)]).toEqual([150_000, { n: 0, ids }, { n: 149_999, ids }]);
  });
  test("bucketing makes padding rare and loses nothing", async () => {
    const rows = Array.from({ length: 640 }, (_, i) => ({ ids: Array.from({ length: 1 + ((i * 37) % 64) }, () => i) }));
    const padding = async (data: ReturnType<typeof ragged>) => {
      let padded = 0;
      for await (const { columns } of data.batch({ batchSize: 16, ragged: "pad" }))
        padded += columns["ids"].mask!.filter((bit) => bit === 0).length;
      return padded;
    };
    const data = fromRows(rows, { schema: { fields: { ids: "tokens" } } });
    const bucketed = data.bucket({ column: "ids", batchSize: 16, seed: 1 });
    expect(await padding(bucketed)).toBeLessThan(0.1 * (await padding(data)));
    const firsts = (await bucketed.toArray()).map((row) => (row["ids"] as number[])[0]).sort((a, b) => a - b);
    expect(firsts).toEqual(rows.map((row) => row.ids[0]));
  });
});

describe("packing", () => {
  test("rows end to end in blocks, with end of text and segments", async () => {
    const blocks = await ragged([[1, 2, 3], [4, 5], [6]])
      .pack({ blockSize: 4, endOfText: 0 })
      .toArray();
    expect(blocks.map(({ ids }) => [...ids])).toEqual([
      [1, 2, 3, 0],
      [4, 5, 0, 6],
    ]);
    expect(blocks.map(({ segments }) => [...segments])).toEqual([
      [0, 0, 0, 0],
      [0, 0, 0, 1],
    ]);
    const padded = await ragged([[1, 2, 3], [4, 5], [6]])
      .pack({ blockSize: 4, endOfText: 0, padLast: 9 })
      .toArray();
    expect(padded.map(({ ids }) => [...ids])[2]).toEqual([0, 9, 9, 9]);
    expect([...padded[2].labels]).toEqual([0, -100, -100, -100]);
  });
  test("labels travel along; in batches everything has the block's shape", async () => {
    const data = fromRows([
      { ids: [1, 2, 3], labels: [-100, 2, 3] },
      { ids: [4], labels: [4] },
    ]);
    const [batch] = await all(data.pack({ blockSize: 2 }).batch(2));
    expect([...(batch.columns["labels"].data as Int32Array)]).toEqual([-100, 2, 3, 4]);
    expect(batch.columns["ids"]).toMatchObject({ shape: [2, 2] });
    await expect(
      fromRows([{ ids: [1, 2], labels: [1] }])
        .pack({ blockSize: 2 })
        .toArray(),
    ).rejects.toThrow("row 0 has 2 ids and 1 labels");
  });
});

describe("reused buffers", () => {
  const data = () => fromRows(Array.from({ length: 40 }, (_, i) => ({ x: i })));
  test("a batch that is kept is never overwritten; a released one is emptied", async () => {
    const batches = data().batch({ batchSize: 10, reuseBuffers: true });
    const kept = (await batches.next())!;
    const released = (await batches.next())!;
    const held = released.columns["x"].data as Float32Array;
    const copy = [...(kept.columns["x"].data as Float32Array)];
    released.release();
    expect(held.length).toBe(0);
    expect(batches.memory()).toEqual({ pooledBytes: 40, allocatedBytes: 80 });
    const third = (await batches.next())!;
    expect([...(third.columns["x"].data as Float32Array)]).toEqual([20, 21, 22, 23, 24, 25, 26, 27, 28, 29]);
    expect([...(kept.columns["x"].data as Float32Array)]).toEqual(copy);
    expect(batches.memory()).toEqual({ pooledBytes: 0, allocatedBytes: 80 });
    third.release();
    third.release();
    expect(batches.memory().pooledBytes).toBe(40);
  });
  test("the numbers are those without reuse", async () => {
    const numbers = async (reuseBuffers: boolean) => {
      const list: number[][] = [];
      for await (const batch of data().shuffle(1).batch({ batchSize: 7, reuseBuffers })) {
        list.push([...(batch.columns["x"].data as Float32Array)]);
        batch.release();
      }
      return list;
    };
    expect(await numbers(true)).toEqual(await numbers(false));
  });
});

describe("tables", () => {
  const rows: Row[] = [
    { a: 1, c: "red", t: true, y: "no" },
    { a: 3, c: "blue", t: false, y: "yes" },
    { a: null, c: null, t: true, y: "no" },
    { a: 5, c: "red", t: false, y: "yes" },
  ];
  const schema = {
    fields: {
      a: { type: "float32", nullable: true },
      c: { type: "category", nullable: true },
      t: "bool",
      y: { type: "category", role: "target" },
    },
  } as const;
  test("numbers are normalised, categories one-hot, targets are classes; nulls are the mean and the zero code", async () => {
    const data = fromRows(rows, { schema });
    const table = await fitTable(data);
    expect(table.width).toBe(4);
    expect(table.features[0]).toMatchObject({ name: "a", offset: 3, scale: Math.sqrt(8 / 3) });
    expect(table.features[1]).toMatchObject({ name: "c", values: ["blue", "red"] });
    expect(table.target).toMatchObject({ name: "y", task: "classification", classes: ["no", "yes"] });
    const batch = (await data.encode(table).batch(4).next())!;
    const z = Math.fround(2 / Math.sqrt(8 / 3));
    expect([...(batch.columns["features"].data as Float32Array)]).toEqual([
      -z,
      0,
      1,
      1,
      0,
      1,
      0,
      0,
      0,
      0,
      0,
      1,
      z,
      0,
      1,
      0,
    ]);
    expect(batch.columns["features"].shape).toEqual([4, 4]);
    expect(batch.columns["target"]).toEqual({ data: Int32Array.of(0, 1, 0, 1), shape: [4] });
  });
  test("regression: the target is normalised and comes back", async () => {
    const data = fromRows(
      [
        { x: 1, y: 10 },
        { x: 2, y: 30 },
      ],
      { schema: { fields: { x: "float32", y: "float32" } } },
    );
    const table = await fitTable(data, { target: "y", normalizeTarget: "minmax", normalize: "none" });
    expect((await data.encode(table).toArray()).map(({ target }) => target)).toEqual([0, 1]);
    expect(decodeTarget(table, 0.5)).toBe(20);
  });
  test("the encoding is JSON, and encodes plain rows alone", async () => {
    const table = JSON.parse(JSON.stringify(await fitTable(fromRows(rows, { schema }))));
    expect(encodeRow(table, { a: 3, c: "blue", t: true }).features).toEqual(Float32Array.of(0, 1, 0, 1));
    expect(() => encodeRow(table, { a: 3, t: true })).toThrow('the row has no column "c"');
    expect(() => encodeRow(table, { a: "3", c: "blue", t: true })).toThrow('column "a": expected a number, got "3"');
    const warnings: string[] = [];
    const before = setWarningListener(({ message }) => warnings.push(message));
    expect(encodeRow(table, { a: 3, c: "green", t: true }).features).toEqual(Float32Array.of(0, 0, 0, 1));
    setWarningListener(before);
    expect(warnings).toEqual(['encode: column "c" has a value that training never saw: "green".']);
  });
  test("what is learnt depends on the training part alone", async () => {
    const make = (extra: Row[]) => fromRows([...Array.from({ length: 100 }, (_, i) => ({ a: i, y: i % 2 })), ...extra]);
    const fit = async (data: ReturnType<typeof make>) =>
      fitTable(data.split({ train: 0.5, val: 0.5 }, { seed: 1 }).train.take(50), { target: "y" });
    expect(
      await fit(
        make([
          { a: 1e6, y: 0 },
          { a: -1e6, y: 1 },
        ]),
      ),
    ).toEqual(await fit(make([])));
  });
  test("mistakes are refused", async () => {
    const data = fromRows(rows, { schema });
    await expect(fitTable(data, { target: "z" })).rejects.toThrow('fitTable: no column "z"');
    const text = fromRows([{ s: "a long and unique text", y: 1 }], { schema: { fields: { s: "string", y: "int32" } } });
    await expect(fitTable(text, { target: "y" })).rejects.toThrow('column "s" of type string cannot be a feature');
    const table = await fitTable(data);
    await expect(
      fromRows([{ a: 1, c: "red", t: true, y: "maybe" }], { schema })
        .encode(table)
        .toArray(),
    ).rejects.toThrow('expected one of 2 classes, got "maybe"');
  });
});

describeWithData("public tables", "tabular", (folder) => {
  test("iris: 120 and 30 rows, four features, three classes", async () => {
    const iris = await fromCsv(join(folder, "seaborn-data/iris.csv"));
    const { train, val } = iris.split({ train: 0.8, val: 0.2 }, { seed: 1337, stratify: "species" });
    const table = await fitTable(train, { target: "species" });
    expect(table.width).toBe(4);
    expect(table.target!.classes).toEqual(["setosa", "versicolor", "virginica"]);
    const batch = (await val.encode(table).batch(64).next())!;
    expect(batch.columns["features"].shape).toEqual([30, 4]);
    const counts = [0, 0, 0];
    for (const code of batch.columns["target"].data as Int32Array) counts[code]++;
    expect(counts).toEqual([10, 10, 10]);
  });
  test("diamonds: price from nine columns", async () => {
    const diamonds = await fromCsv(join(folder, "seaborn-data/diamonds.csv"));
    const { train } = diamonds.split({ train: 0.9, val: 0.1 }, { seed: 1 });
    const table = await fitTable(train, { target: "price", normalizeTarget: "standard" });
    expect(table.width).toBe(6 + 5 + 7 + 8);
    const batches = train.encode(table).shuffle(1).batch(256);
    const batch = (await batches.next())!;
    await batches.close();
    expect(batch.columns["features"].shape).toEqual([256, 26]);
    expect(batch.columns["target"].data).toBeInstanceOf(Float32Array);
  });
  test("MNIST: pixels from 0 to 1, ten classes", async () => {
    const mnist = join(folder, "mnist");
    const data = fromIdx(join(mnist, "t10k-images-idx3-ubyte.gz"), {
      labels: join(mnist, "t10k-labels-idx1-ubyte.gz"),
    });
    const { train } = data.split({ train: 0.8, val: 0.2 }, { seed: 1 });
    const table = await fitTable(train, { task: "classification" });
    expect(table.target!.classes).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    const batch = (await train.encode(table).shuffle(1).batch(32).next())!;
    expect(batch.columns["features"].shape).toEqual([32, 784]);
    expect(Math.max(...(batch.columns["features"].data as Float32Array))).toBe(1);
  });
});
