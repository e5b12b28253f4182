/**
 * From what a file holds to what the schema promises. The rules, for text (CSV) and for values (JSON, Parquet, rows):
 *
 * - `float32`: decimal notation only (`-1.5`, `.5`, `1e-3`); finite and within float32's range. Kept as the float64
 *   that was written; a batch rounds it to float32 once. `NaN`, `Infinity`, `0x10`, `1_000`, `1,5` are violations.
 * - `int32`: as above and whole (`3.0` is not, as text; 3.0 is, as a number), from -2^31 to 2^31 - 1.
 * - `bool`: true, false (any case), 1, 0.
 * - `category` and `string`: text as it stands; numbers and booleans from JSON and Parquet become their text in a
 *   category and are violations in a string.
 * - Spaces and tabs around numbers and booleans are dropped, those around text are kept.
 * - Values out of `min` and `max`, or outside `values`, are violations.
 */

import { isBytes } from "../core/bytes.js";
import { codeOf } from "./codes.js";
import { isUnheld, parseExactly } from "./json-numbers.js";
import type { Field } from "./schema.js";

/** Returned in place of a value that breaks the field's rule. */
export const INVALID: unique symbol = Symbol("invalid");

const DECIMAL = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/;
const INTEGER = /^[+-]?\d+$/;
/** Above this float64 values round to infinity in float32: halfway between the greatest float32 and 2^128. */
const FLOAT32_LIMIT = 3.4028235677973366e38;

const inRange = (value: number, { min, max }: Field): boolean =>
  (min === undefined || value >= min) && (max === undefined || value <= max);

/** A text that is as long as a field of type string wants it. */
export const fitsLength = ({ length }: string, field: Field): boolean =>
  field.type !== "string" || inRange(length, field);

/** Whole numbers have one zero. */
const withoutMinusZero = (value: number, { type }: Field): number => (type === "int32" ? value | 0 : value);

/** A number that a field of type float32 or int32 takes. */
export function fitsNumber(value: number, field: Field): boolean {
  if (field.type === "int32") return value === (value | 0) && inRange(value, field);
  return value < FLOAT32_LIMIT && value > -FLOAT32_LIMIT && inRange(value, field);
}

/** The value of one text cell (not null), or INVALID. */
export function coerceText(field: Field, text: string, decimalComma = false): unknown {
  switch (field.type) {
    case "float32":
    case "int32": {
      let trimmed = trimBlanks(text);
      // Where commas are decimal marks, points are not: 1.234 would be a thousand times too small.
      if (decimalComma) trimmed = trimmed.includes(".") ? "" : trimmed.replace(",", ".");
      if (!(field.type === "int32" ? INTEGER : DECIMAL).test(trimmed)) return INVALID;
      const value = Number(trimmed);
      return fitsNumber(value, field) ? withoutMinusZero(value, field) : INVALID;
    }
    case "bool":
      return boolean(trimBlanks(text));
    case "string":
      return inRange(text.length, field) ? text : INVALID;
    case "category":
      return !field.values || codeOf(field.values, text) >= 0 ? text : INVALID;
    case "bytes":
      return new TextEncoder().encode(text);
    default:
      return coerceJsonText(field, text);
  }
}

/** Lists, tokens, images and JSON in a text cell are written as JSON. */
function coerceJsonText(field: Field, text: string): unknown {
  try {
    return coerceValue(field, parseExactly(text, field.name));
  } catch {
    return INVALID;
  }
}

const BOOLEANS: Record<string, boolean> = { true: true, false: false, 1: true, 0: false };

const boolean = (text: string): unknown =>
  Object.hasOwn(BOOLEANS, text.toLowerCase()) ? BOOLEANS[text.toLowerCase()] : INVALID;

const trimBlanks = (text: string): string => trimEnds(text, " \t");

/** A text without these characters at its ends: an expression would read a run of them within once for each of it. */
export function trimEnds(text: string, characters: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && characters.includes(text[start])) start++;
  while (end > start && characters.includes(text[end - 1])) end--;
  return text.slice(start, end);
}

/** A JavaScript value (not null) as the field's type, or INVALID. */
export function coerceValue(field: Field, value: unknown): unknown {
  switch (field.type) {
    case "float32":
    case "int32": {
      if (typeof value === "string") return coerceText(field, value);
      const number = typeof value === "bigint" ? numberOf(value, field) : value;
      return typeof number === "number" && fitsNumber(number, field) ? withoutMinusZero(number, field) : INVALID;
    }
    case "bool":
      if (typeof value === "boolean") return value;
      return typeof value === "string" || typeof value === "number" ? boolean(String(value)) : INVALID;
    case "string":
      return typeof value === "string" && inRange(value.length, field) ? value : INVALID;
    case "category": {
      const text =
        typeof value === "number" || typeof value === "boolean" || typeof value === "bigint" ? `${value}` : value;
      return typeof text === "string" && (!field.values || codeOf(field.values, text) >= 0) ? text : INVALID;
    }
    case "tokens":
      return isTokens(value) && inRange(value.length, field) ? value : INVALID;
    case "list": {
      const flat = field.shape && Array.isArray(value) ? flatten(value, field.shape) : value;
      return isList(flat, field) && inRange(flat.length, field) && hasShape(flat, field) ? flat : INVALID;
    }
    case "image": {
      const flat = Array.isArray(value) ? flatten(value, field.shape!) : value;
      return isByteList(flat) && hasShape(flat, field) ? flat : INVALID;
    }
    case "bytes":
      return isByteList(value) ? value : INVALID;
    default:
      return isUnheld(value) ? INVALID : value;
  }
}

/** A float32 is rounded in any case; an int32 is exact. */
const numberOf = (value: bigint, { type }: Field): number | undefined => {
  const number = Number(value);
  return type === "float32" || Number.isSafeInteger(number) ? number : undefined;
};

const hasShape = ({ length }: ArrayLike<unknown>, { shape }: Field): boolean =>
  !shape || length === shape.reduce((a, b) => a * b, 1);

/** Lists within lists of a shape as one list in row-major order; what has another form stays as it is. */
function flatten(value: unknown[], [size, ...inner]: readonly number[]): unknown[] {
  if (value.length !== size || inner.length === 0 || !value.every(Array.isArray)) return value;
  const parts = (value as unknown[][]).map((item) => flatten(item, inner));
  const each = inner.reduce((a, b) => a * b, 1);
  return parts.every((part) => part.length === each) ? parts.flat() : value;
}

const isArray = (value: unknown): value is ArrayLike<unknown> =>
  Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));

const isByteList = (value: unknown): value is Uint8Array =>
  isBytes(value) || (Array.isArray(value) && value.every((n) => n === (n & 255)));

function isTokens(value: unknown): value is ArrayLike<number> {
  if (!isArray(value)) return false;
  for (let i = 0; i < value.length; i++) {
    const id = value[i];
    if (typeof id !== "number" || id !== (id | 0) || id < 0) return false;
  }
  return true;
}

function isList(value: unknown, field: Field): value is ArrayLike<unknown> {
  if (!isArray(value)) return false;
  const item: Field = { name: field.name, type: field.items ?? "float32" };
  for (let i = 0; i < value.length; i++) {
    const element = value[i];
    const wanted = item.type === "string" ? "string" : item.type === "bool" ? "boolean" : "number";
    if (typeof element !== wanted || coerceValue(item, element) === INVALID) return false;
  }
  return true;
}
