/** What the sources of rows share: a schema that is given or inferred, a report, a content hash. */

import { listOf } from "../core/errors.js";
import type { Json } from "./batch-source.js";
import { type Bytes, type BytesOptions, hashBytes } from "./bytes.js";
import { coerceValue, INVALID } from "./coerce.js";
import { inferRows, SAMPLE_ROWS, valueReader } from "./infer.js";
import { once } from "./once.js";
import type { Row } from "./row.js";
import { expectation, parseSchema, type Schema, type SchemaInput } from "./schema.js";
import { type Stage, skipping } from "./stage.js";
import { emptyReport, noteViolation, type ReadReport, showValue, type ViolationPolicy } from "./violation.js";

export interface SourceOptions extends BytesOptions {
  /** Enforced on every row. Unless given, inferred from the first 1000 rows, and then enforced as well. */
  schema?: SchemaInput | Schema;
  /** What to do with values that break the schema; `error` unless told. */
  onViolation?: ViolationPolicy;
  /** Columns of the file that a given schema does not name: `error` (unless told) or `drop`. */
  extraColumns?: "error" | "drop";
}

/** How one format gives its rows. */
export interface RowSource {
  name: string;
  /** Format and its options, for the fingerprint. */
  step: Json;
  /** Reads what a schema is inferred from; called until it succeeds, and only where no schema was given. */
  infer(): Promise<Schema>;
  /** One pass of rows that conform to the schema, counting into `report`; without the first `skip` where it `skips`. */
  read(schema: Schema, report: ReadReport, skip: number): AsyncIterable<Row[]>;
  /** True where `read` leaves rows out itself, and need not read them. */
  skips?: boolean;
  /** Number of rows, where it is known without a pass. */
  count?(): Promise<number>;
  contentHash(): Promise<string>;
}

/** A stage at the root of a pipeline. */
export function sourceStage(source: RowSource, given: SchemaInput | Schema | undefined): Stage<Row> {
  let schema = given && parseSchema(given);
  let report: ReadReport | undefined;
  const prepare = once(async () => {
    schema ??= parseSchema(await source.infer());
  });
  return {
    parents: [],
    step: source.step,
    prepare,
    get schema() {
      return schema;
    },
    get report() {
      return report;
    },
    contentHash: () => source.contentHash(),
    count: source.count?.bind(source),
    async *open({ skip }) {
      await prepare();
      report = emptyReport();
      const rows = source.read(schema!, report, skip);
      yield* source.skips ? rows : skipping(rows, skip);
    },
  };
}

/** A pass that a sample was taken of: what was read for it, and the rest. */
export interface Begun<T> {
  held: T[];
  rest: AsyncIterator<T>;
}

/** The pass from its beginning; whoever leaves it early, wherever that is, ends it. */
export async function* goOn<T>({ held, rest }: Begun<T>): AsyncGenerator<T> {
  try {
    yield* held;
    yield* { [Symbol.asyncIterator]: () => rest };
  } finally {
    await rest.return?.();
  }
}

/** In place of a row that the format could not read. */
export class UnreadableRow {
  constructor(
    readonly value: string,
    readonly expected: string,
  ) {}
}

/**
 * Some rows as a format gives them; `lines` are theirs, where the format has lines. Where passes can be repeated the rows
 * may be drawn one by one, and be gone then.
 */
interface RowPart {
  rows: Iterable<Row | UnreadableRow>;
  lines?: number[];
}

/** Rows of JavaScript values from a format that has no text cells, checked against the schema. */
export interface ValueSource {
  name: string;
  step: { readonly [key: string]: Json };
  /** One pass. */
  rows(): AsyncIterable<RowPart>;
  contentHash(): Promise<string>;
  /** Passes can be repeated; else the sample is kept for the first pass. */
  repeatable: boolean;
}

export function valueStage(source: ValueSource, options: SourceOptions): Stage<Row> {
  const { onViolation = "error", extraColumns = "error" } = options;
  const inferred = options.schema === undefined;
  let resumed: Begun<RowPart> | undefined;
  const infer = async (): Promise<Schema> => {
    const rest = source.rows()[Symbol.asyncIterator]();
    const held: RowPart[] = [];
    const sample: (Row | UnreadableRow)[] = [];
    while (sample.length < SAMPLE_ROWS) {
      const { done, value } = await rest.next();
      if (done) break;
      held.push(value);
      for (const row of value.rows) if (sample.push(row) === SAMPLE_ROWS) break;
    }
    if (source.repeatable) await rest.return?.();
    else resumed = { held, rest };
    return inferRows(sample.filter((row): row is Row => isObject(row)));
  };
  async function* parts(): AsyncGenerator<RowPart> {
    if (!resumed) {
      yield* source.rows();
      return;
    }
    const begun = resumed;
    resumed = undefined;
    yield* goOn(begun);
  }
  return sourceStage(
    {
      name: source.name,
      step: { ...source.step, onViolation, extraColumns },
      infer,
      contentHash: () => source.contentHash(),
      async *read(schema, report) {
        const check = conform(schema, source.name, onViolation, extraColumns, report, inferred);
        for await (const { rows, lines } of parts()) {
          const out: Row[] = [];
          let failure: { error: unknown } | undefined;
          try {
            let i = 0;
            for (const row of rows) {
              const checked = check(row, lines?.[i++]);
              if (checked) out.push(checked);
            }
          } catch (error) {
            failure = { error };
          }
          // The rows before it are rows all the same.
          if (out.length > 0) yield out;
          if (failure) throw failure.error;
        }
      },
    },
    options.schema,
  );
}

/** Checks rows one after the other; undefined where a row is skipped. */
function conform(
  schema: Schema,
  file: string,
  policy: ViolationPolicy,
  extraColumns: "error" | "drop",
  report: ReadReport,
  inferred: boolean,
): (row: Row | UnreadableRow, line: number | undefined) => Row | undefined {
  const { fields } = schema;
  const known = new Set(fields.map((field) => field.name));
  const valueIn = valueReader(fields.map(({ name }) => name));
  return (row, line) => {
    report.rows++;
    const violate = (value: string, expected: string, column?: string): boolean => {
      const violation = { file, row: report.rows, line, column, value, expected };
      noteViolation(report, policy, violation, { inferred, text: false });
      if (column === undefined) report.brokenRows++;
      if (policy === "skip") report.skippedRows++;
      else report.nulledValues += column === undefined ? fields.length : 1;
      return policy === "null";
    };
    if (!isObject(row)) {
      const [value, expected] =
        row instanceof UnreadableRow ? [row.value, row.expected] : [showValue(row), "an object"];
      return violate(value, expected) ? nullRow(schema) : undefined;
    }
    const out: Row = {};
    for (const field of fields) {
      const value = valueIn(row, field.name);
      if (value === null || value === undefined) {
        out[field.name] = null;
        if (field.nullable || field.type === "json") continue;
        if (!violate(showValue(value), `${expectation(field)}, not a missing value`, field.name)) return undefined;
        continue;
      }
      const coerced = coerceValue(field, value);
      if (coerced === INVALID) {
        out[field.name] = null;
        const expected = field.type === "json" ? "numbers within the range of float64" : expectation(field);
        if (!violate(showValue(value), expected, field.name)) return undefined;
      } else out[field.name] = coerced;
    }
    if (extraColumns === "error") {
      for (const name in row) {
        if (known.has(name) || !Object.hasOwn(row, name)) continue;
        if (!violate(showValue(row[name]), `one of the columns ${listOf([...known])}`, name)) return undefined;
      }
    }
    return out;
  };
}

export const isObject = (row: unknown): row is Row =>
  row !== null && typeof row === "object" && !Array.isArray(row) && !(row instanceof UnreadableRow);

const nullRow = (schema: Schema): Row => Object.fromEntries(schema.fields.map((field) => [field.name, null]));

/** Content hash of a byte source, read once. */
export const hashOnce = (bytes: Bytes): (() => Promise<string>) => once(() => hashBytes(bytes));
