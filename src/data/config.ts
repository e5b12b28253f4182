/** A dataset by a config: which file, which format, which schema. The `data` section of a training config is one. */

import { ConfigError, nearest } from "../core/errors.js";
import type { DataSource } from "./bytes.js";
import type { CollateOptions } from "./collate.js";
import { type CsvOptions, fromCsv } from "./csv.js";
import type { OpeningDataset } from "./dataset.js";
import { fromIdx } from "./idx.js";
import { fromJson, fromJsonl } from "./json.js";
import { fromParquet } from "./parquet.js";
import type { Ratios } from "./ratio.js";
import type { SchemaInput } from "./schema.js";
import type { SourceOptions } from "./source.js";
import type { TableOptions } from "./table.js";
import { fromText } from "./text.js";

/** Formats, by the key that names the source in a config. */
const FORMATS = {
  csv: (source: DataSource, options: object) => fromCsv(source, options),
  jsonl: (source: DataSource, options: object) => fromJsonl(source, options),
  json: (source: DataSource, options: object) => fromJson(source, options),
  parquet: (source: DataSource, options: object) => fromParquet(source, options),
  text: (source: DataSource, options: object) => fromText(source, options),
  idx: (source: DataSource, options: object) => fromIdx(source, options),
} satisfies Record<string, (source: DataSource, options: object) => OpeningDataset>;

export type DataFormat = keyof typeof FORMATS;
export const dataFormats = Object.keys(FORMATS) as DataFormat[];

/**
 * Exactly one of the format keys names the source (path, URL, or in code any `DataSource`). What training alone reads
 * (split, collate, columns) may stand here too.
 */
export interface DatasetConfig extends TableOptions, Partial<Record<DataFormat, DataSource>> {
  /** Labels of an idx file. */
  labels?: DataSource;
  schema?: SchemaInput;
  /** Ratios of the parts. */
  split?: Ratios;
  /** Keeps the ratios within each value of this column. */
  stratify?: string;
  /** Keeps rows with equal values of this column together. */
  group?: string;
  onViolation?: SourceOptions["onViolation"];
  /** Padding and truncation of lists. */
  collate?: CollateOptions;
  /** Options of the format's reader, e.g. `{ "delimiter": ";" }`. */
  options?: Omit<CsvOptions, "schema" | "onViolation"> | Record<string, unknown>;
}

const KEYS = [
  ...dataFormats,
  "labels",
  "schema",
  "split",
  "stratify",
  "group",
  "onViolation",
  "collate",
  "options",
  "features",
  "target",
  "task",
  "normalize",
  "normalizeTarget",
];

/** The format a config names. Throws ConfigError on none, several, or unknown keys. */
function dataFormat(config: DatasetConfig): DataFormat {
  for (const key of Object.keys(config)) {
    if (KEYS.includes(key)) continue;
    const near = nearest(key, KEYS);
    throw new ConfigError(`data: unknown key "${key}".`, {
      where: "data",
      hint: near ? `Did you mean "${near}"?` : `Known: ${KEYS.join(", ")}.`,
    });
  }
  const named = dataFormats.filter((key) => config[key] !== undefined);
  if (named.length === 1) return named[0];
  throw new ConfigError(`data: needs one of ${dataFormats.join(", ")}, got ${named.join(" and ") || "none"}.`, {
    where: "data",
    hint: 'For example { "csv": "iris.csv", "target": "species" }.',
  });
}

/** The dataset that a config names, before any split. */
export function openDataset(config: DatasetConfig): OpeningDataset {
  const format = dataFormat(config);
  const { schema, onViolation, labels, options } = config;
  const given = {
    ...(schema && { schema }),
    ...(onViolation && { onViolation }),
    ...(labels && { labels }),
    ...options,
  };
  return FORMATS[format](config[format]!, given);
}

/** The format of a file by its name: `.csv`, `.tsv`, `.jsonl`, `.ndjson`, `.json`, `.parquet`, `.txt`, idx; `.gz` is passed over. */
export function formatOfName(name: string): DataFormat | undefined {
  const plain = name
    .toLowerCase()
    .replace(/[?#].*$/, "")
    .replace(/\.gz$/, "");
  if (/idx\d-u?byte$|\.idx$/.test(plain)) return "idx";
  const extension = /\.([a-z0-9]+)$/.exec(plain)?.[1] ?? "";
  const known: Record<string, DataFormat> = {
    csv: "csv",
    tsv: "csv",
    jsonl: "jsonl",
    ndjson: "jsonl",
    json: "json",
    parquet: "parquet",
    txt: "text",
    md: "text",
  };
  return known[extension];
}
