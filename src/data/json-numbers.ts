/** JSON whose numbers are what was written: JSON.parse makes Infinity of 1e999, and another id of a long one. */

import { parseJson } from "../core/json.js";

/** In place of a number beyond float64's range: no type takes it, so it ends as a violation. */
export class UnheldNumber {
  constructor(readonly literal: string) {}

  /** What messages show. */
  toJSON(): string {
    return this.literal;
  }
}

/** Lists and objects with an UnheldNumber somewhere within. */
const unheld = new WeakSet<object>();

/** Is or holds a value of JSON a number beyond the range? */
export const isUnheld = (value: unknown): boolean =>
  typeof value === "object" && value !== null && (value instanceof UnheldNumber || unheld.has(value));

/** A text without these holds only numbers that JSON.parse reads rightly. */
const SUSPECT = /(?<![\d.])\d{16}|[eE]\+?\d{3}/;

/**
 * The value of a JSON text. Whole numbers that would be rounded become BigInt, those beyond the range UnheldNumber.
 * Throws FormatError on what is no JSON, is nested deeper than 64, or has a key `__proto__`.
 */
export function parseExactly(text: string, where: string): unknown {
  const parse = (source: string): unknown => parseJson(source, { where });
  if (!SUSPECT.test(text)) return parse(text);
  // An escape could spell the mark: then it is looked for in the text without escapes.
  const mark = unusedMark(/\\u00/.test(text) ? JSON.stringify(parse(text)) : text);
  const marked = markNumbers(text, mark);
  return marked === undefined ? parse(text) : restore(parse(marked), mark);
}

/** How a string that stands for a number begins: with a numeral that no text of its kind has, and short, as it is written often. */
function unusedMark(text: string): string {
  const used = new Set(Array.from(text.matchAll(/number (\d+) /g), ([, numeral]) => numeral));
  let numeral = 0;
  while (used.has(String(numeral))) numeral++;
  return `number ${numeral} `;
}

const QUOTE = 34;
const BACKSLASH = 92;
const isDigit = (code: number): boolean => code >= 48 && code <= 57;
/** Digits, and the signs that a number may have: + - . E e */
const inNumber = (code: number): boolean =>
  isDigit(code) || code === 43 || code === 45 || code === 46 || code === 69 || code === 101;

/** The text with marked strings in place of numbers that float64 does not hold; undefined where there are none. */
function markNumbers(text: string, mark: string): string | undefined {
  const out: string[] = [];
  let from = 0;
  let at = 0;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at++;
      while (at < text.length && text.charCodeAt(at) !== QUOTE) at += text.charCodeAt(at) === BACKSLASH ? 2 : 1;
      at++;
    } else if (code === 45 || isDigit(code)) {
      const start = at;
      while (at < text.length && inNumber(text.charCodeAt(at))) at++;
      const literal = text.slice(start, at);
      // A number before a colon is no JSON, and must not become it.
      if (isHeld(literal) || /^\s*:/.test(text.slice(at, at + 16))) continue;
      out.push(text.slice(from, start), JSON.stringify(mark + literal));
      from = at;
    } else at++;
  }
  return from === 0 ? undefined : [...out, text.slice(from)].join("");
}

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const WHOLE = /^-?\d+$/;

/** Is this what a number says again, to the last digit? Fractions are rounded by everyone; what is no number is not ours. */
function isHeld(literal: string): boolean {
  const number = Number(literal);
  if (!NUMBER.test(literal)) return true;
  if (!Number.isFinite(number)) return false;
  if (!WHOLE.test(literal) || Number.isSafeInteger(number) || String(number) === literal) return true;
  return BigInt(number) === BigInt(literal);
}

/** Marked strings as what they stand for. */
function restore(value: unknown, mark: string): unknown {
  if (typeof value === "string" && value.startsWith(mark)) {
    const literal = value.slice(mark.length);
    return WHOLE.test(literal) && Number.isFinite(Number(literal)) ? BigInt(literal) : new UnheldNumber(literal);
  }
  if (value === null || typeof value !== "object") return value;
  const container = value as Record<string, unknown>;
  for (const key of Object.keys(container)) {
    const item = restore(container[key], mark);
    container[key] = item;
    if (isUnheld(item)) unheld.add(container);
  }
  return container;
}
