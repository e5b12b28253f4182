/** `tenon data check <file>`: schema, counts, missing values, histograms and problems of a data file. */

import { readFile } from "node:fs/promises";
import { ConfigError, listOf } from "../core/errors.js";
import { parseJson } from "../core/json.js";
import { type CheckReport, type ColumnSummary, checkDataset } from "../data/check.js";
import { type DatasetConfig, dataFormats, formatOfName, openDataset } from "../data/config.js";
import type { Ratios } from "../data/ratio.js";
import { expectation, parseSchema, type SchemaInput } from "../data/schema.js";
import { showValue, violationText } from "../data/violation.js";
import "../node/platform.js";
import { type Parsed, UsageError, usage, withArguments } from "./arguments.js";
import type { CommandIo } from "./io.js";
import { thousands } from "./progress.js";

const table = usage({
  name: "data check",
  operands: "<file>",
  count: [1, 1],
  about: "Shows the schema, counts, missing values, histograms and problems of a data file.",
  options: {
    schema: { kind: "text", value: "FILE", help: "enforce the schema in this JSON file; inferred unless given" },
    format: {
      kind: dataFormats,
      value: "NAME",
      help: `${listOf(dataFormats, "or")}; by the file's name unless given`,
    },
    labels: { kind: "text", value: "FILE", help: "labels of an idx file" },
    delimiter: { kind: "text", value: "C", help: "character between fields of a CSV file" },
    encoding: { kind: "text", value: "NAME", help: "encoding of a text file, e.g. latin1; UTF-8 unless given" },
    decimal: { kind: "text", value: "C", help: "decimal mark of numbers in a CSV file, . or ," },
    null: { kind: "texts", help: "a text that means a missing value; may be repeated" },
    split: { kind: "text", value: "PARTS", help: "ratios to split by, e.g. train=0.8,val=0.2" },
    seed: { kind: { integer: [0, Number.MAX_SAFE_INTEGER] }, help: "seed of the split, 0 unless given" },
  },
});

/** Exit codes: 0 the data fits its schema, 1 it does not. */
export const run = withArguments(table, async ({ values, operands }, io: CommandIo) => {
  const report = await check(operands[0], values);
  if (values.json) io.json(report);
  else for (const line of describe(report)) io.out(line);
  return report.report.violations.length > 0 ? 1 : 0;
});

async function check(file: string, values: Parsed<typeof table>["values"]): Promise<CheckReport> {
  const split = values.split === undefined ? undefined : parseSplit(values.split);
  const format = values.format ?? formatOfName(file);
  if (!format) {
    throw new ConfigError(`${file}: the name tells no format.`, {
      hint: `Pass --format ${listOf(dataFormats, "or")}.`,
    });
  }
  const schema =
    values.schema === undefined
      ? undefined
      : parseSchema(parseJson(await readText(values.schema), { where: values.schema }) as SchemaInput);
  const options: Record<string, unknown> = {};
  if (values.delimiter !== undefined) options["delimiter"] = values.delimiter === "\\t" ? "\t" : values.delimiter;
  if (values.encoding !== undefined) options["encoding"] = values.encoding;
  if (values.decimal !== undefined) options["decimal"] = values.decimal;
  if (values.null.length > 0) options["nullValues"] = values.null;
  // Problems are counted, not thrown, so that all of them are seen at once; idx files have no values to coerce.
  const config: DatasetConfig = { [format]: file, schema, labels: values.labels, options };
  if (format !== "idx") config.onViolation = "null";
  return checkDataset(openDataset(config), {
    name: file,
    split,
    seed: values.seed ?? 0,
    decimal: values.decimal,
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
  const ratios: Record<string, number> = {};
  for (const part of text.split(",")) {
    const [name, ratio, ...more] = part.split("=");
    // `name in ratios`: a name that comes twice, and those that every object has.
    if (!name || !ratio || !Number.isFinite(Number(ratio)) || more.length > 0 || name in ratios) {
      throw new UsageError(`--split needs parts such as train=0.8,val=0.2, got ${text || "nothing"}.`);
    }
    ratios[name] = Number(ratio);
  }
  return ratios;
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
    lines.push("", `problems: ${count(report.nulledValues, "value")}, ${count(report.brokenRows, "broken row")}`);
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
  const { numbers, decimalCommas, count } = column;
  if (decimalCommas) {
    const hint = `${decimalCommas} of ${count} are numbers if commas are decimal marks: --decimal , reads a CSV file so`;
    return [...distribution(column), hint];
  }
  if (!numbers) return distribution(column);
  const others = numbers.others.map(showValue).join(", ");
  const hint = `${numbers.count} of ${count} are numbers, but not ${others}: a missing value (--null) or a mistake?`;
  return [...distribution(column), hint];
}

function distribution({ type, values, distinct, uncounted, histogram, min, max, mean }: ColumnSummary): string[] {
  if (values) {
    const shown = values.slice(0, 6).map(([value, n]) => `${value} ${n}`);
    const all = `${thousands(distinct!)}${uncounted ? "+" : ""}`;
    return [`${shown.join(", ")}${distinct! > 6 ? `, … (${all} values)` : ""}`];
  }
  if (!histogram) return [];
  const most = Math.max(...histogram.counts);
  const bar = histogram.counts
    .map((n) => (n === 0 ? " " : BARS[Math.min(7, Math.floor((8 * n) / (most + 1)))]))
    .join("");
  const what = type === "float32" || type === "int32" ? "" : "length ";
  return [`${what}${short(min!)} to ${short(max!)}, mean ${short(mean!)}  |${bar}|`];
}
