/** The `data` section of a training config: a documented union, one key of which names the data and their format. */

import {
  boolean,
  inside,
  integer,
  list,
  nullable,
  number,
  object,
  oneOf,
  optional,
  type Place,
  refuse,
  type Schema,
  text,
} from "../artifacts/schema.js";
import { blobSource, urlSource } from "../artifacts/sources.js";
import { listOf } from "../core/errors.js";
import { type ByteSource, isFetched, platform } from "../core/platform.js";
import type { CollateOptions } from "../data/collate.js";
import type { DataFormat } from "../data/config.js";
import { parseSchema, type SchemaInput } from "../data/schema.js";
import type { ViolationPolicy } from "../data/violation.js";

/** Where data come from: a path, a URL, or in code a Blob or File; several are read one after the other. */
export type DataPlace = string | URL | Blob;

/** The keys that may name the data: the formats of `tenon/data`, and what is for language models alone. */
export type DataKind = DataFormat | "tokens" | "corpus";

/** What rows are to a language model; without one of these, rows of columns are a table. */
const ROW_FORMATS = ["documents", "prompt-response", "chat"] as const;

/** What is learnt from data, which decides what their config may say. */
export type DataUse = "text" | "tokens" | "documents" | "instructions" | "table";

/** What is learnt where no `format` says how rows are read. */
const kinds: Record<DataKind, DataUse> = {
  text: "text",
  tokens: "tokens",
  csv: "table",
  jsonl: "table",
  json: "table",
  parquet: "table",
  idx: "table",
  corpus: "text",
};
export const DATA_KINDS = Object.keys(kinds) as DataKind[];

/** Exactly one of the formats, `corpus` and `tokens` names the data. */
export interface DataConfig extends Readonly<Partial<Record<DataFormat, DataPlace | readonly DataPlace[]>>> {
  /** A built-in one ("tales"). */
  readonly corpus?: string;
  /** A file of token ids (`tokenFileBytes`), read by range. */
  readonly tokens?: DataPlace;
  /** Shares of the data; together at most 1. Of a table: rows by the seed; of a text: its beginning and its end. */
  readonly split: { readonly train: number; readonly val: number; readonly test?: number };
  /** Characters to make, for built-in corpora. */
  readonly length?: number;
  /** Of files of bare ids without a header, as nanoGPT writes them: how they are stored, little-endian. */
  readonly dtype?: "uint16" | "uint32" | "int32";

  // Of rows for language models.
  /** A text per row, or examples of which the response is learnt. Without it rows are a table. */
  readonly format?: (typeof ROW_FORMATS)[number];
  /** Column that holds the text of documents; `text` unless told. */
  readonly column?: string;
  /** Columns of examples; `instruction`, `input` (may be absent), `output`, and `messages` unless told. */
  readonly columns?: {
    readonly prompt?: string;
    readonly input?: string;
    readonly response?: string;
    readonly messages?: string;
  };
  /**
   * Token put after every text, and learnt; null for none. Unless told, `<|endoftext|>` (or the like) where the tokenizer
   * knows it, else a line break.
   */
  readonly endOfText?: string | null;

  // Of tables.
  /** One file of labels for each file of `idx`. */
  readonly labels?: DataPlace | readonly DataPlace[];
  /** Columns and their types; inferred from the first rows unless given. Part of the run's identity either way. */
  readonly schema?: SchemaInput;
  /** Columns to learn from; all but the target unless told (or those of role `feature` in the schema). */
  readonly features?: readonly string[];
  /** Column to predict, unless the schema has one of role `target`. */
  readonly target?: string;
  /** By the type of the target unless told: numbers are regressed, all else (and labels of `idx`) are classes. */
  readonly task?: "classification" | "regression";
  /** What features of type number become; `standard`: (x - mean) / std over the training split. */
  readonly normalize?: "standard" | "minmax" | "none";
  /** The same for the target of a regression; predictions and measures are in the target's own unit all the same. */
  readonly normalizeTarget?: "standard" | "minmax" | "none";
  /** Keeps the shares of the split within each value of this column. */
  readonly stratify?: string;
  /** Keeps rows with equal values of this column in one part. */
  readonly group?: string;
  /** What happens to rows that break the schema. */
  readonly onViolation?: ViolationPolicy;
  /** Keeps all rows in memory, for an exact shuffle; true up to 64 MiB of data unless told. */
  readonly cache?: boolean;
  /** How lists of a row become arrays. */
  readonly collate?: CollateOptions;
  /** Options of the format's reader, such as `{ "delimiter": ";" }`. */
  readonly options?: Readonly<Record<string, unknown>>;
}

/** The key that names the data. */
export const dataKindOf = (data: Partial<DataConfig>): DataKind =>
  DATA_KINDS.find((kind) => data[kind] !== undefined) as DataKind;

export function dataUse(data: Partial<DataConfig>): DataUse {
  const kind = dataKindOf(data);
  if (data.format === undefined || ["tokens", "corpus", "idx"].includes(kind)) return kinds[kind];
  return data.format === "documents" ? "documents" : "instructions";
}

/** Do the data consist of rows with columns, of which a model of tables learns? */
export const isTable = (data: Partial<DataConfig>): boolean => dataUse(data) === "table";

/** The places of a field that takes one or several. */
export const placesOf = (given: DataPlace | readonly DataPlace[] | undefined): readonly DataPlace[] =>
  given === undefined ? [] : Array.isArray(given) ? given : [given as DataPlace];

/** Opens a place as bytes. */
export async function openPlace(place: DataPlace): Promise<ByteSource> {
  if (place instanceof Blob) return blobSource(place);
  return place instanceof URL || /^file:/i.test(place) || isFetched(place)
    ? urlSource(place)
    : platform().openFile!(place);
}

/** The longest path or URL; the bytes of a `data:` URL are its content. */
const LONGEST_PLACE = 2000;

/** Why a text cannot be a place, or undefined when it can: pasted texts are not fetched. */
const placeProblem = (text: string): string | undefined =>
  /[\r\n]/.test(text)
    ? "without line breaks"
    : text.length > LONGEST_PLACE && !/^(data|blob):/i.test(text)
      ? `of at most ${LONGEST_PLACE} characters`
      : undefined;

/** A relative address as one that means the same everywhere; anything else, and what is no place, as it is. */
export function absolutePlace(place: unknown, base: string): unknown {
  if (typeof place !== "string" || place === "" || placeProblem(place) || /^[a-z][a-z0-9+.-]*:/i.test(place))
    return place;
  try {
    return new URL(place, base).href;
  } catch {
    return place;
  }
}

const SAME_FILE = "Give the same file again: in the config, or to replay as its data (--data FILE).";

const place: Schema<DataPlace> = {
  expects: "a path, URL or Blob",
  check(value, at) {
    const problem = typeof value === "string" ? placeProblem(value) : undefined;
    if (problem)
      refuse(at, `a path or URL ${problem}, or a Blob`, value, "To train on a text itself, pass new Blob([text]).");
    const { blob } = Object(value) as { blob?: unknown };
    if (typeof blob === "string") {
      refuse(at, "the File or Blob itself, of which a run keeps the name alone", blob, SAME_FILE);
    }
    const isBlob = typeof Blob !== "undefined" && value instanceof Blob;
    return isBlob || value instanceof URL || (typeof value === "string" && value !== "")
      ? (value as DataPlace)
      : refuse(at, "a path, URL or Blob", value);
  },
};

const places: Schema<DataPlace | DataPlace[]> = {
  expects: "a path, URL or Blob, or a list of them",
  check: (value, at) =>
    Array.isArray(value) && value.length > 0 ? list(place).check(value, at) : place.check(value, at),
};

const schema: Schema<SchemaInput> = {
  expects: "a schema",
  check: (value) => parseSchema(value as SchemaInput),
};

const anyObject = <T extends object>(expects: string): Schema<T> => ({
  expects,
  check: (value, at) =>
    typeof value === "object" && value !== null && !Array.isArray(value) ? (value as T) : refuse(at, expects, value),
});

const share = () => number({ min: 0, max: 1 });
const normalization = () => oneOf(["standard", "minmax", "none"]);

const split = optional(object({ train: share(), val: share(), test: optional(share()) }));
const columnName = () => optional(text());
const naming = {
  text: optional(places),
  tokens: optional(place),
  corpus: optional(text()),
  csv: optional(places),
  jsonl: optional(places),
  json: optional(places),
  parquet: optional(places),
  idx: optional(places),
} satisfies Record<DataKind, unknown>;

const fields = object({
  ...naming,
  split,
  length: optional(integer({ min: 1 })),
  dtype: optional(oneOf(["uint16", "uint32", "int32"])),
  format: optional(oneOf([...ROW_FORMATS])),
  column: columnName(),
  columns: optional(
    object({ prompt: columnName(), input: columnName(), response: columnName(), messages: columnName() }),
  ),
  endOfText: optional(nullable(text())),
  labels: optional(places),
  schema: optional(schema),
  features: optional(list(text())),
  target: optional(text()),
  task: optional(oneOf(["classification", "regression"])),
  normalize: optional(normalization()),
  normalizeTarget: optional(normalization()),
  stratify: optional(text()),
  group: optional(text()),
  onViolation: optional(oneOf(["error", "skip", "null"])),
  cache: optional(boolean()),
  collate: optional(anyObject<CollateOptions>("an object of collation options")),
  options: optional(anyObject<Record<string, unknown>>("an object of the reader's options")),
});

const READING = ["schema", "stratify", "group", "onViolation", "options"];
/** Fields that take part, besides the one that names the data and `split`. */
const FIELDS: Record<DataUse, readonly string[]> = {
  text: ["length"],
  tokens: ["dtype"],
  documents: [...READING, "format", "column", "endOfText"],
  instructions: [...READING, "format", "columns", "endOfText", "cache", "collate"],
  table: [...READING, "labels", "features", "target", "task", "normalize", "normalizeTarget", "cache", "collate"],
};

export const dataSchema: Schema<DataConfig> = {
  expects: `an object with one of ${listOf([...DATA_KINDS], "or")}`,
  check(value, at) {
    const given = fields.check(value, at);
    const kinds = DATA_KINDS.filter((kind) => given[kind] !== undefined);
    if (kinds.length !== 1) refuse(at, `exactly one of ${listOf([...DATA_KINDS], "or")}`, kinds.length ? kinds : value);
    const use = dataUse(given as DataConfig);
    const foreign = Object.keys(given).find((key) => ![kinds[0], "split", ...FIELDS[use]].includes(key));
    if (foreign) {
      const what = given.format === undefined ? kinds[0] : `${kinds[0]} in the format "${given.format}"`;
      refuse(inside(at, foreign), `nothing, as it takes no part where the data are ${what}`, given[foreign as never]);
    }
    const data = {
      ...given,
      split: given.split ?? given.schema?.split ?? { train: 0.9, val: 0.1 },
    } as DataConfig;
    checkSplit(data, inside(at, "split"));
    if (use === "table") checkLabels(data, at);
    if (use === "instructions") checkExamples(data, at);
    return data;
  },
};

/** Of collation, what suits examples of a language model: they are padded on the right. */
function checkExamples({ text, collate = {} }: DataConfig, at: Place): void {
  if (text !== undefined) refuse(inside(at, "format"), '"documents", as the data are text', "prompt-response or chat");
  for (const [key, value] of Object.entries(collate)) {
    const inner = inside(inside(at, "collate"), key);
    if (key === "ragged") oneOf(["pad", "truncate"]).check(value, inner);
    else if (key === "multipleOf") integer({ min: 1 }).check(value, inner);
    else refuse(inner, "nothing: of collation, examples of a language model take ragged and multipleOf", value);
  }
}

function checkSplit({ split: { train, val = 0, test = 0 } }: DataConfig, at: Place): void {
  if (!(train > 0)) refuse(inside(at, "train"), "a number above 0", train);
  if (train + val + test > 1 + 1e-9) refuse(at, "shares that sum to 1 at most", train + val + test);
}

function checkLabels({ idx, labels }: DataConfig, at: Place): void {
  const [files, expected] = [placesOf(labels).length, placesOf(idx).length];
  if (files === expected) return;
  refuse(
    inside(at, "labels"),
    expected === 0 ? "data of idx" : `a file of labels for each file of idx (${expected})`,
    labels,
  );
}
