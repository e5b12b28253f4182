/** A small Parquet file of two columns, written by hand, in which every count may lie. */

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
  [(items.length << 4) | type, ...items.flat()],
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
  const le = (value: number) => [value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24];
  const ids = Array.from({ length: rows }, (_, i) => le(i)).flat();
  const names = Array.from({ length: rows }, (_, i) => [
    ...le(`n${i}`.length),
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
  return Uint8Array.from([...bytes, ...footer, ...le(footer.length), ...text("PAR1").slice(1)]);
}
