/** Small Parquet files, written by hand: one of two columns in which every count may lie, and those of any schema. */

import { joinBytes } from "../../src/data/join-bytes.js";

const le32 = (value: number) => [value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24];
type Field = [id: number, type: number, bytes: number[]];
const varint = (value: number): number[] =>
  value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))];
const zigzag = (value: number): number[] => varint(value < 0 ? -2 * value - 1 : 2 * value);
const text = (value: string): number[] => [...varint(value.length), ...new TextEncoder().encode(value)];
const i32 = (id: number, value: number): Field => [id, 5, zigzag(value)];
const i64 = (id: number, value: number): Field => [id, 6, zigzag(value)];
const string = (id: number, value: string): Field => [id, 8, text(value)];
const struct = (...fields: Field[]): number[] => {
  let before = 0;
  const bytes = fields.flatMap(([id, type, value]) => {
    const head = ((id - before) << 4) | type;
    before = id;
    return [head, ...value];
  });
  return [...bytes, 0];
};
const inner = (id: number, bytes: number[]): Field => [id, 12, bytes];
const list = (id: number, type: number, items: number[][]): Field => [
  id,
  9,
  items.length < 15
    ? [(items.length << 4) | type, ...items.flat()]
    : [0xf0 | type, ...varint(items.length), ...items.flat()],
];

/** What a file says about itself; each has the true value unless given. */
export interface Lies {
  rows?: number;
  groupRows?: number;
  columnValues?: number;
  columnSize?: number;
  columnOffset?: number;
  children?: number;
  pageValues?: number;
  pageSize?: number;
  pageCompressedSize?: number;
  encoding?: number;
  codec?: number;
  type?: number;
  pageType?: number;
  /** No lie: a row group without rows before the one with them. */
  emptyFirst?: boolean;
}

/** Columns `id` (int32: 0, 1, 2, …) and `name` (text: n0, n1, …), plainly encoded. The lies are about `id`. */
export function parquetFile(rows: number, lies: Lies = {}): Uint8Array {
  const ids = Array.from({ length: rows }, (_, i) => le32(i)).flat();
  const names = Array.from({ length: rows }, (_, i) => [
    ...le32(`n${i}`.length),
    ...new TextEncoder().encode(`n${i}`),
  ]).flat();
  const page = (data: number[], say: Lies, values: number): number[] => [
    ...struct(
      i32(1, say.pageType ?? 0),
      i32(2, say.pageSize ?? data.length),
      i32(3, say.pageCompressedSize ?? data.length),
      inner(5, struct(i32(1, say.pageValues ?? values), i32(2, say.encoding ?? 0), i32(3, 3), i32(4, 3))),
    ),
    ...data,
  ];
  const bytes = [...text("PAR1").slice(1)];
  const column = (name: string, type: number, data: number[], say: Lies, values = rows): number[] => {
    const offset = bytes.length;
    bytes.push(...page(data, say, values));
    return struct(
      i64(2, offset),
      inner(
        3,
        struct(
          i32(1, say.type ?? type),
          list(2, 5, [zigzag(0)]),
          list(3, 8, [text(name)]),
          i32(4, say.codec ?? 0),
          i64(5, say.columnValues ?? values),
          i64(6, bytes.length - offset),
          i64(7, say.columnSize ?? bytes.length - offset),
          i64(9, say.columnOffset ?? offset),
        ),
      ),
    );
  };
  const before = lies.emptyFirst ? [column("id", 1, [], {}, 0), column("name", 6, [], {}, 0)] : [];
  const columns = [column("id", 1, ids, lies), column("name", 6, names, {})];
  const footer = struct(
    i32(1, 1),
    list(2, 12, [
      struct(string(4, "root"), i32(5, lies.children ?? 2)),
      struct(i32(1, 1), i32(3, 0), string(4, "id")),
      struct(i32(1, 6), i32(3, 0), string(4, "name"), i32(6, 0)),
    ]),
    i64(3, lies.rows ?? rows),
    list(4, 12, [
      ...(lies.emptyFirst ? [struct(list(1, 12, before), i64(2, 0), i64(3, 0))] : []),
      struct(list(1, 12, columns), i64(2, bytes.length), i64(3, lies.groupRows ?? rows)),
    ]),
  );
  return Uint8Array.from([...bytes, ...footer, ...le32(footer.length), ...text("PAR1").slice(1)]);
}

/** An element of the schema; the numbers are the format's. */
export interface Element {
  name: string;
  /** Physical type; a group of further elements has none. */
  type?: number;
  typeLength?: number;
  /** 0 required, 1 optional, 2 repeated. */
  repetition?: 0 | 1 | 2;
  children?: number;
  converted?: number;
  scale?: number;
  precision?: number;
  /** Logical type: the field of the union. */
  logical?: number;
}
type Levels = readonly (readonly [level: number, times: number])[];
/** One chunk of a row group: one page, plainly encoded, its levels in runs. */
export interface Chunk {
  path: string[];
  type: number;
  /** Values, nulls included. */
  count: number;
  repetition?: Levels;
  definition?: Levels;
  values: number[];
  filePath?: string;
  /** In place of the page: header and content of any pages. */
  pages?: number[];
}

/** Plain values. */
export const plain = {
  int32: (...values: number[]) => values.flatMap(le32),
  int64: (...values: bigint[]) => [...new Uint8Array(BigInt64Array.from(values).buffer)],
  double: (...values: number[]) => [...new Uint8Array(Float64Array.from(values).buffer)],
  bytes: (...values: (string | number[])[]) =>
    values.flatMap((value) => {
      const content = typeof value === "string" ? [...new TextEncoder().encode(value)] : value;
      return [...le32(content.length), ...content];
    }),
};

/** A page with its header: data (0) or dictionary (2). */
export function pageOf(kind: 0 | 2, values: number, encoding: number, content: number[]): number[] {
  const levels = kind === 0 ? [i32(3, 3), i32(4, 3)] : [];
  const own = inner(kind === 0 ? 5 : 7, struct(i32(1, values), i32(2, encoding), ...levels));
  return [...struct(i32(1, kind), i32(2, content.length), i32(3, content.length), own), ...content];
}

/** A file of any schema. */
export function parquetOf(schema: Element[], groups: { rows: number; chunks: Chunk[] }[]): Uint8Array {
  const parts: Uint8Array[] = [Uint8Array.from(text("PAR1").slice(1))];
  let length = 4;
  const levels = (runs: Levels | undefined): number[] => {
    if (!runs) return [];
    const bytes = runs.flatMap(([level, times]) => [...varint(2 * times), level]);
    return [...le32(bytes.length), ...bytes];
  };
  const column = ({ path, type, count, repetition, definition, values, filePath, pages }: Chunk): number[] => {
    const content = [...levels(repetition), ...levels(definition), ...values];
    const bytes = pages ?? pageOf(0, count, 0, content);
    const size = bytes.length;
    const meta = struct(
      i32(1, type),
      list(2, 5, [zigzag(0)]),
      list(3, 8, path.map(text)),
      i32(4, 0),
      i64(5, count),
      i64(6, size),
      i64(7, size),
      i64(9, length),
    );
    const offset = length;
    parts.push(Uint8Array.from(bytes));
    length += size;
    return struct(...(filePath ? [string(1, filePath)] : []), i64(2, offset), inner(3, meta));
  };
  const element = (each: Element): number[] => {
    const fields: (Field | undefined)[] = [
      each.type === undefined ? undefined : i32(1, each.type),
      each.typeLength === undefined ? undefined : i32(2, each.typeLength),
      each.repetition === undefined ? undefined : i32(3, each.repetition),
      string(4, each.name),
      each.children === undefined ? undefined : i32(5, each.children),
      each.converted === undefined ? undefined : i32(6, each.converted),
      each.scale === undefined ? undefined : i32(7, each.scale),
      each.precision === undefined ? undefined : i32(8, each.precision),
      each.logical === undefined ? undefined : inner(10, struct(inner(each.logical, struct()))),
    ];
    return struct(...fields.filter((field) => field !== undefined));
  };
  const rowGroups = groups.map(({ rows, chunks }) =>
    struct(list(1, 12, chunks.map(column)), i64(2, length), i64(3, rows)),
  );
  const rows = groups.reduce((sum, group) => sum + group.rows, 0);
  const footer = Uint8Array.from(
    struct(i32(1, 1), list(2, 12, schema.map(element)), i64(3, rows), list(4, 12, rowGroups)),
  );
  parts.push(footer, Uint8Array.from([...le32(footer.length), ...text("PAR1").slice(1)]));
  return joinBytes(parts);
}

export const root = (children: number): Element => ({ name: "root", children });
export const leaf = (name: string, type: number, more: Partial<Element> = {}): Element => ({
  name,
  type,
  repetition: 0,
  ...more,
});
/** A list; the item that it is of follows in the schema, and is called `element`. */
export const listOf = (name: string, repetition: 0 | 1): Element[] => [
  { name, repetition, children: 1, converted: 3 },
  { name: "list", repetition: 2, children: 1 },
];
/** A column of the top level without nulls. */
export const flat = (name: string, type: number, count: number, values: number[]): Chunk => ({
  path: [name],
  type,
  count,
  values,
});
/** A file of one column of bytes; `converted` is what they mean. */
export const texts = (converted: number | undefined, ...values: (string | number[])[]): Uint8Array =>
  parquetOf(
    [root(1), leaf("x", 6, { converted })],
    [{ rows: values.length, chunks: [flat("x", 6, values.length, plain.bytes(...values))] }],
  );
