import { fromParquet, fromRows } from "tenon/data";
import { expect, test } from "vitest";
import { refusal } from "./parquet-damage.js";
import { type Chunk, type Element, flat, leaf, listOf, parquetOf, plain, root, texts } from "./parquet-writer.js";

const name = "x.parquet";

// Maps

/** A map of one row, with int32 values 0, 1, … */
function mapOf(key: Element, keys: number[], count: number): Uint8Array {
  const levels = { repetition: [[0, 1], ...(count > 1 ? [[1, count - 1] as const] : [])] as const };
  const schema: Element[] = [
    root(1),
    { name: "m", repetition: 0, children: 1, converted: 1 },
    { name: "key_value", repetition: 2, children: 2 },
    key,
    leaf("value", 1),
  ];
  const values = plain.int32(...Array.from({ length: count }, (_, i) => i));
  const chunk = { count, ...levels, definition: [[1, count]] as const };
  return parquetOf(schema, [
    {
      rows: 1,
      chunks: [
        { path: ["m", "key_value", "key"], type: key.type!, ...chunk, values: keys },
        { path: ["m", "key_value", "value"], type: 1, ...chunk, values },
      ],
    },
  ]);
}

const maps: [string, Element, number[], object][] = [
  ["dates", leaf("key", 1, { converted: 6 }), plain.int32(18262, -719528), { "2020-01-01": 0, "0000-01-01": 1 }],
  [
    "moments",
    leaf("key", 2, { converted: 9 }),
    plain.int64(1n, 2n),
    { "1970-01-01T00:00:00.001Z": 0, "1970-01-01T00:00:00.002Z": 1 },
  ],
  ["numbers", leaf("key", 1), plain.int32(-5, 7), { "-5": 0, "7": 1 }],
  ["long numbers", leaf("key", 2), plain.int64(-(2n ** 62n), 7n), { "-4611686018427387904": 0, "7": 1 }],
  ["undeclared text", leaf("key", 6), plain.bytes("ab", "é"), { ab: 0, é: 1 }],
  ["undeclared bytes", leaf("key", 6), plain.bytes([0xff, 1], [0x0a]), { ff01: 0, "0a": 1 }],
];
test.each(maps)("the keys of maps become text: %s", async (_, key, keys, expected) => {
  expect(await fromParquet(mapOf(key, keys, 2)).toArray()).toEqual([{ m: expected }]);
});

test("keys that are bytes follow the option binary", async () => {
  const file = mapOf(leaf("key", 6), plain.bytes("ab", "cd"), 2);
  expect(await fromParquet(file, { binary: "text" }).toArray()).toEqual([{ m: { ab: 0, cd: 1 } }]);
  expect(await fromParquet(file, { binary: "bytes" }).toArray()).toEqual([{ m: { "6162": 0, "6364": 1 } }]);
});

test("maps that no object can hold are refused by name", async () => {
  const text = leaf("key", 6, { converted: 0 });
  const of = (file: Uint8Array) => refusal(fromParquet(file, { name }).toArray());
  expect(await of(mapOf(text, plain.bytes("a", "a"), 2))).toMatch(
    'x.parquet: cannot be read as Parquet: column "m" of row group 0: a map has the key "a" twice',
  );
  expect(await of(mapOf(text, plain.bytes("__proto__"), 1))).toMatch('the key "__proto__"');
  const micros = leaf("key", 2, { converted: 10 });
  expect(await of(mapOf(micros, plain.int64(1000n, 1001n), 2))).toMatch('"1970-01-01T00:00:00.001Z" twice');
  const composite = parquetOf(
    [
      root(1),
      { name: "m", repetition: 0, children: 1, converted: 1 },
      { name: "key_value", repetition: 2, children: 2 },
      { name: "key", repetition: 0, children: 1 },
      leaf("a", 1),
      leaf("value", 1),
    ],
    [
      {
        rows: 1,
        chunks: ["key.a", "value"].map((inner) => ({
          path: ["m", "key_value", ...inner.split(".")],
          type: 1,
          count: 1,
          repetition: [[0, 1]] as const,
          definition: [[1, 1]] as const,
          values: plain.int32(1),
        })),
      },
    ],
  );
  expect(await of(composite)).toMatch(/keys that are lists or structs.* with the option columns\.$/);
});

// Values

test("JSON columns keep the numbers that they say", async () => {
  const [row] = await fromParquet(texts(19, '{"id": 12345678901234567891, "y": 2}')).toArray();
  expect(row).toEqual({ x: { id: 12345678901234567891n, y: 2 } });
  expect(await refusal(fromParquet(texts(19, '{"big": 1e999}')).toArray())).toMatch(
    'column "x" of row group 0: a JSON value holds a number beyond the range of float64.',
  );
  expect(await refusal(fromParquet(texts(19, "{")).toArray())).toMatch('column "x" of row group 0: a value: ');
});

test("what is missing is null at every depth", async () => {
  const optional = { repetition: 1 as const };
  const file = parquetOf(
    [
      root(1),
      { name: "s", ...optional, children: 2 },
      { name: "a", ...optional, children: 1 },
      leaf("c", 1, optional),
      leaf("b", 1, optional),
    ],
    [
      {
        rows: 3,
        chunks: [
          {
            path: ["s", "a", "c"],
            type: 1,
            count: 3,
            definition: [
              [1, 1],
              [2, 1],
              [0, 1],
            ],
            values: [],
          },
          {
            path: ["s", "b"],
            type: 1,
            count: 3,
            definition: [
              [2, 1],
              [1, 1],
              [0, 1],
            ],
            values: plain.int32(1),
          },
        ],
      },
    ],
  );
  const rows = [{ s: { a: null, b: 1 } }, { s: { a: { c: null }, b: null } }, { s: null }];
  const read = await fromParquet(file).toArray();
  expect(read).toStrictEqual(rows);
  expect(await fromRows(read).fingerprint()).toBe(await fromRows(rows).fingerprint());
});

test("times of day are numbers", async () => {
  const file = parquetOf(
    [root(1), leaf("t", 2, { converted: 8 })],
    [{ rows: 2, chunks: [flat("t", 2, 2, plain.int64(1n, 86_399_999_999n))] }],
  );
  expect(await fromParquet(file).toArray()).toEqual([{ t: 1 }, { t: 86_399_999_999 }]);
});

// Types

test("the file's types hold beyond the first thousand rows", async () => {
  const count = 1501;
  const mostly = (last: number) => plain.int32(...Array.from({ length: count - 1 }, () => 100), last);
  const read = async (element: Partial<Element>, last: number) => {
    const file = parquetOf(
      [root(1), leaf("x", 1, element)],
      [{ rows: count, chunks: [flat("x", 1, count, mostly(last))] }],
    );
    const data = await fromParquet(file);
    expect(data.schema.fields[0].type).toBe("float32");
    const { columns } = await data
      .skip(count - 1)
      .batch(1)
      .next()
      .then((batch) => batch!);
    return (columns["x"].data as Float32Array)[0];
  };
  expect(await read({ converted: 5, scale: 2, precision: 9 }, 50)).toBe(0.5);
  expect(await read({ converted: 13 }, -294967296)).toBe(4e9);
});

test("a finite number that float32 does not hold is no infinity in a batch", async () => {
  const file = parquetOf([root(1), leaf("x", 5)], [{ rows: 2, chunks: [flat("x", 5, 2, plain.double(1, 1e300))] }]);
  const message = await refusal((await fromParquet(file)).batch(2).next());
  expect(message).toMatch('batch: column "x", row 1 of the batch: 1e+300 is beyond the range of float32');
  expect(message).toMatch("Scale the column with map()");
  const lists = fromRows([{ x: [1, -1e300] }], { schema: { fields: { x: "json" } } }).map((row) => row, {
    schema: { fields: [{ name: "x", type: "list" }] },
  });
  expect(await refusal(lists.batch(1).next())).toMatch("-1e+300 is beyond the range of float32");
  const infinite = parquetOf([root(1), leaf("x", 5)], [{ rows: 1, chunks: [flat("x", 5, 1, plain.double(Infinity))] }]);
  expect((await (await fromParquet(infinite)).batch(1).next())!.columns["x"].data).toEqual(Float32Array.of(Infinity));
});

test("a value that is not of its type is told without a function that nobody wrote", async () => {
  const file = parquetOf(
    [root(1), ...listOf("x", 0), leaf("element", 1, { repetition: 1 })],
    [
      {
        rows: 1001,
        chunks: [
          {
            path: ["x", "list", "element"],
            type: 1,
            count: 1001,
            repetition: [[0, 1001]],
            definition: [
              [2, 1000],
              [1, 1],
            ],
            values: plain.int32(...new Array(1000).fill(1)),
          },
        ],
      },
    ],
  );
  const message = await refusal((await fromParquet(file)).skip(1000).batch(1).next());
  expect(message).toMatch("expected a list of float32, got null. Correct the schema, or what the rows hold.");
});

test("a file without rows has the types of its schema, and can be joined", async () => {
  const schema = [root(4), leaf("i", 1), leaf("l", 2), leaf("s", 6, { converted: 0 }), leaf("b", 0)];
  const chunks = (rows: number): Chunk[] => [
    flat("i", 1, rows, plain.int32(...new Array(rows).fill(7))),
    flat("l", 2, rows, plain.int64(...new Array(rows).fill(7n))),
    flat("s", 6, rows, plain.bytes(...new Array(rows).fill("seven"))),
    flat("b", 0, rows, new Array(rows).fill(1)),
  ];
  const full = await fromParquet(parquetOf(schema, [{ rows: 1, chunks: chunks(1) }]));
  for (const groups of [[], [{ rows: 0, chunks: chunks(0) }]]) {
    const empty = await fromParquet(parquetOf(schema, groups));
    expect(empty.schema.fields.map(({ type }) => type)).toEqual(["int32", "int32", "string", "bool"]);
    expect((await empty.concat(full).toArray()).length).toBe(1);
  }
});
