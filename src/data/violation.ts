/** What happens to values that break the schema: never silent, always counted. */

import { DataError } from "../core/errors.js";
import { UnheldNumber } from "./json-numbers.js";

/**
 * `error` stops at the first violation. `skip` leaves the row out. `null` puts null in the value's place (and in
 * missing columns of a short row; extra values of a long row are dropped). Both count what they did.
 */
export type ViolationPolicy = "error" | "skip" | "null";

export interface Violation {
  /** File or source. */
  file: string;
  /** Record number, from 1, headers not counted. */
  row: number;
  /** Line in the file, from 1, where the format has lines. */
  line?: number;
  column?: string;
  /** The offending value as it stands in the file, cut to 80 characters. */
  value: string;
  /** What was expected instead. */
  expected: string;
}

/** Counts of one pass. */
export interface ReadReport {
  rows: number;
  skippedRows: number;
  nulledValues: number;
  /** Rows that are broken as a whole: lines that are no JSON, rows of another number of fields, quotes never closed. */
  brokenRows: number;
  /** Rows that no part of `splitBy(…, { others: "drop" })` takes; there where such a step was passed. */
  droppedRows?: number;
  /** The first 100 violations; the counts above are complete. */
  violations: Violation[];
}

const KEPT = 100;

export const emptyReport = (): ReadReport => ({
  rows: 0,
  skippedRows: 0,
  nulledValues: 0,
  brokenRows: 0,
  violations: [],
});

/** One sentence: `iris.csv: row 3 (line 4), column "width": expected a finite float32, got "abc".` */
export function violationText({ file, row, line, column, value, expected }: Violation): string {
  const place = `row ${row}${line === undefined ? "" : ` (line ${line})`}${column === undefined ? "" : `, column "${column}"`}`;
  return `${file}: ${place}: expected ${expected}, got ${value}.`;
}

/** A value as it is shown in messages: JSON, cut to 80 characters. */
export function showValue(value: unknown): string {
  const text = shown(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "bigint" || typeof value === "number") return `${value}`;
  if (value instanceof UnheldNumber) return value.literal;
  try {
    return JSON.stringify(value, (_, item) => (typeof item === "bigint" ? Number(item) : item));
  } catch {
    return "a value that nests too deep to be shown";
  }
}

const INFERRED = "The schema was inferred from the first rows: pass a schema that fits all of them.";

/**
 * Applies the policy to one violation, of a schema that was given or `inferred`: throws DataError, or notes it. Cells of
 * `text` have options of their own for what they may mean.
 */
export function noteViolation(
  report: ReadReport,
  policy: ViolationPolicy,
  violation: Violation,
  { inferred, text }: { inferred: boolean; text: boolean },
): void {
  if (policy === "error") {
    const hint = hintFor(violation, text) ?? (inferred && violation.column !== undefined ? INFERRED : undefined);
    throw new DataError(violationText(violation), { where: violation.file, hint, ...violation });
  }
  if (report.violations.length < KEPT) report.violations.push(violation);
}

/** The next step for the mistakes that real files make most. */
function hintFor({ value, expected }: Violation, inText: boolean): string | undefined {
  const text = value.replace(/^"|"$/g, "");
  const number = expected.includes("float32") || expected.includes("int32");
  if (number && inText && /^[+-]?\d+,\d+$/.test(text)) return 'Decimal commas are read with the option decimal: ",".';
  if (number && /^(na|n\/a|nan|null|none|-|\?)$/i.test(text)) {
    return inText
      ? `If it means a missing value, pass nullValues: [${value}] and make the column nullable.`
      : "If it means a missing value, write null and make the column nullable.";
  }
  if (expected.startsWith("numbers within")) return "Write it as a text, or choose a policy with onViolation.";
  if (text === "" || value === "null" || value === "nothing") {
    return "Make the column nullable, or choose a policy with onViolation.";
  }
  return undefined;
}
