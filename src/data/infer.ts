/** A schema from a sample of rows, to be shown and corrected, never trusted blindly: every later row is checked. */

import { isBytes } from "../core/bytes.js";
import { show } from "../core/errors.js";
import { warn } from "../core/warnings.js";
import { coerceText, INVALID } from "./coerce.js";
import type { Field, FieldType, Schema } from "./schema.js";

/** Rows of the sample that `from…` functions take. */
export const SAMPLE_ROWS = 1000;

/** A column with no more than this share of other texts was meant as one of numbers. */
const ALMOST = 0.1;

const isType = (type: FieldType) => {
  const field: Field = { name: "", type };
  return (text: string, decimalComma: boolean) => coerceText(field, text, decimalComma) !== INVALID;
};
const isInt = isType("int32");
const isFloat = isType("float32");
const isTruth = (text: string) => /^(true|false)$/i.test(text.trim());

/**
 * The type of a text column: bool (true or false), int32, float32, category (at most 50 different values that come
 * back at least twice on average) or string; the first that fits every value that is not missing. Whole numbers beyond
 * 2^53 (ids) stay strings, because a number would lose digits. A leading zero (`007`) makes a column text, too.
 */
export function inferText(
  name: string,
  values: readonly string[],
  nullValues: ReadonlySet<string>,
  decimalComma = false,
): Field {
  const present = values.filter((value) => !nullValues.has(value));
  const missing = present.length < values.length;
  const field = (type: FieldType, nullable = missing): Field => (nullable ? { name, type, nullable } : { name, type });
  if (present.length === 0) return field("string", false);
  const code = (text: string) =>
    /^\s*[+-]?0\d/.test(text) || (/^\s*[+-]?\d{16,}\s*$/.test(text) && !Number.isSafeInteger(Number(text)));
  if (present.every(isTruth)) return field("bool");
  if (!present.some(code)) {
    if (present.every((text) => isInt(text, decimalComma))) return field("int32");
    const [other, ...others] = present.filter((text) => !isFloat(text, decimalComma));
    if (other === undefined) return field("float32");
    if (others.length + 1 <= ALMOST * present.length) {
      const numbers = present.length - others.length - 1;
      warn(
        "almost-numbers",
        `data: column ${show(name)} is taken as text for ${show(other)}, though ${numbers} of ${present.length} values are numbers. Give a schema, or nullValues: [${show(other)}] if it means that the value is missing.`,
        { column: name, value: other },
      );
    }
  }
  return isCategory(present) ? field("category") : field("string", false);
}

/** At most 50 different texts, none longer than 64 characters, that come back at least twice on average. */
export function isCategory(texts: readonly string[]): boolean {
  const seen = new Set<string>();
  for (const text of texts) {
    if (text.length > 64) return false;
    seen.add(text);
    if (seen.size > 50) return false;
  }
  return seen.size * 2 <= texts.length;
}

/**
 * The field of a column of JavaScript values (JSON, Parquet, rows). Columns of mixed kinds are `json`. NaN and the
 * infinities are numbers here, which the check of the rows then refuses by name.
 */
export function inferValues(name: string, values: readonly unknown[]): Field {
  const present = values.filter((value) => value !== null && value !== undefined);
  const nullable = present.length < values.length;
  const field = (type: FieldType, more: Partial<Field> = {}): Field =>
    nullable ? { name, type, ...more, nullable } : { name, type, ...more };
  const all = (test: (value: unknown) => boolean) => present.length > 0 && present.every(test);
  if (all((value) => typeof value === "boolean")) return field("bool");
  if (all((value) => isNumber(value) && Number(value) === (Number(value) | 0))) return field("int32");
  if (all((value) => isNumber(value) && !(Math.abs(Number(value)) > 3.4e38 && Number.isFinite(value)))) {
    return field("float32");
  }
  if (all((value) => typeof value === "string")) {
    return isCategory(present as string[]) ? field("category") : field("string");
  }
  if (all(isBytes)) return field("bytes");
  const items = (test: (value: unknown) => boolean) =>
    all((value) => (Array.isArray(value) && value.every(test)) || (ArrayBuffer.isView(value) && test(0)));
  if (items((value) => typeof value === "number" && Number.isFinite(value))) return field("list", { items: "float32" });
  if (items((value) => typeof value === "string")) return field("list", { items: "string" });
  if (items((value) => typeof value === "boolean")) return field("list", { items: "bool" });
  return field("json");
}

const isNumber = (value: unknown): boolean =>
  typeof value === "number" || (typeof value === "bigint" && Number.isSafeInteger(Number(value)));

/** Reads values of rows: a column may have the name of what every object has (`constructor`), and lack a value. */
export function valueReader(
  names: Iterable<string>,
): (row: Readonly<Record<string, unknown>>, name: string) => unknown {
  for (const name of names) {
    if (name in Object.prototype) return (row, column) => (Object.hasOwn(row, column) ? row[column] : undefined);
  }
  return (row, column) => row[column];
}

/** The schema of rows of JavaScript values; columns in order of first appearance. */
export function inferRows(rows: readonly Readonly<Record<string, unknown>>[]): Schema {
  const names = new Set<string>();
  for (const row of rows) for (const name of Object.keys(row)) names.add(name);
  const valueIn = valueReader(names);
  return {
    fields: [...names].map((name) =>
      inferValues(
        name,
        rows.map((row) => valueIn(row, name)),
      ),
    ),
  };
}
