/** `tenon data check <file>`: schema, counts, missing values, histograms and problems of a data file. */

import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { ConfigError, TenonError } from "../core/errors.js";
import { parseJson } from "../core/json.js";
import { type CheckReport, type ColumnSummary, checkDataset } from "../data/check.js";
import { type DataConfig, type DataFormat, formatOfName, openDataset } from "../data/config.js";
import type { Ratios } from "../data/ratio.js";
import { expectation, parseSchema, type SchemaInput } from "../data/schema.js";
import { showValue, violationText } from "../data/violation.js";
import "../node/platform.js";

export interface CommandOutput {
  out(line: string): void;
  err(line: string): void;
  readonly isTerminal: boolean;
}

const USAGE = `usage: tenon data check <file> [options]

  --schema FILE      enforce the schema in this JSON file; inferred unless given
  --format NAME      csv, jsonl, json, parquet, text or idx; by the file's name unless given
  --labels FILE      labels of an idx file
  --delimiter C      character between fields of a CSV file
  --encoding NAME    encoding of a text file, e.g. latin1; UTF-8 unless given
  --decimal C        decimal mark of numbers in a CSV file, . or ,
  --null TEXT        a text that means a missing value; may be repeated
  --split PARTS      ratios to split by, e.g. train=0.8,val=0.2
  --seed N           seed of the split, 0 unless given
  --json             one JSON object on standard output`;

/** Exit codes: 0 the data fits its schema, 1 it does not or cannot be read, 2 wrong usage. */
export async function run(args: string[], io: CommandOutput): Promise<number> {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(args);
    if (parsed.positionals.length !== 1)
      throw new ConfigError(`data check: needs one file, got ${parsed.positionals.length}.`);
    seedOf(parsed.values);
  } catch (error) {
    io.err((error as Error).message);
    io.err(USAGE);
    return 2;
  }
  const { values, positionals } = parsed;
  if (values.help) {
    io.out(USAGE);
    return 0;
  }
  try {
    const report = await check(positionals[0], values);
    if (values.json) io.out(JSON.stringify(report));
    else for (const line of describe(report)) io.out(line);
    return report.report.violations.length > 0 ? 1 : 0;
  } catch (error) {
    if (!(error instanceof TenonError)) throw error;
    io.err(error.message);
    return 1;
  }
}

const parse = (args: string[]) =>
  parseArgs({
    args,
    allowPositionals: true,
    options: {
      schema: { type: "string" },
      format: { type: "string" },
      labels: { type: "string" },
      delimiter: { type: "string" },
      encoding: { type: "string" },
      decimal: { type: "string" },
      null: { type: "string", multiple: true },
      split: { type: "string" },
      seed: { type: "string" },
      json: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    },
  });

type Values = ReturnType<typeof parse>["values"];

function seedOf({ seed = "0" }: Values): number {
  if (/^\d+$/.test(seed) && Number.isSafeInteger(Number(seed))) return Number(seed);
  throw new ConfigError(`--seed: needs an integer from 0 to ${Number.MAX_SAFE_INTEGER}, got "${seed}".`);
}

async function check(file: string, values: Values): Promise<CheckReport> {
  const format = (values.format ?? formatOfName(file)) as DataFormat | undefined;
  if (!format) {
    throw new ConfigError(`${file}: the name tells no format.`, {
      hint: "Pass --format csv, jsonl, json, parquet, text or idx.",
    });
  }
  const schema = values.schema
    ? (parseJson(await readText(values.schema), { where: values.schema }) as SchemaInput)
    : undefined;
  if (schema) parseSchema(schema);
  const options: Record<string, unknown> = {};
  if (values.delimiter !== undefined) options["delimiter"] = values.delimiter === "\\t" ? "\t" : values.delimiter;
  if (values.encoding !== undefined) options["encoding"] = values.encoding;
  if (values.decimal !== undefined) options["decimal"] = values.decimal;
  if (values.null !== undefined) options["nullValues"] = ["", ...values.null];
  // Problems are counted, not thrown, so that all of them are seen at once; idx files have no values to coerce.
  const config: DataConfig = { [format]: file, schema, labels: values.labels, options };
  if (format !== "idx") config.onViolation = "null";
  return checkDataset(openDataset(config), {
    name: file,
    split: values.split ? parseSplit(values.split) : undefined,
    seed: seedOf(values),
  });
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new ConfigError(`${path}: cannot be read: ${(cause as Error).message}.`, { cause });
  }
}

function parseSplit(text: string): Ratios {
  return Object.fromEntries(
    text.split(",").map((part) => {
      const [name, ratio] = part.split("=");
      if (!name || !Number.isFinite(Number(ratio))) {
        throw new ConfigError(`--split: needs parts such as train=0.8,val=0.2, got "${text}".`);
      }
      return [name, Number(ratio)];
    }),
  );
}

function describe({ name, rows, columns, schema, report, contentHash, split }: CheckReport): string[] {
  const lines = [`${name}: ${count(rows, "row")}, ${count(columns.length, "column")}`, ""];
  const width = Math.max(...columns.map((column) => column.name.length), 6);
  columns.forEach((column, i) => {
    const field = schema.fields[i];
    const missing = column.missing > 0 ? `, ${column.missing} missing` : "";
    const empty = column.empty > 0 ? `, ${column.empty} empty` : "";
    lines.push(
      `${column.name.padEnd(width)}  ${expectation(field)}${field.nullable ? " or null" : ""}${missing}${empty}`,
    );
    for (const line of summary(column)) lines.push(`${" ".repeat(width)}  ${line}`);
  });
  const parts = Object.entries(split.counts).map(([part, n]) => `${part} ${n}`);
  lines.push("", `split by seed ${split.seed}: ${parts.join(", ")} (hash ${split.hash.slice(0, 16)})`);
  lines.push(`content: ${contentHash}`);
  if (report.violations.length === 0) lines.push("no problems");
  else {
    lines.push("", `problems: ${count(report.nulledValues, "value")}, ${count(report.skippedRows, "unreadable row")}`);
    for (const violation of report.violations.slice(0, 20)) lines.push(`  ${violationText(violation)}`);
    const more = report.violations.length - 20;
    if (more > 0) lines.push(`  … and more`);
  }
  return lines;
}

const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? "" : "s"}`;
const BARS = "▁▂▃▄▅▆▇█";
const short = (value: number): string => String(Number(value.toPrecision(6)));

function summary(column: ColumnSummary): string[] {
  const { numbers, count } = column;
  if (!numbers) return distribution(column);
  const others = numbers.others.map(showValue).join(", ");
  const hint = `${numbers.count} of ${count} are numbers, but not ${others}: a missing value (--null) or a mistake?`;
  return [...distribution(column), hint];
}

function distribution({ type, values, distinct, histogram, min, max, mean }: ColumnSummary): string[] {
  if (values) {
    const shown = values.slice(0, 6).map(([value, n]) => `${value} ${n}`);
    return [`${shown.join(", ")}${distinct! > 6 ? `, … (${distinct} values)` : ""}`];
  }
  if (!histogram) return [];
  const most = Math.max(...histogram.counts);
  const bar = histogram.counts
    .map((n) => (n === 0 ? " " : BARS[Math.min(7, Math.floor((8 * n) / (most + 1)))]))
    .join("");
  const what = type === "float32" || type === "int32" ? "" : "length ";
  return [`${what}${short(min!)} to ${short(max!)}, mean ${short(mean!)}  |${bar}|`];
}
