/** Parquet, through hyparquet: one row group at a time, by range requests where the source is a URL. */

import type { FileMetaData } from "hyparquet";
import { DataError, listOf, nearest } from "../core/errors.js";
import type { ByteSource } from "../core/platform.js";
import type { Json } from "./batch-source.js";
import { checkSignal, type DataSource, openBytes, sequentially } from "./bytes.js";
import { AwaitableDataset, type OpeningDataset } from "./dataset.js";
import { SAMPLE_ROWS } from "./infer.js";
import { once } from "./once.js";
import { checkSourceOptions } from "./options.js";
import { Breach, breachIn } from "./parquet-breach.js";
import { type DecodedGroup, GroupReader, parquetLibrary } from "./parquet-columns.js";
import { checkFooter, declareTypes, readFooter } from "./parquet-footer.js";
import { inferField, type TopColumn, topLevelColumns } from "./parquet-schema.js";
import type { Row } from "./row.js";
import type { Schema } from "./schema.js";
import { hashOnce, type SourceOptions, sourceStage, valueStage } from "./source.js";
import { type Stage, skipping } from "./stage.js";
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

/**
 * Rows of a Parquet file: all codecs, encodings and nested types that hyparquet reads. 64-bit integers, times of day
 * included, become numbers where they are exact (else they stay BigInt); lists, structs and maps become arrays and
 * objects; timestamps become Dates. Keys of maps become text; maps that an object cannot hold are refused.
 *
 * Without a schema the file's own types are the schema, and values are passed through unchecked (NaN stays NaN). A given
 * schema is enforced.
 */
export function fromParquet(source: DataSource, options: ParquetOptions = {}): OpeningDataset {
  checkSourceOptions("fromParquet", options, { columns: "texts", binary: ["auto", "text", "bytes"] });
  const bytes = openBytes(source, options);
  const { name } = bytes;
  const open = once(() => openParquet(bytes.open, name, options));
  const step = { parquet: { columns: (options.columns ?? null) as Json, binary: options.binary ?? "auto" } };
  const contentHash = hashOnce({ ...bytes, stream: () => sequentially(bytes.open) });
  /** Rows from the `skip`-th on; `left` is told how many were left out. */
  async function* rows(skip = 0, left: (rows: number) => void = () => {}): AsyncGenerator<Row[]> {
    const file = await open();
    for (const [group, count] of file.groups.entries()) {
      checkSignal(name, options.signal);
      if (skip >= count) {
        skip -= count;
        left(count);
      } else {
        left(skip);
        yield* skipping(await file.read(group), skip);
        skip = 0;
      }
    }
  }
  let stage: Stage<Row>;
  if (options.schema) {
    async function* checked() {
      for await (const slice of rows()) yield { rows: slice };
    }
    stage = valueStage({ name, step, rows: checked, contentHash, repeatable: true }, options);
  } else {
    async function* read(_: Schema, report: ReadReport, skip: number) {
      const count = (rows: number) => {
        report.rows += rows;
      };
      for await (const slice of rows(skip, count)) {
        count(slice.length);
        yield slice;
      }
    }
    const source = {
      name,
      step,
      infer: async () => (await open()).infer(),
      read,
      skips: true,
      count: async () => (await open()).groups.reduce((sum, rows) => sum + rows, 0),
      contentHash,
    };
    stage = sourceStage(source, undefined);
  }
  return new AwaitableDataset(stage);
}

/** Footers in clear may speak of columns that are encrypted. */
function refuseEncrypted(rowGroups: FileMetaData["row_groups"], kept: readonly TopColumn[], name: string): void {
  const encrypted = new Set<string>();
  for (const { columns } of rowGroups) {
    for (const { crypto_metadata, meta_data } of columns) {
      if (crypto_metadata && meta_data) encrypted.add(meta_data.path_in_schema[0]);
    }
  }
  const wanted = kept.filter((column) => encrypted.has(column.name)).map((column) => `"${column.name}"`);
  if (wanted.length === 0) return;
  throw new DataError(`${name}: ${listOf(wanted)} is encrypted, which is not supported.`, {
    where: name,
    hint: "Name the columns that are not, with the option columns, or write the file without encryption.",
  });
}

interface OpenParquet {
  /** Rows of each row group. */
  groups: readonly number[];
  read(group: number): Promise<Iterable<Row[]>>;
  infer(): Promise<Schema>;
}

/** Reads and checks the footer. Throws DataError on a file that breaks the format, naming what is wrong. */
async function openParquet(
  openBytesOf: () => Promise<ByteSource>,
  name: string,
  { columns, binary = "auto", maxDecompressedBytes }: ParquetOptions,
): Promise<OpenParquet> {
  const library = await parquetLibrary();
  const withFile = async <R>(use: (file: ByteSource) => Promise<R>): Promise<R> => {
    const file = await openBytesOf();
    try {
      return await use(file);
    } catch (cause) {
      if (cause instanceof DataError) throw cause;
      const { message, hint } = cause as Breach;
      throw new DataError(`${name}: cannot be read as Parquet: ${message}.`, { where: name, hint, cause });
    } finally {
      await file.close?.();
    }
  };
  const { row_groups, tree, topLevel } = await withFile(async (file) => {
    const footer = await readFooter(file);
    try {
      const metadata = library.parquetMetadata(footer, { geoparquet: false });
      checkFooter(metadata, file.byteLength, name);
      declareTypes(metadata.schema);
      library.markGeoColumns(metadata.schema, metadata.key_value_metadata);
      const { row_groups } = metadata;
      const tree = library.parquetSchema(metadata);
      return { row_groups, tree, topLevel: topLevelColumns(tree, row_groups) };
    } catch (cause) {
      // The library reads fields as they come: what is missing or of another kind ends in the engine's own errors.
      throw cause instanceof DataError || cause instanceof Breach ? cause : breachIn("its footer", cause);
    }
  });
  const kept = columns ? chosen(topLevel, columns, name) : topLevel;
  refuseEncrypted(row_groups, kept, name);
  const reader = new GroupReader(library, row_groups, tree, kept, binary, maxDecompressedBytes);
  const readGroup = (group: number) => withFile((file) => reader.read(file, group));
  const groups = row_groups.map(({ num_rows }) => Number(num_rows));
  /** The first group that has rows, read for the schema and kept for the first pass. */
  const sampled = groups.findIndex((rows) => rows > 0);
  let first: Promise<DecodedGroup> | undefined;
  return {
    groups,
    async read(group) {
      const held = group === sampled ? first : undefined;
      first = undefined;
      return (await (held ?? readGroup(group)))();
    },
    async infer() {
      first = sampled >= 0 ? readGroup(sampled) : undefined;
      const sample = first ? [...(await first)(SAMPLE_ROWS)].flat() : [];
      return { fields: kept.map((field) => inferField(field, sample, reader.isText(field.name))) };
    },
  };
}

/** Names that a message lists. */
const MOST_LISTED = 20;

/** The columns of these names, in the file's order. */
function chosen(topLevel: readonly TopColumn[], columns: readonly string[], name: string): TopColumn[] {
  const names = topLevel.map((field) => field.name);
  const known = new Set(names);
  const missing = columns.find((column) => !known.has(column));
  if (missing !== undefined) {
    const near = nearest(missing, known);
    const listed = names.slice(0, MOST_LISTED).join(", ");
    const more = names.length > MOST_LISTED ? ` and ${names.length - MOST_LISTED} more` : "";
    throw new DataError(`${name}: has no column "${missing}".`, {
      where: name,
      hint: near ? `Did you mean "${near}"?` : `Columns: ${listed}${more}.`,
    });
  }
  const wanted = new Set(columns);
  return topLevel.filter((field) => wanted.has(field.name));
}
