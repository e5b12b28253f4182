/** The rows of a table that a config names: read, checked, split by the seed, and what the training split teaches. */

import type { DataReference } from "../artifacts/manifest.js";
import { ConfigError, DataError } from "../core/errors.js";
import { canonicalJson } from "../core/json.js";
import { createHasher, sha256Hex } from "../core/sha256.js";
import { warn } from "../core/warnings.js";
import { openBytes } from "../data/bytes.js";
import { type Dataset, type Field, fitTable, openDataset, type TableEncoding } from "../data/index.js";
import { type DataConfig, type DataPlace, dataKindOf, placesOf } from "./data-config.js";

/** Up to this many bytes of data, the rows stay in memory unless the config says otherwise. */
export const CACHED_BYTES = 64 * 2 ** 20;

export interface OpenTable {
  /** All rows that take part. */
  readonly rows: Dataset;
  readonly train: Dataset;
  /** Undefined where the config sets nothing aside. */
  readonly val?: Dataset;
  readonly encoding: TableEncoding;
  readonly sources: readonly DataReference[];
  /** Of idx files. */
  readonly labels: readonly DataReference[];
  /** Are the rows kept in memory? */
  readonly cache: boolean;
}

/** Opens what `data` names and learns its encoding. Throws ConfigError or DataError naming the field or the file. */
export async function openTable(data: DataConfig, seed: number): Promise<OpenTable> {
  const kind = dataKindOf(data);
  const sources = await Promise.all(placesOf(data[kind]).map(reference));
  const labels = await Promise.all(placesOf(data.labels).map(reference));
  const where = sources.map(({ name }) => name).join(", ");
  const files = await openFiles(data);
  const [first, ...others] = files;
  const table = others.length > 0 ? first.concat(...others) : first;
  const target = targetOf(table, data, where);
  const known = await withTarget(table, target, data, where);
  const cache = data.cache ?? sources.reduce((sum, { size }) => sum + size, 0) <= CACHED_BYTES;
  // The bytes of idx files are in memory as they are.
  const rows = cache && kind !== "idx" ? known.cache() : known;
  const shares = Object.fromEntries(Object.entries(data.split).filter(([, share]) => share > 0));
  const { train, val } = rows.split(shares, { seed, stratify: data.stratify, group: data.group }) as {
    train: Dataset;
    val?: Dataset;
  };
  await refuseEmpty({ train, val }, where);
  tellSkipped(files, where);
  return { rows, train, val, encoding: await learnEncoding(train, target, data, where), sources, labels, cache };
}

/** SHA-256 of several sources in order. */
export const hashOf = (sources: readonly DataReference[]): string =>
  sources.length === 1 ? sources[0].sha256 : sha256Hex(canonicalJson(sources.map(({ sha256 }) => sha256)));

/** Name, size and hash of what lies at a place, gzip undone. */
export async function reference(place: DataPlace): Promise<DataReference> {
  const bytes = openBytes(place);
  const hasher = createHasher();
  let size = 0;
  for await (const piece of bytes.stream()) {
    hasher.update(piece);
    size += piece.length;
  }
  return { name: bytes.name, size, sha256: hasher.digest() };
}

/** A dataset for each file. */
async function openFiles(data: DataConfig): Promise<Dataset[]> {
  const kind = dataKindOf(data);
  const { schema, onViolation, options } = data;
  const labels = placesOf(data.labels);
  const files: Dataset[] = [];
  for (const [i, place] of placesOf(data[kind]).entries()) {
    const labelled = labels.length > 0 ? { labels: labels[i] } : {};
    // What the first file holds is what the others must hold.
    const known = schema ?? (kind === "idx" ? undefined : files[0]?.schema);
    files.push(await openDataset({ [kind]: place, schema: known, onViolation, options, ...labelled }));
  }
  return files;
}

function targetOf({ schema: { fields } }: Dataset, { target, features }: DataConfig, where: string): Field {
  const field = fields.find(({ name, role }) => (target === undefined ? role === "target" : name === target));
  const hint = `The columns are ${fields.map(({ name }) => name).join(", ")}.`;
  if (!field && target === undefined) {
    const what = `config: data needs target, the column of ${where} to predict.`;
    throw new ConfigError(what, { where: "data.target", hint });
  }
  if (!field) throw new ConfigError(`${where}: has no column "${target}" to predict.`, { where: "data.target", hint });
  if (features?.includes(field.name)) {
    throw new ConfigError(`config: data.features holds the target "${field.name}".`, {
      where: "data.features",
      hint: "What is to be predicted cannot be known beforehand: leave it out.",
    });
  }
  return field;
}

/** A row without a target teaches nothing: it breaks the rules like a value of the wrong type. */
async function withTarget(
  table: Dataset,
  { name, nullable }: Field,
  data: DataConfig,
  where: string,
): Promise<Dataset> {
  if (!nullable) return table;
  const known = table.filter((row) => row[name] !== null, { name: `has ${name}`, version: 1 });
  const [all, kept] = [await table.count(), await known.count()];
  if (all === kept) return table;
  const missing = `${where}: ${all - kept} of ${all} rows have no value of the target "${name}"`;
  if (data.onViolation !== "skip") {
    throw new DataError(`${missing}.`, { where, hint: '"onViolation": "skip" leaves such rows out.' });
  }
  warn("rows-skipped", `${missing}, and are left out.`, { where, rows: all - kept });
  return known;
}

export async function refuseEmpty(parts: { train: Dataset; val?: Dataset }, where: string): Promise<void> {
  for (const [part, rows] of Object.entries(parts)) {
    if (rows === undefined || (await rows.count()) > 0) continue;
    throw new DataError(`${where}: the split "${part}" has no rows.`, {
      where,
      hint: 'Give more rows, or "split": { "train": 1, "val": 0 } where there is nothing to spare.',
    });
  }
}

/** What the policy `skip` or `null` did to rows that break the schema. */
export function tellSkipped(files: readonly Dataset[], where: string): void {
  const sum = (count: "skippedRows" | "nulledValues") =>
    files.reduce((total, { report }) => total + (report?.[count] ?? 0), 0);
  const [skipped, nulled] = [sum("skippedRows"), sum("nulledValues")];
  if (skipped + nulled === 0) return;
  const first = files.flatMap(({ report }) => report?.violations ?? [])[0];
  const example = first ? ` The first: row ${first.row}, column "${first.column}", got ${first.value}.` : "";
  warn(
    "schema-violations",
    `${where}: ${skipped} rows that break the schema are left out, ${nulled} values are taken as missing.${example}`,
    { where, skipped, nulled },
  );
}

/** Features and target as numbers, by what the training split teaches; targets of regressions are normalised, too. */
async function learnEncoding(train: Dataset, target: Field, data: DataConfig, where: string): Promise<TableEncoding> {
  const { features, normalize, normalizeTarget = "standard" } = data;
  const task = data.task ?? (target.modality === "label" ? "classification" : undefined);
  const encoding = await fitTable(train, { features, target: target.name, task, normalize, normalizeTarget });
  const { classes } = encoding.target ?? {};
  if (classes && classes.length < 2) {
    throw new DataError(`${where}: the target "${target.name}" needs at least 2 classes, got ${classes.length}.`, {
      where,
    });
  }
  return encoding;
}
