/** A look at a dataset: counts, missing values, ranges, small histograms, problems by row. What `tenon data check` shows. */

import { createHasher } from "../core/sha256.js";
import { coerceText, INVALID } from "./coerce.js";
import type { Dataset } from "./dataset.js";
import { Histogram } from "./histogram.js";
import type { Ratios } from "./ratio.js";
import type { Row } from "./row.js";
import type { Field, Schema } from "./schema.js";
import { splitStages } from "./split.js";
import { chunksOf, type Stage, step } from "./stage.js";
import type { ReadReport } from "./violation.js";

export interface ColumnSummary {
  name: string;
  type: Field["type"];
  /** Rows with a value, and without one. */
  count: number;
  missing: number;
  /** Empty texts and lists; they are values. */
  empty: number;
  /** Numbers: least, greatest and mean value. Texts and lists: the same of their lengths. */
  min?: number;
  max?: number;
  mean?: number;
  /** Numbers and lengths: `counts[i]` values from `start + i * width`. */
  histogram?: { start: number; width: number; counts: number[] };
  /** Categories and booleans: values by frequency, the first 20. */
  values?: [value: string, count: number][];
  /** Different values of a category; `uncounted` where there are more, which is all that is known of those. */
  distinct?: number;
  uncounted?: true;
  /** Texts of which at least half are numbers: how many are, and the first others. A mistake in the file, perhaps. */
  numbers?: { count: number; others: string[] };
  /** Texts of which at least half are numbers where commas are decimal marks, and fewer where points are: how many. */
  decimalCommas?: number;
}

export interface CheckReport {
  name: string;
  rows: number;
  schema: Schema;
  columns: ColumnSummary[];
  /** Counts and first violations of the pass; data without a row are one. */
  report: Pick<ReadReport, "skippedRows" | "nulledValues" | "brokenRows" | "violations">;
  /** SHA-256 of the content. */
  contentHash: string;
  split: SplitSummary;
}

export interface SplitSummary {
  ratios: Ratios;
  seed: number;
  /** Rows of each part. */
  counts: Record<string, number>;
  /** SHA-256 over one byte per row, the number of its part: equal hashes are equal splits. */
  hash: string;
}

export interface CheckOptions {
  /** What to call the data. */
  name: string;
  /** Ratios; those of the schema, or else 0.8 and 0.2, unless told. */
  split?: Ratios;
  /** Seed of the split; 0 unless told. */
  seed?: number;
  /** The decimal mark that the data were read with; "." unless told. */
  decimal?: string;
}

/** Reads a dataset of rows: once for the summary, and once for the hash of its content. */
export async function checkDataset(
  dataset: Dataset,
  { name, split, seed = 0, decimal = "." }: CheckOptions,
): Promise<CheckReport> {
  const ready = await dataset;
  const { schema } = ready;
  const summaries = schema.fields.map((field) => new Summary(field, decimal === ","));
  let rows = 0;
  for await (const chunk of ready.stage.open({ epoch: 0, skip: 0 })) {
    rows += chunk.length;
    for (const summary of summaries) for (const row of chunk) summary.see(row);
  }
  const { skippedRows = 0, nulledValues = 0, brokenRows = 0 } = ready.report ?? {};
  const violations = [...(ready.report?.violations ?? [])];
  if (rows === 0 && violations.length === 0) {
    violations.push({ file: name, row: 1, expected: "at least one row", value: "the end of the data" });
  }
  const provenance = await ready.provenance();
  return {
    name,
    rows,
    schema,
    columns: summaries.map((summary) => summary.column()),
    report: { skippedRows, nulledValues, brokenRows, violations },
    contentHash: provenance.sources[0].contentHash,
    split: await summarizeSplit(ready.stage, split ?? schema.split ?? { train: 0.8, val: 0.2 }, seed, rows),
  };
}

/** Counts and hash of a split by seed and row number, which needs no row. */
async function summarizeSplit(parent: Stage, ratios: Ratios, seed: number, rows: number): Promise<SplitSummary> {
  const access = async () => ({ length: rows, at: (index: number) => index });
  const numbers = step<unknown, number>(parent, {
    step: null,
    access,
    async *open({ skip }) {
      yield* chunksOf(await access(), skip);
    },
  });
  const parts = new Uint8Array(rows).fill(255);
  const counts: Record<string, number> = {};
  let code = 0;
  for (const [name, part] of Object.entries(splitStages(numbers, ratios, { seed }))) {
    counts[name] = 0;
    for await (const chunk of part.open({ epoch: 0, skip: 0 })) {
      counts[name] += chunk.length;
      for (const index of chunk) parts[index] = code;
    }
    code++;
  }
  return { ratios, seed, counts, hash: createHasher().update(parts).digest() };
}

const NUMBER: Field = { name: "", type: "float32" };
const SHOWN_OTHERS = 3;
const SHOWN_VALUES = 20;
const COUNTED_VALUES = 10_000;

/** What one pass learns about a column, in bounded memory. */
class Summary {
  private count = 0;
  private missing = 0;
  private empty = 0;
  private sum = 0;
  private readonly histogram = new Histogram();
  private readonly values = new Map<string, number>();
  private uncounted = false;
  private numbers = 0;
  private withCommas = 0;
  private readonly others = new Set<string>();

  constructor(
    private readonly field: Field,
    private readonly decimalComma: boolean,
  ) {}

  see(row: Row): void {
    const value = row[this.field.name];
    if (value === null || value === undefined) {
      this.missing++;
      return;
    }
    this.count++;
    const size = (value as ArrayLike<unknown>).length;
    if (size === 0) this.empty++;
    if (typeof value === "string" && value !== "") this.text(value);
    if (typeof value === "number") {
      if (this.field.type !== "json") this.number(value); // of json the lengths of lists are shown
    } else if (this.field.type === "category" || typeof value === "boolean") this.value(String(value));
    else if (typeof size === "number") this.number(size);
  }

  private text(value: string): void {
    if (!this.decimalComma && coerceText(NUMBER, value, true) !== INVALID) this.withCommas++;
    if (coerceText(NUMBER, value, this.decimalComma) !== INVALID) this.numbers++;
    else if (this.others.size < SHOWN_OTHERS) this.others.add(value);
  }

  private number(value: number): void {
    if (!Number.isFinite(value)) return;
    this.sum += value;
    this.histogram.add(value);
  }

  private value(value: string): void {
    const count = this.values.get(value);
    if (count !== undefined) this.values.set(value, count + 1);
    else if (this.values.size < COUNTED_VALUES) this.values.set(value, 1);
    else this.uncounted = true;
  }

  column(): ColumnSummary {
    const { field, count, missing, empty, histogram, values } = this;
    const column: ColumnSummary = { name: field.name, type: field.type, count, missing, empty };
    if (this.withCommas > this.numbers && 2 * this.withCommas >= count) column.decimalCommas = this.withCommas;
    else if (this.others.size > 0 && 2 * this.numbers >= count) {
      column.numbers = { count: this.numbers, others: [...this.others] };
    }
    if (values.size > 0) {
      const byCount = [...values].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
      const distinct = { distinct: values.size, ...(this.uncounted ? { uncounted: true as const } : {}) };
      return { ...column, values: byCount.slice(0, SHOWN_VALUES), ...distinct };
    }
    if (histogram.count === 0) return column;
    const { min, max } = histogram;
    return { ...column, min, max, mean: this.sum / histogram.count, histogram: histogram.bins() };
  }
}
