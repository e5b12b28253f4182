/** From rows to columns of typed arrays: padding, truncation, masks, and the ragged policies. */

import { ConfigError, DataError } from "../core/errors.js";
import type { BufferPool } from "./buffer-pool.js";
import { codeOf } from "./codes.js";
import { expectation, type Field, type Schema } from "./schema.js";
import { showValue } from "./violation.js";

type Typed = Float32Array | Int32Array | Uint8Array | Uint16Array | Float64Array | Int8Array | Int16Array | Uint32Array;

export interface BatchColumn {
  /** Row-major values; strings where a column is text. */
  data: Typed | string[] | unknown[];
  /** The batch dimension first: `[B]` for one value per row, `[B, n]` for lists, `[B, …shape]` for images. */
  shape: number[];
  /** Shape of `data`: 1 where a value is real, 0 where it is padding or null (there `data` holds the pad value or 0). */
  mask?: Uint8Array;
}

export interface CollateOptions {
  /** Columns to keep; all unless told. */
  columns?: readonly string[];
  /**
   * What to do with lists of different lengths. `error` (unless told): they must be equal. `pad`: fill up to the longest.
   * `truncate`: cut to `maxLength`, then pad.
   */
  ragged?: "pad" | "truncate" | "error";
  /** Longest list; required by `truncate`, an error beyond it otherwise. */
  maxLength?: number;
  /** Value of padding, for all columns or by column (e.g. `{ labels: -100 }`); 0 unless told. */
  padValue?: number | Readonly<Record<string, number>>;
  /** Where padding goes, and from where truncation takes; `right` unless told. */
  padSide?: "left" | "right";
  truncateSide?: "left" | "right";
  /** Pads to a multiple of this length. */
  multipleOf?: number;
  /** Lists of length 0 are errors unless this is true: a model has nothing to say about them. */
  allowEmpty?: boolean;
}

type Rows = readonly Readonly<Record<string, unknown>>[];

/** Collates rows. Without a schema numbers become float32, booleans uint8, and typed arrays keep their type. */
export function collate(
  rows: Rows,
  schema: Schema | undefined,
  options: CollateOptions,
  pool: BufferPool,
): Record<string, BatchColumn> {
  const known = schema?.fields.filter((field) => field.role !== "ignore").map((field) => field.name);
  const names = options.columns ?? known ?? Object.keys(rows[0]);
  if (!known && !options.columns) refuseFurther(rows);
  const columns: Record<string, BatchColumn> = {};
  const fields = new Map(schema?.fields.map((field) => [field.name, field]));
  for (const name of names) {
    if (schema ? !fields.has(name) : !(name in rows[0])) {
      throw new ConfigError(`batch: no column "${name}".`, {
        where: "batch",
        hint: `Columns: ${(known ?? Object.keys(rows[0])).join(", ")}.`,
      });
    }
    const field = fields.get(name) ?? fieldOfValue(name, rows[0][name]);
    columns[name] = collateColumn(rows, field, options, pool);
  }
  checkMasks(columns);
  return columns;
}

/** Without a schema the first row says what there is; what another has besides must not be lost. */
function refuseFurther(rows: Rows): void {
  rows.forEach((row, i) => {
    for (const name in row) {
      if (name in rows[0] || row[name] === undefined) continue;
      throw new DataError(`batch: row ${i} of the batch has a column "${name}", which row 0 lacks.`, {
        where: "batch",
        hint: "Give every row the same columns, or pass columns: those to keep.",
      });
    }
  });
}

function fieldOfValue(name: string, value: unknown): Field {
  if (typeof value === "number") return { name, type: "float32" };
  if (typeof value === "boolean") return { name, type: "bool" };
  if (typeof value === "string") return { name, type: "string" };
  if (Array.isArray(value) && value.every((item) => typeof item === "number")) return { name, type: "list" };
  if (ArrayBuffer.isView(value)) return { name, type: "list" };
  return { name, type: "json" };
}

type Maker = (pool: BufferPool, length: number) => Typed;
const floats: Maker = (pool, length) => new Float32Array(pool.take(4 * length));
const ints: Maker = (pool, length) => new Int32Array(pool.take(4 * length));
const bytes: Maker = (pool, length) => new Uint8Array(pool.take(length));

function collateColumn(rows: Rows, field: Field, options: CollateOptions, pool: BufferPool): BatchColumn {
  const { name, type } = field;
  switch (type) {
    case "float32":
      return scalars(rows, field, floats, pool);
    case "int32":
      return scalars(rows, field, ints, pool);
    case "bool":
      return scalars(rows, field, bytes, pool);
    case "category":
      if (!field.values) break;
      return scalars(rows, field, ints, pool, (value) => {
        const code = codeOf(field.values!, value);
        return code < 0 ? Number.NaN : code;
      });
    case "image":
      return shaped(rows, field, field.shape!, bytes, pool);
    case "tokens":
      return lists(rows, field, ints, options, pool);
    case "list": {
      if (field.items === "string") break;
      if (field.shape) return shaped(rows, field, field.shape, listMaker(rows, field), pool);
      return lists(rows, field, listMaker(rows, field), options, pool);
    }
  }
  return { data: rows.map((row) => row[name]), shape: [rows.length] };
}

/** Typed arrays keep their type (of the first row); plain lists take the field's. */
function listMaker(rows: Rows, field: Field): Maker {
  const first = rows.find((row) => row[field.name] !== null)?.[field.name];
  if (ArrayBuffer.isView(first) && field.items === undefined) {
    const Kind = first.constructor as { new (buffer: ArrayBuffer): Typed; BYTES_PER_ELEMENT: number };
    return (pool, length) => new Kind(pool.take(Kind.BYTES_PER_ELEMENT * length));
  }
  return field.items === "int32" ? ints : field.items === "bool" ? bytes : floats;
}

function scalars(
  rows: Rows,
  field: Field,
  make: Maker,
  pool: BufferPool,
  toNumber: (value: unknown) => number = numberOf,
): BatchColumn {
  const { name, nullable, type } = field;
  const data = make(pool, rows.length);
  let mask: Uint8Array | undefined;
  if (nullable) mask = new Uint8Array(pool.take(rows.length)).fill(1);
  for (let i = 0; i < rows.length; i++) {
    const value = rows[i][name];
    if (value === null || value === undefined) {
      if (!mask) throw new DataError(`batch: column "${name}" is not nullable, got null in row ${i} of a batch.`);
      mask[i] = 0;
      continue;
    }
    const number = toNumber(value);
    // An array of integers would take anything, and hold something else.
    if (type === "float32" ? Number.isNaN(number) && typeof value !== "number" : number !== (number | 0)) {
      throw otherValue(field, i, value);
    }
    data[i] = number;
    if (!Number.isFinite(data[i]) && Number.isFinite(number)) throw beyondFloat32(field, i, number);
  }
  return mask ? { data, shape: [rows.length], mask } : { data, shape: [rows.length] };
}

const numberOf = (value: unknown): number =>
  typeof value === "number" || typeof value === "boolean" || typeof value === "bigint" ? Number(value) : Number.NaN;

const otherValue = (field: Field, row: number, value: unknown): DataError =>
  new DataError(
    `batch: column "${field.name}", row ${row} of the batch: expected ${expectation(field)}, got ${showValue(value)}.`,
    { where: "batch", hint: "Correct the schema, or what the rows hold." },
  );

/** A float32 would be infinite, and with it every loss. */
const beyondFloat32 = (field: Field, row: number, value: number): DataError =>
  new DataError(
    `batch: column "${field.name}", row ${row} of the batch: ${value} is beyond the range of float32, which ends at 3.4e38.`,
    { where: "batch", hint: "Scale the column with map(), or leave it out with the option columns." },
  );

const isFloats = (data: Typed): boolean => data instanceof Float32Array || data instanceof Float64Array;

/** Copies items `[from, from + length)`. Throws DataError on one of which the array would make another. */
function copyItems(
  data: Typed,
  to: number,
  list: ArrayLike<unknown>,
  from: number,
  length: number,
  field: Field,
  row: number,
): void {
  if (list.constructor === data.constructor) {
    data.set((list as Typed).subarray(from, from + length), to);
    return;
  }
  const floats = isFloats(data);
  for (let i = 0; i < length; i++) {
    const item = list[from + i];
    const number = numberOf(item);
    data[to + i] = number;
    if (floats && !Number.isFinite(data[to + i]) && Number.isFinite(number)) throw beyondFloat32(field, row, number);
    if (floats ? Number.isNaN(number) && typeof item !== "number" : data[to + i] !== number) {
      throw otherValue(field, row, item);
    }
  }
}

/** Arrays that all have the shape of their field; a null is an array of zeros that the mask leaves out. */
function shaped(rows: Rows, field: Field, shape: readonly number[], make: Maker, pool: BufferPool): BatchColumn {
  const size = shape.reduce((a, b) => a * b, 1);
  const data = make(pool, rows.length * size);
  const mask = field.nullable ? new Uint8Array(pool.take(rows.length * size)) : undefined;
  rows.forEach((row, i) => {
    const value = row[field.name] as ArrayLike<number> | null | undefined;
    if (value?.length === size) {
      copyItems(data, i * size, value, 0, size, field, i);
      mask?.fill(1, i * size, (i + 1) * size);
    } else if (!mask || value) {
      const got = value ? `${value.length} values` : "null";
      throw new DataError(`batch: column "${field.name}", row ${i} of the batch: needs ${size} values, got ${got}.`, {
        where: "batch",
      });
    }
  });
  const column: BatchColumn = { data, shape: [rows.length, ...shape] };
  return mask ? { ...column, mask } : column;
}

function lists(rows: Rows, field: Field, make: Maker, options: CollateOptions, pool: BufferPool): BatchColumn {
  const { name } = field;
  const values = rows.map((row) => (row[name] ?? []) as ArrayLike<number>);
  const width = rowWidth(values, name, options, (row) => (rows[row][name] ?? null) === null);
  const { padSide = "right", truncateSide = "right", ragged = "error", padValue = 0 } = options;
  const pad = typeof padValue === "number" ? padValue : (padValue[name] ?? 0);
  const data = make(pool, rows.length * width);
  const mask = ragged === "error" ? undefined : new Uint8Array(pool.take(rows.length * width));
  if (pad !== 0 && data.fill(pad)[0] !== pad && !isFloats(data) && data.length > 0) {
    throw new ConfigError(`batch: column "${name}" cannot hold the padValue ${pad}.`, {
      where: "batch",
      hint: 'Give the column a schema with items "int32" or "float32".',
    });
  }
  values.forEach((list, row) => {
    const length = Math.min(list.length, width);
    const from = truncateSide === "left" ? list.length - length : 0;
    const to = row * width + (padSide === "left" ? width - length : 0);
    copyItems(data, to, list, from, length, field, row);
    mask?.fill(1, to, to + length);
  });
  const column: BatchColumn = { data, shape: [rows.length, width] };
  if (mask) column.mask = mask;
  return column;
}

/** Length that every list of the column gets, after checking it against the policy. */
function rowWidth(
  values: ArrayLike<number>[],
  name: string,
  options: CollateOptions,
  isNull: (row: number) => boolean,
): number {
  const { ragged = "error", maxLength, multipleOf = 1, allowEmpty = false } = options;
  let longest = 0;
  values.forEach(({ length }, row) => {
    if (length === 0 && !allowEmpty) {
      const [got, kind] = isNull(row) ? ["null", "such"] : ["none", "empty"];
      throw new DataError(`batch: column "${name}", row ${row} of the batch: needs at least one element, got ${got}.`, {
        where: "batch",
        hint: `Filter ${kind} rows out, or pass allowEmpty: true.`,
      });
    }
    if (ragged === "error" && length !== values[0].length) {
      throw new DataError(
        `batch: column "${name}": rows must have equal lengths, got ${values[0].length} in row 0 and ${length} in row ${row} of the batch.`,
        { where: "batch", hint: 'Pass ragged: "pad" or ragged: "truncate" with maxLength.' },
      );
    }
    longest = Math.max(longest, length);
  });
  if (ragged === "truncate") {
    if (maxLength === undefined) {
      throw new ConfigError('batch: ragged "truncate" needs maxLength.', { where: "batch" });
    }
    longest = Math.min(longest, maxLength);
  } else if (maxLength !== undefined && longest > maxLength) {
    throw new DataError(`batch: column "${name}": rows may have ${maxLength} elements, got ${longest}.`, {
      where: "batch",
      hint: 'Pass ragged: "truncate", or a larger maxLength if the model\'s context allows it.',
    });
  }
  const width = ragged === "error" ? longest : Math.ceil(longest / multipleOf) * multipleOf;
  return ragged === "truncate" ? Math.min(width, maxLength!) : width;
}

/** An `attentionMask` column made by the user must cover the tokens it stands beside. */
function checkMasks({ ids, attentionMask, labels }: Record<string, BatchColumn>): void {
  for (const [name, column] of Object.entries({ attentionMask, labels })) {
    if (ids && column && column.shape.join() !== ids.shape.join()) {
      throw new DataError(
        `batch: "${name}" must have the shape of "ids", got [${column.shape.join(", ")}] and [${ids.shape.join(", ")}].`,
        { where: "batch", hint: "Make both with the same length for each row." },
      );
    }
  }
}
