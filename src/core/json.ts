/** JSON that is safe to read and has one way to be written. */

import { FormatError, kindOf } from "./errors.js";

/** Deeper is no data, but a value that holds itself. */
const DEEPEST = 1000;

/**
 * Canonical JSON (RFC 8785): keys ordered by UTF-16 code units, no spaces, shortest numbers. NaN and the infinities,
 * which JSON lacks, are written as the strings "NaN", "Infinity" and "-Infinity". `undefined` members are left out.
 * What is no JSON, such as a Date or a Map, is a FormatError under the name `where`.
 */
export function canonicalJson(value: unknown, where = "canonicalJson", depth = 0): string {
  switch (typeof value) {
    case "number":
      return Number.isFinite(value) ? JSON.stringify(value) : `"${value}"`;
    case "string":
    case "boolean":
      return JSON.stringify(value);
    case "object": {
      if (value === null) return "null";
      if (depth > DEEPEST) refuseJson(where, `what is nested deeper than ${DEEPEST}, or holds itself`);
      if (Array.isArray(value)) {
        return `[${value.map((item) => canonicalJson(item ?? null, where, depth + 1)).join(",")}]`;
      }
      // Others would be written by their own fields, which say nothing of them: every Date as {}.
      if (Object.prototype.toString.call(value) !== "[object Object]") refuseJson(where, kindOf(value));
      const object = value as Record<string, unknown>;
      const members = Object.keys(object)
        .filter((key) => object[key] !== undefined)
        .sort()
        .map((key) => `${JSON.stringify(key)}:${canonicalJson(object[key], where, depth + 1)}`);
      return `{${members.join(",")}}`;
    }
    default:
      return refuseJson(where, kindOf(value));
  }
}

function refuseJson(where: string, got: string): never {
  throw new FormatError(`${where}: needs JSON, got ${got}.`, {
    where,
    hint: "Give texts, numbers, lists and objects.",
  });
}

/** One line of JSON in the given key order, with non-finite numbers as strings. */
export const jsonLine = (value: unknown): string =>
  JSON.stringify(value, (_, item) => (typeof item === "number" && !Number.isFinite(item) ? String(item) : item));

export interface ParseLimits {
  /** For messages: the file the text came from. */
  where: string;
  /** Deepest nesting of arrays and objects; 64 unless told. */
  maxDepth?: number;
  /** Longest text in UTF-16 units; no limit unless told. */
  maxLength?: number;
}

/**
 * Parses untrusted JSON: depth and length are checked before parsing, `__proto__` keys are refused, errors name file
 * and place.
 */
export function parseJson(
  text: string,
  { where, maxDepth = 64, maxLength = Number.POSITIVE_INFINITY }: ParseLimits,
): unknown {
  if (text.length > maxLength) {
    throw new FormatError(`${where}: JSON of at most ${maxLength} characters expected, got ${text.length}.`, { where });
  }
  if (hasMoreBrackets(text, maxDepth)) checkDepth(text, where, maxDepth);
  try {
    return JSON.parse(text, mayNameProto(text) ? withoutProto(where) : undefined);
  } catch (cause) {
    if (cause instanceof FormatError) throw cause;
    throw new FormatError(`${where}: is not valid JSON: ${(cause as Error).message}.`, { where, cause });
  }
}

/** The key as it stands, or an escape of one of its letters: of other texts no key needs a look, which is much faster. */
const mayNameProto = (text: string): boolean =>
  text.includes("__proto__") || (text.includes("\\u00") && /\\u00(?:5f|6f|7[024])/i.test(text));

const withoutProto =
  (where: string) =>
  (key: string, value: unknown): unknown => {
    if (key === "__proto__") throw new FormatError(`${where}: the key "__proto__" is refused.`, { where, key });
    return value;
  };

/** Only such a text can nest deeper than `count`, and most have fewer. */
function hasMoreBrackets(text: string, count: number): boolean {
  let left = count;
  for (const bracket of ["{", "["]) {
    for (let at = text.indexOf(bracket); at >= 0; at = text.indexOf(bracket, at + 1)) if (left-- === 0) return true;
  }
  return false;
}

function checkDepth(text: string, where: string, maxDepth: number): void {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === 0x22) i = stringEnd(text, i);
    else if (unit === 0x7b || unit === 0x5b) {
      if (++depth > maxDepth) {
        throw new FormatError(`${where}: JSON nested deeper than ${maxDepth} at character ${i}.`, {
          where,
          offset: i,
          maxDepth,
        });
      }
    } else if (unit === 0x7d || unit === 0x5d) depth--;
  }
}

/** Where the string ends that begins with the quote at `start`: at its other quote, or at the end of the text. */
export function stringEnd(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    // An odd number of backslashes before it makes the quote a part of the string.
    let first = end;
    while (text.charCodeAt(first - 1) === 0x5c) first--;
    if ((end - first) % 2 === 0) return end;
  }
  return text.length;
}
