import { createHash } from "node:crypto";
import { type Dataset, fromCsv, fromIdx, fromJsonl, fromRows, type Row } from "tenon/data";
import { describe, expect, test, vi } from "vitest";
import { Generator } from "../../src/core/random.js";
import { permutation } from "../../src/data/shuffle.js";
import { inPieces } from "./shared.js";

const numbers = (n: number) => Array.from({ length: n }, (_, i) => ({ i }));
const csv = (n: number) => `i,g\n${Array.from({ length: n }, (_, i) => `${i},${"abc"[i % 3]}`).join("\n")}\n`;
const column = async (data: Dataset, name = "i") => (await data.toArray()).map((row) => (row as Row)[name] as number);
const sorted = (values: number[]) => [...values].sort((a, b) => a - b);
const range = (n: number) => Array.from({ length: n }, (_, i) => i);
const digest = (value: unknown) => createHash("sha256").update(JSON.stringify(value)).digest("hex");

describe("steps", () => {
  const data = () => fromRows(numbers(10));
  test("map, filter, flatMap, take, skip, concat, interleave, repeat", async () => {
    expect(await column(data().map((row) => ({ i: (row["i"] as number) * 2 })))).toEqual(range(10).map((i) => i * 2));
    expect(await column(data().filter((row) => (row["i"] as number) % 3 === 0))).toEqual([0, 3, 6, 9]);
    expect(
      await column(
        data()
          .take(2)
          .flatMap((row) => [row, row]),
      ),
    ).toEqual([0, 0, 1, 1]);
    expect(await column(data().skip(7))).toEqual([7, 8, 9]);
    expect(await column(data().skip(2).take(3))).toEqual([2, 3, 4]);
    expect(await column(data().take(2).concat(data().skip(8), data().take(1)))).toEqual([0, 1, 8, 9, 0]);
    expect(await column(data().take(3).interleave(data().skip(5)))).toEqual([0, 5, 1, 6, 2, 7, 8, 9]);
    expect(await column(data().take(2).repeat(3))).toEqual([0, 1, 0, 1, 0, 1]);
    expect(await column(data().repeat().take(25))).toEqual([...range(10), ...range(10), ...range(5)]);
  });
  test("asynchronous maps overlap and keep the order", async () => {
    let running = 0;
    let most = 0;
    const slow = async (_: Row, { index }: { index: number }) => {
      most = Math.max(most, ++running);
      for (let k = 0; k < (index * 7) % 5; k++) await new Promise(setImmediate);
      running--;
      return { i: index };
    };
    expect(await column(fromRows(numbers(100)).map(slow, { concurrency: 8 }))).toEqual(range(100));
    expect(most).toBe(8);
  });
  test("an error in a map reaches the reader, at its place", async () => {
    const broken = data().map(({ i }) => {
      if (i === 5) throw new Error("five");
      return { i };
    });
    await expect(broken.toArray()).rejects.toThrow("five");
    await expect(broken.prefetch(2).toArray()).rejects.toThrow("five");
  });
  test("after an error no further calls begin", async () => {
    let calls = 0;
    const broken = fromRows(numbers(500)).map(
      async (row) => {
        calls++;
        await new Promise(setImmediate);
        if (row["i"] === 3) throw new Error("three");
        return row;
      },
      { concurrency: 4 },
    );
    await expect(broken.toArray()).rejects.toThrow("three");
    const then = calls;
    for (let k = 0; k < 10; k++) await new Promise(setImmediate);
    expect(calls).toBe(then);
  });
  test("random numbers of a map depend on seed, epoch and row alone", async () => {
    const noisy = (concurrency: number) =>
      data().map((_, { uniform }) => ({ i: uniform() + uniform() }), { seed: 3, concurrency });
    const one = noisy(1);
    const first = await column(one);
    expect(await column(noisy(4))).toEqual(first);
    expect(await column(one)).not.toEqual(first); // the second epoch
  });
  test("cache reads its source once; prefetch reads ahead", async () => {
    let calls = 0;
    const counted = fromCsv({ text: csv(5) }).map((row) => {
      calls++;
      return row;
    });
    const cached = counted.cache();
    await cached.toArray();
    expect(await column(cached)).toEqual(range(5));
    expect(calls).toBe(5);
    expect(await column(counted.prefetch(3))).toEqual(range(5));
  });
  test("a pass that is left early closes its file", async () => {
    let closed = false;
    async function* source() {
      try {
        for (;;) yield "a,b\n1,2\n".repeat(10000);
      } finally {
        closed = true;
      }
    }
    for await (const row of fromCsv(source(), { schema: { fields: { a: "string", b: "string" } } })) {
      expect(row).toBeDefined();
      break;
    }
    expect(closed).toBe(true);
  });
  test("so does one whose schema was inferred first, and one whose header is broken", async () => {
    let closed = 0;
    async function* source(text: string) {
      try {
        for (;;) yield text;
      } finally {
        closed++;
      }
    }
    for (const data of [
      await fromCsv(source("a,b\n1,2\n".repeat(20_000)), { onViolation: "skip" }),
      await fromJsonl(source('{"a":1}\n'.repeat(20_000))),
    ]) {
      for await (const row of data) {
        expect(row).toBeDefined();
        break;
      }
    }
    expect(closed).toBe(2);
    await expect((async () => fromCsv(source("a,a\n1,2\n".repeat(20_000))))()).rejects.toThrow('"a" is named twice');
    expect(closed).toBe(3);
  });
});

test("one variable holds what is read, its steps and its parts", async () => {
  let data = fromJsonl({ text: '{"a":1}\n{"a":2}\n{"a":3}\n' });
  data = data.filter(({ a }) => a !== 3);
  data = data.split({ train: 1 }).train;
  expect(await data.toArray()).toEqual([{ a: 1 }, { a: 2 }]);
  data = await fromJsonl({ text: '{"b":"x"}\n' });
  expect(data.schema.fields.map(({ name }) => name)).toEqual(["b"]);
});

describe("shuffle", () => {
  test("the permutation without memory is one, for every length", () => {
    for (const n of [1, 2, 3, 4, 5, 7, 16, 17, 100, 101, 1000]) {
      for (const epoch of [0, 1]) {
        const place = permutation(new Generator(5), "shuffle", epoch, n);
        expect(sorted(range(n).map(place))).toEqual(range(n));
      }
    }
  });
  test("its places are uniform", () => {
    const n = 8;
    const counts = range(n).map(() => range(n).map(() => 0));
    for (let seed = 0; seed < 4000; seed++) {
      const place = permutation(new Generator(seed), "shuffle", 0, n);
      for (let i = 0; i < n; i++) counts[i][place(i)]++;
    }
    for (const row of counts) for (const count of row) expect(Math.abs(count - 500)).toBeLessThan(110);
  });
  test("every epoch differs, a seed repeats, nothing is lost", async () => {
    for (const make of [() => fromRows(numbers(1000)), () => fromCsv({ text: csv(1000) })]) {
      const data = make().shuffle({ seed: 7 });
      const epochs = [await column(data), await column(data)];
      expect(epochs[0]).not.toEqual(epochs[1]);
      expect(epochs.map(sorted)).toEqual([range(1000), range(1000)]);
      expect(await column(make().shuffle(7))).toEqual(epochs[0]);
      expect(await column(make().shuffle(8))).not.toEqual(epochs[0]);
    }
  });
  test("a small buffer still gives every row once", async () => {
    const data = fromCsv({ text: csv(1000) }).shuffle({ seed: 1, bufferSize: 10 });
    const rows = await column(data);
    expect(sorted(rows)).toEqual(range(1000));
    expect(rows).not.toEqual(range(1000));
    // A row cannot come before it was read.
    expect(Math.max(...rows.map((row, at) => row - at))).toBeLessThanOrEqual(10);
  });
});

describe("split", () => {
  test("parts are disjoint, complete, exact in number, and stable when rows are appended", async () => {
    const ratios = { train: 0.8, val: 0.1, test: 0.1 };
    const parts = async (n: number, seed = 1) => {
      const split = fromCsv({ text: csv(n) }).split(ratios, { seed });
      return { train: await column(split.train), val: await column(split.val), test: await column(split.test) };
    };
    const small = await parts(1000);
    expect([small.train.length, small.val.length, small.test.length]).toEqual([800, 100, 100]);
    expect(sorted([...small.train, ...small.val, ...small.test])).toEqual(range(1000));
    const large = await parts(1500);
    expect(large.val.filter((i) => i < 1000)).toEqual(small.val);
    expect((await parts(1000, 2)).val).not.toEqual(small.val);
  });
  test("a source by number and a stream are split alike", async () => {
    const ratios = { a: 0.6, b: 0.25, c: 0.15 };
    const fromStream = fromCsv({ text: csv(333) }).split(ratios, { seed: 3 });
    const fromMemory = fromRows(numbers(333)).split(ratios, { seed: 3 });
    for (const name of ["a", "b", "c"] as const) {
      expect(await column(fromMemory[name])).toEqual(await column(fromStream[name]));
      expect(await fromMemory[name].count()).toBe(await fromStream[name].count());
    }
  });
  test("ratios below 1 leave rows out", async () => {
    const { a } = fromRows(numbers(100)).split({ a: 0.25 }, { seed: 1 });
    expect(await a.count()).toBe(25);
  });
  test("stratified: the ratio holds within each value", async () => {
    for (const make of [() => fromCsv({ text: csv(300) }), () => fromCsv({ text: csv(300) }).cache()]) {
      const { val } = make().split({ train: 0.9, val: 0.1 }, { seed: 1, stratify: "g" });
      const groups = (await val.toArray()).map((row) => row["g"]);
      for (const value of ["a", "b", "c"]) expect(groups.filter((group) => group === value).length).toBe(10);
    }
  });
  test("grouped: a group is never divided, wherever its rows stand", async () => {
    const rows = Array.from({ length: 1000 }, (_, i) => ({ i, user: `u${(i * 7) % 100}` }));
    const users = async (list: Row[]) => {
      const { train, val } = fromRows(list).split({ train: 0.7, val: 0.3 }, { seed: 2, group: "user" });
      const of = async (part: Dataset) => new Set((await part.toArray()).map((row) => row["user"] as string));
      return [await of(train), await of(val)];
    };
    const [train, val] = await users(rows);
    expect([...val].some((user) => train.has(user))).toBe(false);
    expect(val.size).toBeGreaterThan(15);
    expect(val.size).toBeLessThan(45);
    expect((await users([...rows].reverse()))[1]).toEqual(new Set(val));
  });
  test("dates, lists and objects are told apart by what they hold, to the millisecond", async () => {
    const values = [
      (k: number) => new Date(1.6e12 + k),
      (k: number) => Uint8Array.of(7, k),
      (k: number) => ({ in: [k, new Date(k)] }),
    ];
    for (const value of values) {
      const rows = Array.from({ length: 400 }, (_, i) => ({ i, of: value(i % 20) }));
      const { val } = fromRows(rows).split({ train: 0.9, val: 0.1 }, { seed: 1, stratify: "of" });
      const stratified = await column(val);
      for (let k = 0; k < 20; k++) expect(stratified.filter((i) => i % 20 === k).length).toBe(2);
      const { a, b } = fromRows(rows).split({ a: 0.5, b: 0.5 }, { seed: 1, group: "of" });
      const groups = [await column(a), await column(b)].map((part) => new Set(part.map((i) => i % 20)));
      expect(groups[0].size + groups[1].size).toBe(20);
      expect(Math.min(groups[0].size, groups[1].size)).toBeGreaterThan(3);
    }
  });
  test("a share of less than a row in a thousand gets its rows", async () => {
    const parts = fromRows(numbers(20_000)).split({ train: 0.9997, val: 0.0003 }, { seed: 1 });
    expect([await parts.train.count(), await parts.val.count()]).toEqual([19_994, 6]);
  });
  test("nothing is kept of groups that passed by", async () => {
    const set = vi.spyOn(Map.prototype, "set");
    const rows = Array.from({ length: 50 }, (_, i) => ({ user: `u${i}` }));
    await fromRows(rows).split({ a: 0.5, b: 0.5 }, { group: "user" }).a.toArray();
    const streams = set.mock.calls.flatMap(([key], k) =>
      /^split group/.test(String(key)) ? [set.mock.contexts[k]] : [],
    );
    set.mockRestore();
    expect(streams.length).toBeGreaterThanOrEqual(50);
    for (const map of streams as Map<unknown, unknown>[]) expect(map.size).toBe(1);
  });
  test("by a column", async () => {
    const parts = fromCsv({ text: csv(9) }).splitBy("g", { train: ["a", "b"], val: "c" });
    expect(await column(parts.val)).toEqual([2, 5, 8]);
    expect(await column(parts.train)).toEqual([0, 1, 3, 4, 6, 7]);
  });
  test("mistakes are refused", async () => {
    const data = await fromCsv({ text: csv(9) });
    expect(() => data.shuffle().split({ a: 1 })).toThrow("Split first, then shuffle");
    expect(() => data.split({ a: 0.8, b: 0.4 })).toThrow("ratios add up to at most 1");
    expect(() => data.split({ a: 1 }, { stratify: "gg" })).toThrow('split: no column "gg". Did you mean "g"?');
    expect(() => data.split({ a: 1 }, { stratify: "g", group: "g" })).toThrow("takes stratify or group, got both");
    expect(() => data.splitBy("g", { train: ["a", "b"], val: "b" })).toThrow('the value "b" of "g" is in two parts');
  });
});

/** One pipeline of each kind, over a stream and over memory. */
const pipelines: [string, () => Dataset<Row>][] = [
  ["rows", () => fromRows(numbers(200))],
  ["generated rows", () => fromRows(() => numbers(200).values())],
  ["stream", () => fromCsv({ text: csv(200) })],
  ["exact shuffle", () => fromRows(numbers(200)).shuffle(3)],
  ["buffered shuffle", () => fromCsv({ text: csv(200) }).shuffle({ seed: 3, bufferSize: 16 })],
  [
    "filter, map, take",
    () =>
      fromCsv({ text: csv(200) })
        .filter(({ i }) => (i as number) % 2 === 0)
        .map((row) => ({ ...row }))
        .take(70),
  ],
  [
    "flatMap of a shuffle",
    () =>
      fromRows(numbers(60))
        .shuffle(1)
        .flatMap((row) => [row, { i: -(row["i"] as number) }]),
  ],
  ["split, shuffle", () => fromRows(numbers(200)).split({ a: 0.7, b: 0.3 }, { seed: 1 }).a.shuffle(2)],
  ["concat of streams", () => fromCsv({ text: csv(50) }).concat(fromCsv({ text: csv(70) }))],
  ["concat of rows", () => fromRows(numbers(50)).concat(fromRows(numbers(70)))],
  ["interleave", () => fromCsv({ text: csv(50) }).interleave(fromRows(numbers(70)))],
  ["repeat of a shuffle", () => fromRows(numbers(30)).shuffle(1).repeat(3)],
  [
    "repeat of a stream",
    () =>
      fromCsv({ text: csv(30) })
        .shuffle(1)
        .repeat(3),
  ],
  [
    "cache, prefetch",
    () =>
      fromCsv({ text: csv(60) })
        .cache()
        .shuffle(1)
        .prefetch(2),
  ],
  [
    "bucket",
    () =>
      fromRows(numbers(200).map(({ i }) => ({ i, t: "x".repeat(1 + ((i * 7) % 13)) }))).bucket({
        column: "t",
        batchSize: 8,
        window: 4,
      }),
  ],
];

describe("cursor", () => {
  test.each(pipelines)("%s continues exactly where it stopped, in a new pipeline", async (_, make) => {
    const whole = make();
    const epochs = [await whole.toArray(), await whole.toArray()];
    for (const stop of [0, 1, 17, epochs[1].length - 1]) {
      const first = make();
      first.restore({ epoch: 1, position: 0 });
      const begun: Row[] = [];
      let state = first.state();
      for await (const row of first) {
        if (begun.length === stop) break;
        begun.push(row);
        state = first.state();
      }
      const second = make();
      second.restore(JSON.parse(JSON.stringify(state)));
      expect([...begun, ...(await second.toArray())]).toEqual(epochs[1]);
    }
  });
  test("a loop left early starts again; a finished one is the next epoch", async () => {
    const data = fromRows(numbers(50)).shuffle(1);
    const first: number[] = [];
    for await (const row of data) if (first.push(row["i"] as number) === 5) break;
    const again = await column(data);
    expect(again.slice(0, 5)).toEqual(first);
    expect(data.state()).toEqual({ epoch: 1, position: 0 });
    expect(() => data.restore({ epoch: -1, position: 0 })).toThrow("needs { epoch, position }");
  });
  test.each(pipelines)("%s in batches continues, too", async (_, make) => {
    const batches = () => make().batch({ batchSize: 7, columns: ["i"], epochs: 2 });
    const all: number[][] = [];
    for await (const batch of batches()) all.push([...(batch.columns["i"].data as Float32Array)]);
    const first = batches();
    for (let k = 0; k < 9; k++) await first.next();
    const second = batches();
    second.restore(JSON.parse(JSON.stringify(first.state())));
    const rest: number[][] = [];
    for (let batch = await second.next(); batch; batch = await second.next())
      rest.push([...(batch.columns["i"].data as Float32Array)]);
    expect(rest).toEqual(all.slice(9));
    expect(await second.next()).toBeNull();
  });
});

describe("determinism", () => {
  test("the same batches whatever the pieces of the stream and the concurrency", async () => {
    const text = csv(3000);
    const hashes = new Set<string>();
    for (const size of [7, 100, 4096, 1 << 20]) {
      for (const concurrency of [1, 5]) {
        const data = fromCsv(inPieces(text, size))
          .map(async (row) => ({ ...row, i: (row["i"] as number) + 1 }), { concurrency })
          .shuffle({ seed: 11, bufferSize: 100 });
        const batches: unknown[] = [];
        for await (const { columns } of data.batch({ batchSize: 32, columns: ["i"] }))
          batches.push([...(columns["i"].data as Float32Array)]);
        hashes.add(digest(batches));
      }
    }
    expect(hashes.size).toBe(1);
  });
  test("the same rows whatever the number of workers", async () => {
    const hashes = new Set<string>();
    for (const workers of [0, 1, 2, 3]) {
      // Self-contained, and slower for some rows than for others.
      const data = fromCsv(inPieces(csv(4000), 5000))
        .map(
          async (row, { index }) => {
            if (index % 500 === 0) await new Promise((done) => setTimeout(done, 1));
            return { i: (row["i"] as number) * 3 + index };
          },
          { workers },
        )
        .shuffle({ seed: 1, bufferSize: 50 });
      hashes.add(digest(await column(data)));
    }
    expect(hashes.size).toBe(1);
  });
  test("an error in a worker names its rows; a pass left early ends the workers", async () => {
    const data = fromRows(numbers(3000)).map(
      ({ i }) => {
        if (i === 2000) throw new Error("two thousand");
        return { i };
      },
      { workers: 2 },
    );
    await expect(data.toArray()).rejects.toThrow(
      "map: the function failed in a worker on rows 1024 to 2047: two thousand.",
    );
    expect(await column(data.take(3))).toEqual([0, 1, 2]);
    const outside = 5;
    await expect(
      fromRows(numbers(3))
        .map(() => ({ i: outside }), { workers: 1 })
        .toArray(),
    ).rejects.toThrow("must use nothing from outside itself");
    expect(() => data.map((row) => row, { workers: -1 })).toThrow("workers needs an integer from 0, got -1");
  });
  test("a worker that ends by itself is told, and this process does not end with it", async () => {
    const data = fromRows(numbers(3000)).map(({ i }) => (i === 1500 ? process.exit(3) : { i }), { workers: 2 });
    await expect(data.toArray()).rejects.toThrow("map: a worker ended with exit code 3 on rows 1024 to 2047.");
    expect(await column(data.take(3))).toEqual([0, 1, 2]);
  });
  test("rows that cannot be sent to a worker are mapped here, and all others get their own answers", async () => {
    const data = fromRows(numbers(8000))
      .map(({ i }) => (i === 1500 ? { i, f: () => 1 } : { i }))
      .map(({ i }) => ({ i }), { workers: 1 });
    expect(await column(data.take(5000) as Dataset)).toEqual(range(5000));
  });
  test("orders are fixed for ever", async () => {
    // Changing these changes every run that was ever recorded: it needs a line in docs/decisions.md.
    expect(digest(await column(fromRows(numbers(500)).shuffle(42)))).toMatchInlineSnapshot(
      `"82bea5f544deaa24ecaa032352703a2433a24068915ff2522ca865ccafb34d42"`,
    );
    expect(
      digest(await column(fromCsv({ text: csv(500) }).shuffle({ seed: 42, bufferSize: 64 }))),
    ).toMatchInlineSnapshot(`"1d0a89adcf6e8f27b1d64a546a23f4c6d945bc08348db9489e1c44f5095968b7"`);
    expect(
      digest(await column(fromRows(numbers(500)).split({ a: 0.8, b: 0.2 }, { seed: 42 }).b)),
    ).toMatchInlineSnapshot(`"bd0efd432c576f35e9169dd83b3cd6eb729126afc6b6323453944d19dd41f9e1"`);
    const grouped = fromCsv({ text: csv(500) }).map(({ i }) => ({ i, g: `g${(i as number) % 50}` }));
    expect(digest(await column(grouped.split({ a: 0.8, b: 0.2 }, { seed: 42, group: "g" }).b))).toMatchInlineSnapshot(
      `"30b2948baee66860dde55471ed5415ecaaf8226a42329773acb621315e6b328d"`,
    );
  });
});

describe("fingerprint", () => {
  const print = (data: Dataset<never> | Dataset) => (data as Dataset).fingerprint();

  test("tells the order of a split's parts, which decides who has which rows", async () => {
    const train = (ratios: { train: number; val: number }) => fromRows(numbers(20)).split(ratios).train;
    const [first, last] = [train({ train: 0.8, val: 0.2 }), train({ val: 0.2, train: 0.8 })];
    expect(await first.toArray()).not.toEqual(await last.toArray());
    expect(await print(first)).not.toBe(await print(last));
    // The usual order has the fingerprints that it had before the order was told.
    expect(JSON.stringify(await first.provenance())).not.toContain("order");
  });

  test("changes with content, schema and every step, and with nothing else", async () => {
    const base = () => fromCsv({ text: csv(20) });
    const variants: (() => Dataset)[] = [
      base,
      () => fromCsv({ text: csv(21) }),
      () => fromCsv({ text: csv(20) }, { schema: { fields: { i: "float32", g: "category" } } }),
      () => fromCsv({ text: csv(20) }, { onViolation: "skip" }),
      () => base().take(5),
      () => base().shuffle(1),
      () => base().shuffle(2),
      () => base().split({ a: 0.5, b: 0.5 }).a,
      () => base().split({ a: 0.5, b: 0.5 }).b,
      () => base().filter(() => true, { name: "all", version: 1 }),
      () => base().filter(() => true, { name: "all", version: 2 }),
      () => base().concat(base()),
      () => base().repeat(2),
      () => base().flatMap((row) => [row], { name: "each", version: 1, seed: 1 }),
      () => base().flatMap((row) => [row], { name: "each", version: 1, seed: 2 }),
      () => fromRows([{ of: [new Date(1)] }]),
      () => fromRows([{ of: [new Date(2)] }]),
      () => fromRows([{ of: [12345678901234567n] }]),
      () => fromRows([{ of: 1n }]).splitBy("of", { one: 1n }).one,
    ];
    const prints = await Promise.all(variants.map((make) => print(make())));
    expect(new Set(prints).size).toBe(variants.length);
    expect(await print(fromCsv({ text: csv(20), name: "other.csv" }))).toBe(prints[0]);
    expect(await print(fromCsv(new Blob([csv(20)])))).toBe(prints[0]);
    expect(await print(base().prefetch(3))).toBe(prints[0]);
    expect(prints[0]).toMatch(/^[0-9a-f]{64}$/);
  });
  test("a function without a name is an unverified step", async () => {
    const named = fromRows(numbers(3)).map((row) => row, { name: "same", version: 1 });
    expect((await named.provenance()).unverifiedSteps).toBe(0);
    const { steps, unverifiedSteps, sources } = await named.filter(() => true).provenance();
    expect(unverifiedSteps).toBe(1);
    expect(steps).toEqual([{ map: { name: "same", version: 1 } }, { filter: "unverified step" }]);
    expect(sources.length).toBe(1);
  });
  test("idx files and their gzip copies are one content", async () => {
    const { gzipSync } = await import("node:zlib");
    const file = Uint8Array.from([0, 0, 8, 1, 0, 0, 0, 2, 5, 6]);
    expect(await fromIdx(file).fingerprint()).toBe(await fromIdx(gzipSync(file)).fingerprint());
  });
});
