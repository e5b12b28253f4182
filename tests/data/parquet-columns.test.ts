import { fromParquet } from "tenon/data";
import { expect, test, vi } from "vitest";
import { refusal } from "./parquet-damage.js";
import {
  type Chunk,
  type Element,
  flat,
  leaf,
  listOf,
  pageOf,
  parquetOf,
  plain,
  root,
  texts,
} from "./parquet-writer.js";

const name = "x.parquet";

// Memory

/** Lists within lists, `deep` of them, each with one item; the items are null. */
function nested(deep: number, rows: number): Uint8Array {
  const schema: Element[] = [root(1)];
  const path: string[] = [];
  for (let depth = 0; depth < deep; depth++) {
    const name = depth === 0 ? "x" : "element";
    schema.push(...listOf(name, 1));
    path.push(name, "list");
  }
  schema.push(leaf("element", 1, { repetition: 1 }));
  const levels = { repetition: [[0, rows]] as const, definition: [[2 * deep, rows]] as const };
  return parquetOf(schema, [
    { rows, chunks: [{ path: [...path, "element"], type: 1, count: rows, ...levels, values: [] }] },
  ]);
}

test("a small file fills no memory: what its nesting and nulls make is counted first", async () => {
  const started = performance.now();
  const refused = /column "x" of row group 0: a row group of \d+ bytes claims to expand beyond its limit\. If the file/;
  for (const bytes of [nested(20, 1_000_000), nested(20, 200_000)]) {
    expect(bytes.length).toBeLessThan(2000);
    expect(await refusal(fromParquet(bytes).toArray())).toMatch(refused);
  }
  const names = Array.from({ length: 20 }, (_, i) => `s${i}`);
  const structs = (rows: number) =>
    parquetOf(
      [
        root(1),
        ...names.map((each) => ({ name: each, repetition: 1 as const, children: 1 })),
        leaf("x", 1, { repetition: 1 }),
      ],
      [{ rows, chunks: [{ path: [...names, "x"], type: 1, count: rows, definition: [[20, rows]], values: [] }] }],
    );
  expect(await refusal(fromParquet(structs(20_000)).toArray())).toMatch("beyond its limit");
  const nulls = (rows: number) =>
    parquetOf(
      [root(1), leaf("x", 1, { repetition: 1 })],
      [{ rows, chunks: [{ ...flat("x", 1, rows, []), definition: [[0, rows]] }] }],
    );
  expect(await refusal(fromParquet(nulls(60_000_000)).toArray())).toMatch(refused);
  expect(performance.now() - started).toBeLessThan(2000);
  // What is asked for is read, and so is what is modest.
  const [row] = await fromParquet(nested(20, 2000), { maxDecompressedBytes: 2 ** 25 }).toArray();
  expect(JSON.stringify(row)).toBe(`{"x":${"[".repeat(20)}null${"]".repeat(20)}}`);
  expect((await fromParquet(nested(3, 20_000)).toArray()).length).toBe(20_000);
});

test("lists of many items cost what they hold, not what their depth could", async () => {
  const count = 200_000;
  const file = parquetOf(
    [root(1), ...listOf("x", 1), leaf("element", 1, { repetition: 1 })],
    [
      {
        rows: 2,
        chunks: [
          {
            path: ["x", "list", "element"],
            type: 1,
            count,
            repetition: [
              [0, 1],
              [1, count - 2],
              [0, 1],
            ],
            definition: [[2, count]],
            values: [],
          },
        ],
      },
    ],
  );
  const limit = { maxDecompressedBytes: 50 * count };
  expect((await fromParquet(file, limit).toArray()).map((row) => (row["x"] as unknown[]).length)).toEqual([
    count - 1,
    1,
  ]);
  expect(await refusal(fromParquet(file, { maxDecompressedBytes: 30 * count }).toArray())).toMatch("beyond its limit");
});

test("rows are made some at a time, and in order", async () => {
  const count = 10_000;
  const ids = Array.from({ length: count }, (_, i) => i);
  const file = parquetOf(
    [root(1), leaf("id", 1)],
    [{ rows: count, chunks: [flat("id", 1, count, plain.int32(...ids))] }],
  );
  const data = await fromParquet(file);
  const chunks: number[] = [];
  for await (const rows of data.stage.open({ epoch: 0, skip: 0 })) chunks.push(rows.length);
  expect(chunks.length).toBeGreaterThan(2);
  expect((await data.toArray()).map((row) => row["id"])).toEqual(ids);
});

// Groups and columns

/** Three row groups of ten rows, and how many bytes were read of each. */
class Watched extends Blob {
  reads: [number, number][] = [];
  override slice(start?: number, end?: number): Blob {
    this.reads.push([start!, end!]);
    return super.slice(start, end);
  }
}
const groupsOfTen = (): Watched => {
  const groups = [0, 1, 2].map((group) => ({
    rows: 10,
    chunks: [flat("id", 2, 10, plain.int64(...Array.from({ length: 10 }, (_, i) => BigInt(10 * group + i))))],
  }));
  const schema = [root(1), leaf("id", 2)];
  return new Watched([parquetOf(schema, groups).slice()]);
};

test("rows are counted and skipped by the footer", async () => {
  const file = groupsOfTen();
  expect(await fromParquet(file).count()).toBe(30);
  expect(file.reads.length).toBe(1);
  const data = await fromParquet(file);
  const before = file.reads.length;
  expect(await data.skip(25).take(2).toArray()).toEqual([{ id: 25 }, { id: 26 }]);
  expect(file.reads.length - before).toBe(1);
  data.restore({ epoch: 0, position: 19 });
  expect((await data.toArray()).map((row) => row["id"])).toEqual([19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29]);
  expect(data.report?.rows).toBe(30);
  // Where a schema may leave rows out, they are looked at.
  const schema = { fields: { id: { type: "int32" as const, min: 12 } } };
  const checked = fromParquet(file, { schema, onViolation: "skip" });
  expect(await checked.count()).toBe(18);
  expect(await checked.skip(1).take(1).toArray()).toEqual([{ id: 13 }]);
});

test("many columns cost their number, not its square", async () => {
  const names = Array.from({ length: 400 }, (_, i) => `column_${i}`);
  const groups = new Array(5).fill({ rows: 1, chunks: names.map((each) => flat(each, 1, 1, plain.int32(1))) });
  const file = parquetOf([root(names.length), ...names.map((each) => leaf(each, 1))], groups);
  // Counted, because a clock would measure the machine: elements of the lists that are searched.
  let searched = 0;
  const spies = (["find", "findIndex", "filter", "some", "includes"] as const).map((method) => {
    const original = Array.prototype[method] as (...args: unknown[]) => unknown;
    return vi.spyOn(Array.prototype, method).mockImplementation(function (this: unknown[], ...args: unknown[]) {
      searched += this.length;
      return original.apply(this, args) as never;
    });
  });
  const read = async () => {
    const one = await fromParquet(file, { columns: ["column_5"] }).toArray();
    const batches: unknown[] = [];
    for await (const { columns } of (await fromParquet(file)).batch(1)) batches.push(columns["column_399"].data);
    return { one, batches };
  };
  const { one, batches } = await read().finally(() => {
    for (const spy of spies) spy.mockRestore();
  });
  expect(one).toEqual(new Array(5).fill({ column_5: 1 }));
  expect(batches).toEqual(new Array(5).fill(Int32Array.of(1)));
  expect(searched).toBeLessThan(50 * names.length * groups.length);
});

test("what is wrong with a column is told with its name, its row group and the next step", async () => {
  const image = [0x89, 0x50, 0xff];
  const schema = [root(2), leaf("id", 1), leaf("img", 6, { repetition: 1 })];
  const ids = flat("id", 1, 2, plain.int32(1, 2));
  const file = parquetOf(schema, [
    { rows: 2, chunks: [ids, { ...flat("img", 6, 2, []), definition: [[0, 2]] }] },
    { rows: 2, chunks: [ids, { ...flat("img", 6, 2, plain.bytes(image, image)), definition: [[1, 2]] }] },
  ]);
  expect(await refusal(fromParquet(file, { name }).toArray())).toBe(
    'x.parquet: cannot be read as Parquet: column "img" of row group 1: a text is not valid UTF-8. For bytes as they are, pass binary: "bytes".',
  );
  expect((await fromParquet(file, { binary: "bytes" }).toArray())[3]).toEqual({ id: 2, img: Uint8Array.from(image) });
  expect(await fromParquet(file, { columns: ["id"] }).count()).toBe(4);
  // A text declared as such, and a header without sense.
  expect(await refusal(fromParquet(texts(0, [0xff])).toArray())).toMatch(
    'column "x" of row group 0: a text is not valid UTF-8. The other columns can be read: name them with the option columns.',
  );
  const damaged = texts(0, "a");
  damaged[4] = 0x1a;
  expect(await refusal(fromParquet(damaged).toArray())).toMatch(
    'column "x" of row group 0: Thrift type 10 does not occur in Parquet.',
  );
});

test("engines and libraries do not speak for us", async () => {
  // Two texts of a hundred bytes each, by delta-coded lengths, and no bytes.
  const pages = pageOf(0, 2, 6, [0x80, 1, 4, 2, 0xc8, 1, 0, 0, 0, 0, 0]);
  const file = parquetOf([root(1), leaf("x", 6)], [{ rows: 2, chunks: [{ ...flat("x", 6, 2, []), pages }] }]);
  expect(await refusal(fromParquet(file).toArray())).toMatch(
    'column "x" of row group 0: its parts do not fit together. The other columns can be read',
  );
});

test("a footer of other files, and names that a message need not list in full", async () => {
  const meta = parquetOf(
    [root(1), leaf("id", 1)],
    [{ rows: 1, chunks: [{ ...flat("id", 1, 1, plain.int32(1)), filePath: "part-0.parquet" }] }],
  );
  expect(await refusal(fromParquet(meta, { name }).toArray())).toBe(
    'x.parquet: has no rows of its own, its footer describes those of other files, such as "part-0.parquet". Read these files, and join them with concat().',
  );
  const many = Array.from({ length: 200 }, (_, i) => `column_${i}`);
  const file = parquetOf(
    [root(many.length), ...many.map((each) => leaf(each, 1))],
    [{ rows: 1, chunks: many.map((each) => flat(each, 1, 1, plain.int32(1))) }],
  );
  expect(await refusal(fromParquet(file, { columns: ["x"] }).toArray())).toMatch(/column_19 and 180 more\.$/);
  expect(await refusal(fromParquet(file, { columns: ["colunm_7"] }).toArray())).toMatch('Did you mean "column_7"?');
});

test("names with dots are told apart where they can be, and refused with the reason where not", async () => {
  const chunk = (path: string[], value: number): Chunk => ({ path, type: 1, count: 1, values: plain.int32(value) });
  const group = (name: string, children = 1): Element => ({ name, repetition: 0, children });
  const of = (schema: Element[], paths: string[][]) =>
    fromParquet(parquetOf(schema, [{ rows: 1, chunks: paths.map(chunk) }])).toArray();
  expect(await of([root(2), leaf("s.b", 1), group("s"), leaf("b", 1)], [["s.b"], ["s", "b"]])).toEqual([
    { "s.b": 0, s: { b: 1 } },
  ]);
  const inner = [root(1), group("s", 2), leaf("a.b", 1), group("a"), leaf("b", 1)];
  expect(
    await refusal(
      of(inner, [
        ["s", "a.b"],
        ["s", "a", "b"],
      ]),
    ),
  ).toMatch('in the column "s" two parts are named "s.a.b": names with dots cannot be told apart');
  const twice = [root(2), group("s"), leaf("a", 1), group("s"), leaf("b", 1)];
  expect(
    await refusal(
      of(twice, [
        ["s", "a"],
        ["s", "b"],
      ]),
    ),
  ).toMatch('two of its columns are named "s"');
});

test("a dictionary index that leads nowhere is an error, not a zero", async () => {
  const file = (type: number, dictionary: number[], index: number) => {
    const pages = [...pageOf(2, 2, 0, dictionary), ...pageOf(0, 5, 8, [3, 2 * 5, index])];
    return parquetOf([root(1), leaf("x", type)], [{ rows: 5, chunks: [{ ...flat("x", type, 5, []), pages }] }]);
  };
  const numbers = plain.int32(10, 20);
  expect((await fromParquet(file(1, numbers, 1)).toArray())[4]).toEqual({ x: 20 });
  expect(await refusal(fromParquet(file(1, numbers, 7)).toArray())).toMatch("values of a page go up to 1, one is 7");
  expect(await refusal(fromParquet(file(6, plain.bytes("a", "b"), 7)).toArray())).toMatch(
    'column "x" of row group 0: a page points beyond its dictionary.',
  );
});
