/** Rows travel in chunks whose lengths mean nothing: not for what is read ahead, and not for what a step costs. */
import { checkDataset, type Dataset, fitTable, fromRows, type Row } from "tenon/data";
import { describe, expect, test } from "vitest";

const schema = { fields: { i: "int32" } } as const;
const range = (n: number) => Array.from({ length: n }, (_, i) => i);
const numbers = (n: number) => range(n).map((i) => ({ i }));
const from = (rows: Parameters<typeof fromRows>[0] & (() => unknown)) => fromRows(rows, { schema });
const column = async (data: Dataset) => (await data.toArray()).map((row) => (row as Row)["i"]);
const chunksOf = async (data: Dataset) => {
  const lengths: number[] = [];
  for await (const chunk of data.stage.open({ epoch: 0, skip: 0 })) lengths.push(chunk.length);
  return lengths;
};
const turns = async (count: number) => {
  for (let k = 0; k < count; k++) await new Promise(setImmediate);
};
/** Chunks of one row: what is asynchronous comes row by row. */
const oneByOne = (n: number, row: (i: number) => Row = (i) => ({ i })) =>
  async function* () {
    for (let i = 0; i < n; i++) yield row(i);
  };
const milliseconds = async (work: () => Promise<unknown>) => {
  const start = performance.now();
  await work();
  return performance.now() - start;
};

describe("rows of a function", () => {
  test("come in chunks that grow, of a generator and of a list; of what is asynchronous one by one", async () => {
    const grown = [1, 2, 4, 8, 16, 32, 64, 128, 256, 256, 233];
    const list = numbers(1000);
    expect(await chunksOf(from(() => list))).toEqual(grown);
    expect(
      await chunksOf(
        from(function* () {
          yield* list;
        }),
      ),
    ).toEqual(grown);
    expect(await chunksOf(from(oneByOne(3)))).toEqual([1, 1, 1]);
  });
  test("are read ahead by no more than were read before, and a pass that is left ends the generator", async () => {
    let drawn = 0;
    let ended = 0;
    const endless = from(function* () {
      try {
        for (drawn = 0; ; ) yield { i: drawn++ };
      } finally {
        ended++;
      }
    });
    for (const [count, most] of [
      [1, 1],
      [5, 7],
      [1000, 1279],
    ]) {
      expect(await column(endless.take(count))).toEqual(range(count));
      expect(drawn).toBeLessThanOrEqual(most);
    }
    expect(ended).toBe(3);
  });
  test("may be one object again and again", async () => {
    const reused = from(function* () {
      const row = { i: 0 };
      for (row.i = 0; row.i < 1000; row.i++) yield row;
    });
    expect(await column(reused)).toEqual(range(1000));
    expect(await reused.fingerprint()).toBe(await from(() => numbers(1000)).fingerprint());
  });
  test("may be promises", async () => {
    expect(await column(from((() => range(20).map(async (i) => ({ i }))) as never))).toEqual(range(20));
  });
  test("are given before what is wrong behind them", async () => {
    const broken = from(function* () {
      yield* numbers(20);
      throw new Error("no more");
    });
    const wrong = from(() => [...numbers(20), { i: 0.5 }]);
    for (const [data, message] of [
      [broken, "no more"],
      [wrong, "row 21"],
    ] as const) {
      const seen: unknown[] = [];
      const pass = async () => {
        for await (const { i } of data) seen.push(i);
      };
      await expect(pass()).rejects.toThrow(message);
      expect(seen).toEqual(range(20));
    }
  });
});

describe("calls of map at the same time", () => {
  test("are of several chunks, and the order stays", async () => {
    let running = 0;
    let most = 0;
    const slow = async (row: Row, { index }: { index: number }) => {
      most = Math.max(most, ++running);
      await turns((index * 7) % 5);
      running--;
      return { i: row["i"], index };
    };
    const rows = await from(oneByOne(100)).map(slow, { concurrency: 8 }).toArray();
    expect(rows).toEqual(range(100).map((i) => ({ i, index: i })));
    expect(most).toBe(8);
    expect(await column(from(oneByOne(10)).map((row) => row, { concurrency: 3 }))).toEqual(range(10));
  });
  test("do not wait for rows to come", async () => {
    let seen = 0;
    const waiting = from(async function* () {
      for (let i = 0; i < 5; i++) {
        while (seen < i) await turns(1);
        yield { i };
      }
    });
    for await (const _ of waiting.map(async (row) => row, { concurrency: 4 })) seen++;
    expect(seen).toBe(5);
  });
  test("read no further than they need, whoever is slow", async () => {
    let drawn = 0;
    let release = () => {};
    const first = new Promise<void>((resolve) => (release = resolve));
    const counted = from(async function* () {
      for (drawn = 0; drawn < 1000; ) yield { i: drawn++ };
    });
    const pass = column(
      counted.map(async (row, { index }) => (index === 0 ? first.then(() => row) : row), { concurrency: 4 }),
    );
    await turns(50);
    expect(drawn).toBeLessThan(10);
    release();
    expect(await pass).toEqual(range(1000));
  });
  test("give what stands before an error, then the error, and begin no more", async () => {
    let calls = 0;
    const seen: unknown[] = [];
    const broken = from(oneByOne(100)).map(
      async (row, { index }) => {
        calls++;
        await turns(index < 5 ? 9 : 1);
        if (index >= 5) throw new Error(`row ${index}`);
        return row;
      },
      { concurrency: 8 },
    );
    const pass = async () => {
      for await (const { i } of broken) seen.push(i);
    };
    await expect(pass()).rejects.toThrow("row 5");
    expect(seen).toEqual(range(5));
    expect(calls).toBe(8);
    const unreadable = from(async function* () {
      yield* numbers(3);
      throw new Error("cut");
    }).map(async (row) => row, { concurrency: 8 });
    await expect(unreadable.toArray()).rejects.toThrow("cut");
  });
});

test("interleaved rows travel in chunks as well, whatever the chunks of each", async () => {
  const expected = range(3000).flatMap((i) => (i < 5 ? [i, i, i] : i < 2000 ? [i, i] : [i]));
  const parts = fromRows(numbers(2000)).interleave(
    from(() => numbers(3000)),
    from(oneByOne(5)),
  );
  expect(await column(parts)).toEqual(expected);
  expect(await column(parts.skip(4000).take(7))).toEqual(expected.slice(4000, 4007));
  expect((await chunksOf(parts)).length).toBeLessThan(40);
});

describe("what a step costs grows with the rows alone", () => {
  test("bucket, of chunks of one row", async () => {
    const lists = oneByOne(60_000, (i) => ({ ids: new Int32Array(1 + (i % 50)) }));
    const data = fromRows(lists, { schema: { fields: { ids: "tokens" } } });
    const bucketed = () => data.bucket({ column: "ids", batchSize: 64, window: 1000 }).count();
    // A quarter of a minute where the rows held are copied for each.
    expect(await milliseconds(bucketed)).toBeLessThan(5000);
  }, 60_000);

  const values = range(20_000).map((i) => `category ${i}`);
  const rows = range(100_000).map((i) => ({ c: values[(i * 7919) % 20_000], y: i % 2 }));
  const fields = [
    { name: "c", type: "category", values },
    { name: "y", type: "float32" },
  ] as const;
  const known = fromRows(rows, { schema: { fields } });
  // Ten seconds each where lists of values are searched.
  const works: [string, () => Promise<unknown>][] = [
    ["the check of categories", () => fromRows(rows, { schema: { fields } }).count()],
    ["codes of categories in batches", () => known.batch({ batchSize: 100_000 }).next()],
    [
      "class numbers",
      async () =>
        known
          .encode(await fitTable(known, { features: ["y"], target: "c" }))
          .batch(100_000)
          .next(),
    ],
    ["parts by value", () => known.splitBy("c", { train: values.slice(1), val: values[0] }).train.count()],
  ];
  test.each(works)(
    "%s",
    async (_, work) => {
      expect(await milliseconds(work)).toBeLessThan(3000);
    },
    60_000,
  );
  test("one-hot codes", async () => {
    const encoding = await fitTable(known, { features: ["c"], target: "y" });
    const some = fromRows(rows.slice(0, 50), { schema: { fields } }).encode(encoding);
    const codes = (await some.toArray()).map(({ features }) => features.indexOf(1));
    expect(codes).toEqual(rows.slice(0, 50).map(({ c }) => encoding.features[0].values!.indexOf(c)));
  });

  test("a look at a dataset reads it for its schema, its summary and its hash, and not for the parts of its split", async () => {
    let passes = 0;
    const data = fromRows(() => {
      passes++;
      return numbers(100);
    });
    const { split } = await checkDataset(data, { name: "x", seed: 3 });
    expect(passes).toBe(3);
    const parts = fromRows(numbers(100)).split({ train: 0.8, val: 0.2 }, { seed: 3 });
    expect(split.counts).toEqual({ train: await parts.train.count(), val: await parts.val.count() });
    await expect(checkDataset(data.shuffle(1), { name: "x" })).rejects.toThrow("Split first");
  });
});
