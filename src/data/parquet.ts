/** Parquet, through hyparquet: one row group at a time, by range requests where the source is a URL. */

import { ConfigError, DataError } from "../core/errors.js";
import type { ByteSource } from "../core/platform.js";
import type { Json } from "./batch-source.js";
import { type DataSource, openBytes } from "./bytes.js";
import { OpeningDataset } from "./dataset.js";
import { invalidUtf8 } from "./decode.js";
import { SAMPLE_ROWS } from "./infer.js";
import { checkFooter, inferField, type TopColumn, topLevelColumns } from "./parquet-footer.js";
import type { Row } from "./row.js";
import type { Schema } from "./schema.js";
import { hashOnce, type SourceOptions, sourceStage, valueStage } from "./source.js";
import type { Stage } from "./stage.js";
import type { ReadReport } from "./violation.js";

export interface ParquetOptions extends SourceOptions {
  /** Columns to read; the bytes of others are not fetched. All unless told. */
  columns?: readonly string[];
  /**
   * Byte columns that the file does not declare as text. `auto` (unless told): text where the first row group is valid
   * UTF-8, else bytes.
   */
  binary?: "auto" | "text" | "bytes";
}

/** A page that claims to expand beyond both of these is refused before memory is taken for it. */
const MOST_RATIO = 1100;
const LEAST_LIMIT = 64 * 2 ** 20;

/** hyparquet is loaded by the first Parquet file, so that other formats do not pay for it. */
const library = async () => {
  const [core, extra] = await Promise.all([import("hyparquet"), import("hyparquet-compressors")]);
  return { ...core, compressors: bounded(extra.compressors) };
};

type Decompress = (input: Uint8Array, length: number) => Uint8Array;

function bounded(compressors: object): Record<string, Decompress> {
  const guard =
    (decompress: Decompress): Decompress =>
    (input, length) => {
      if (length > Math.max(LEAST_LIMIT, MOST_RATIO * input.length)) {
        throw new RangeError(`a page of ${input.length} bytes claims to expand to ${length}`);
      }
      return decompress(input, length);
    };
  return Object.fromEntries(
    Object.entries(compressors as Record<string, Decompress>).map(([codec, decompress]) => [codec, guard(decompress)]),
  );
}

/**
 * Rows of a Parquet file: all codecs, encodings and nested types that hyparquet reads. 64-bit integers become numbers
 * where they are exact (else they stay BigInt); lists and structs become arrays and objects; timestamps become Dates.
 *
 * Without a schema the file's own types are the schema, and values are passed through unchecked (NaN stays NaN). A given
 * schema is enforced.
 */
export function fromParquet(source: DataSource, options: ParquetOptions = {}): OpeningDataset {
  const bytes = openBytes(source, options);
  const { name } = bytes;
  if (!["auto", "text", "bytes", undefined].includes(options.binary)) {
    throw new ConfigError(`fromParquet: binary needs auto, text or bytes, got ${JSON.stringify(options.binary)}.`, {
      where: "fromParquet",
    });
  }
  let opened: Promise<OpenParquet> | undefined;
  const open = () => {
    opened ??= openParquet(bytes.open, name, options);
    opened.catch(() => {
      opened = undefined;
    });
    return opened;
  };
  const step = { parquet: { columns: (options.columns ?? null) as Json, binary: options.binary ?? "auto" } };
  const contentHash = hashOnce({ ...bytes, stream: () => storedBytes(bytes.open) });
  async function* groups(): AsyncGenerator<Row[]> {
    const file = await open();
    for (let group = 0; group < file.groups.length; group++) yield await file.read(group);
  }
  let stage: Stage<Row>;
  if (options.schema) {
    async function* rows() {
      for await (const group of groups()) yield { rows: group };
    }
    stage = valueStage({ name, step, rows, contentHash, repeatable: true }, options);
  } else {
    async function* read(_: Schema, report: ReadReport) {
      for await (const group of groups()) {
        report.rows += group.length;
        yield group;
      }
    }
    stage = sourceStage({ name, step, infer: async () => (await open()).infer(), read, contentHash }, undefined);
  }
  return new OpeningDataset(stage);
}

async function* storedBytes(open: () => Promise<ByteSource>): AsyncGenerator<Uint8Array> {
  const file = await open();
  for (let at = 0; at < file.byteLength; at += 1 << 20)
    yield await file.read(at, Math.min(file.byteLength, at + (1 << 20)));
  await file.close?.();
}

interface OpenParquet {
  /** First row and number of rows of each row group. */
  groups: { start: number; rows: number }[];
  read(group: number): Promise<Row[]>;
  infer(): Promise<Schema>;
}

/** Reads and checks the footer. Throws DataError on a file that breaks the format, naming what is wrong. */
async function openParquet(
  openBytesOf: () => Promise<ByteSource>,
  name: string,
  { columns, binary = "auto" }: ParquetOptions,
): Promise<OpenParquet> {
  const { parquetMetadataAsync, parquetReadObjects, compressors } = await library();
  const broken = (cause: unknown, what = "cannot be read as Parquet") => {
    if (cause instanceof DataError) return cause;
    return new DataError(`${name}: ${what}: ${(cause as Error).message}.`, { where: name, cause });
  };
  const withFile = async <R>(use: (file: ByteSource) => Promise<R>): Promise<R> => {
    const file = await openBytesOf();
    try {
      return await use(file);
    } catch (cause) {
      throw broken(cause);
    } finally {
      await file.close?.();
    }
  };
  const metadata = await withFile((file) => parquetMetadataAsync(asyncBuffer(file), {}));
  const byteLength = await withFile(async (file) => file.byteLength);
  let topLevel: TopColumn[];
  try {
    checkFooter(metadata, byteLength, name);
    topLevel = topLevelColumns(metadata);
  } catch (cause) {
    throw broken(cause, "has a footer that makes no sense");
  }
  const missing = columns?.find((column) => !topLevel.some((field) => field.name === column));
  if (missing !== undefined) {
    throw new DataError(`${name}: has no column "${missing}".`, {
      where: name,
      hint: `Columns: ${topLevel.map((field) => field.name).join(", ")}.`,
    });
  }
  const kept = topLevel.filter((field) => !columns || columns.includes(field.name));
  const wide = kept.filter((field) => field.int64).map((field) => field.name);
  const objects = (file: ByteSource, names: string[], utf8: boolean, rowStart: number, rowEnd: number) =>
    parquetReadObjects({
      file: asyncBuffer(file),
      metadata,
      compressors,
      parsers,
      utf8,
      rowStart,
      rowEnd,
      columns: names,
    });
  const undeclared = kept.filter((field) => field.undeclaredBytes).map((field) => field.name);
  const declared = kept.map((field) => field.name).filter((column) => !undeclared.includes(column));
  /** Undeclared columns that are text: decided by the first row group that is read. */
  let texts: Set<string> | undefined;
  const addUndeclared = async (file: ByteSource, rows: Row[], rowStart: number, rowEnd: number): Promise<Row[]> => {
    const bytes = await objects(file, undeclared, false, rowStart, rowEnd);
    const isText = (column: string) =>
      binary === "text" || (binary === "auto" && bytes.every((row) => isUtf8(row[column])));
    texts ??= new Set(undeclared.filter(isText));
    for (const column of texts) for (const row of bytes) row[column] = withText(row[column]);
    return bytes.map((row, i) => {
      const whole: Row = {};
      for (const { name, undeclaredBytes } of kept) whole[name] = undeclaredBytes ? row[name] : rows[i][name];
      return whole;
    });
  };
  const readRows = (rowStart: number, rowEnd: number): Promise<Row[]> =>
    withFile(async (file) => {
      let rows: Row[] = declared.length > 0 ? await objects(file, declared, true, rowStart, rowEnd) : [];
      if (undeclared.length > 0) rows = await addUndeclared(file, rows, rowStart, rowEnd);
      if (rows.length !== rowEnd - rowStart) {
        throw new RangeError(`rows ${rowStart} to ${rowEnd} were announced, got ${rows.length} rows`);
      }
      for (const column of wide) for (const row of rows) row[column] = withoutBigInt(row[column]);
      return rows;
    });
  const groups: OpenParquet["groups"] = [];
  let start = 0;
  for (const { num_rows } of metadata.row_groups) {
    groups.push({ start, rows: Number(num_rows) });
    start += Number(num_rows);
  }
  const readGroup = (group: number) => readRows(groups[group].start, groups[group].start + groups[group].rows);
  /** The first group, read for the schema and kept for the first pass. */
  let first: Promise<Row[]> | undefined;
  return {
    groups,
    read(group) {
      const kept = group === 0 ? first : undefined;
      first = undefined;
      return kept ?? readGroup(group);
    },
    async infer() {
      first = groups.length > 0 ? readGroup(0) : undefined;
      const sample = first ? (await first).slice(0, SAMPLE_ROWS) : [];
      return { fields: kept.map((field) => inferField(field, sample)) };
    },
  };
}

const lossy = new TextDecoder();
const strict = new TextDecoder("utf-8", { fatal: true });

/** Text that is no UTF-8 is an error, never replaced. The strict decoder is the slower one: it settles doubts only. */
function decode(bytes: Uint8Array): string {
  const text = lossy.decode(bytes);
  return text.includes("\ufffd") ? strict.decode(bytes) : text;
}

const parsers = { stringFromBytes: (bytes: Uint8Array) => bytes && decode(bytes) };

/** Do all bytes in a value, lists and structs included, form text? */
function isUtf8(value: unknown): boolean {
  if (value instanceof Uint8Array) return invalidUtf8(value) === value.length;
  if (value === null || typeof value !== "object") return true;
  return Object.values(value).every(isUtf8);
}

/** The same value with text in place of bytes. */
function withText(value: unknown): unknown {
  if (value instanceof Uint8Array) return decode(value);
  if (Array.isArray(value)) return value.map(withText);
  if (value === null || typeof value !== "object" || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withText(item)]));
}

/** hyparquet's two-member file interface, with ranges checked against the file. */
function asyncBuffer(file: ByteSource) {
  const read = async (start: number, end: number): Promise<ArrayBuffer> => {
    if (!(start >= 0 && end >= start && end <= file.byteLength)) {
      throw new RangeError(`bytes ${start} to ${end} lie outside the file of ${file.byteLength} bytes`);
    }
    const bytes = await file.read(start, end);
    const whole = bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength;
    return (whole ? bytes.buffer : bytes.slice().buffer) as ArrayBuffer;
  };
  return {
    byteLength: file.byteLength,
    slice(start: number, end = file.byteLength): Promise<ArrayBuffer> {
      const reading = read(start, end);
      // hyparquet asks for ranges ahead and may fail before it looks at them: no rejection must go unheard.
      reading.catch(() => {});
      return reading;
    },
  };
}

/** BigInts as numbers where that is exact; within lists, too. */
function withoutBigInt(value: unknown): unknown {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }
  if (value instanceof BigInt64Array || value instanceof BigUint64Array) return Array.from(value, withoutBigInt);
  if (Array.isArray(value)) return value.map(withoutBigInt);
  if (value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype) {
    for (const key of Object.keys(value)) (value as Row)[key] = withoutBigInt((value as Row)[key]);
  }
  return value;
}
