/** Parquet, through hyparquet: one row group at a time, by range requests where the source is a URL. */

import type { FileMetaData } from "hyparquet";
import { ConfigError, DataError, listOf } from "../core/errors.js";
import type { ByteSource } from "../core/platform.js";
import type { Json } from "./batch-source.js";
import { checkSignal, type DataSource, openBytes, sequentially } from "./bytes.js";
import { OpeningDataset } from "./dataset.js";
import { SAMPLE_ROWS } from "./infer.js";
import { checkSourceOptions } from "./options.js";
import { GroupReader, parquetLibrary } from "./parquet-columns.js";
import { checkFooter, declareTypes, readFooter } from "./parquet-footer.js";
import { inferField, type TopColumn, topLevelColumns } from "./parquet-schema.js";
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

/**
 * Rows of a Parquet file: all codecs, encodings and nested types that hyparquet reads. 64-bit integers become numbers
 * where they are exact (else they stay BigInt); lists and structs become arrays and objects; timestamps become Dates.
 *
 * Without a schema the file's own types are the schema, and values are passed through unchecked (NaN stays NaN). A given
 * schema is enforced.
 */
export function fromParquet(source: DataSource, options: ParquetOptions = {}): OpeningDataset {
  checkSourceOptions("fromParquet", options, { columns: "texts", binary: ["auto", "text", "bytes"] });
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
  const contentHash = hashOnce({ ...bytes, stream: () => sequentially(bytes.open) });
  async function* groups(): AsyncGenerator<Row[]> {
    const file = await open();
    for (let group = 0; group < file.groups; group++) {
      checkSignal(name, options.signal);
      yield await file.read(group);
    }
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

/** Footers in clear may speak of columns that are encrypted. */
function refuseEncrypted({ row_groups }: FileMetaData, kept: readonly TopColumn[], name: string): void {
  const encrypted = new Set<string>();
  for (const { columns } of row_groups) {
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
  /** Number of row groups. */
  groups: number;
  read(group: number): Promise<Row[]>;
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
      // The library reads fields as they come: what is missing or of another kind ends in a TypeError.
      const message = cause instanceof TypeError ? "its parts do not fit together" : (cause as Error).message;
      throw new DataError(`${name}: cannot be read as Parquet: ${message}.`, { where: name, cause });
    } finally {
      await file.close?.();
    }
  };
  const { metadata, topLevel } = await withFile(async (file) => {
    const metadata = library.parquetMetadata(await readFooter(file), { geoparquet: false });
    checkFooter(metadata, file.byteLength, name, maxDecompressedBytes);
    declareTypes(metadata.schema);
    library.markGeoColumns(metadata.schema, metadata.key_value_metadata);
    return { metadata, topLevel: topLevelColumns(metadata) };
  });
  const missing = columns?.find((column) => !topLevel.some((field) => field.name === column));
  if (missing !== undefined) {
    throw new DataError(`${name}: has no column "${missing}".`, {
      where: name,
      hint: `Columns: ${topLevel.map((field) => field.name).join(", ")}.`,
    });
  }
  const kept = topLevel.filter((field) => !columns || columns.includes(field.name));
  refuseEncrypted(metadata, kept, name);
  const reader = new GroupReader(library, metadata, kept, binary, maxDecompressedBytes);
  const readGroup = (group: number) => withFile((file) => reader.read(file, group));
  const groups = metadata.row_groups.length;
  /** The first group that has rows, read for the schema and kept for the first pass. */
  const sampled = metadata.row_groups.findIndex(({ num_rows }) => num_rows > 0n);
  let first: Promise<Row[]> | undefined;
  return {
    groups,
    read(group) {
      if (group !== sampled || !first) return readGroup(group);
      const kept = first;
      first = undefined;
      return kept;
    },
    async infer() {
      first = sampled >= 0 ? readGroup(sampled) : undefined;
      const sample = first ? (await first).slice(0, SAMPLE_ROWS) : [];
      return { fields: kept.map((field) => inferField(field, sample)) };
    },
  };
}
