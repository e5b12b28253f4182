/** Values of Parquet as JavaScript's: texts that are UTF-8, 64-bit integers as numbers where that is exact. */

import { parseJson } from "../core/json.js";
import { invalidUtf8 } from "./decode.js";
import type { Row } from "./row.js";

const lossy = new TextDecoder();

/** Byte values that are remembered while a column becomes text. */
const MOST_SEEN = 1 << 20;

/** Text that is no UTF-8 is an error, never replaced. */
function decode(bytes: Uint8Array): string {
  const text = lossy.decode(bytes);
  if (text.includes("\ufffd") && invalidUtf8(bytes) < bytes.length) throw new RangeError("a text is not valid UTF-8");
  return text;
}

/** What the library makes of bytes and moments, in place of its own: it rounds moments before 1970 up, and refuses no text. */
export const valueParsers = (moment: (milliseconds: bigint) => Date) => ({
  stringFromBytes: (bytes: Uint8Array) => bytes && decode(bytes),
  jsonFromBytes: (bytes: Uint8Array) => bytes && parseJson(decode(bytes), { where: "a value" }),
  timestampFromMicroseconds: (micros: bigint) => moment(floor(micros, 1000n)),
  timestampFromNanoseconds: (nanos: bigint) => moment(floor(nanos, 1_000_000n)),
});

const floor = (count: bigint, unit: bigint): bigint => (count - (((count % unit) + unit) % unit)) / unit;

/** Do all bytes in a value, lists and structs included, form text? Those in `seen` do. */
export function isUtf8(value: unknown, seen: Set<Uint8Array>): boolean {
  if (value instanceof Uint8Array) {
    const known = seen.has(value) || invalidUtf8(value) === value.length;
    if (known && seen.size < MOST_SEEN) seen.add(value);
    return known;
  }
  if (value === null || typeof value !== "object") return true;
  return Object.values(value).every((item) => isUtf8(item, seen));
}

/** The same value with text in place of bytes; bytes that a dictionary repeats are decoded once, into `texts`. */
export function withText(value: unknown, texts: Map<Uint8Array, string>): unknown {
  if (value instanceof Uint8Array) {
    let text = texts.get(value);
    if (text === undefined) {
      text = decode(value);
      if (texts.size > MOST_SEEN) texts.clear();
      texts.set(value, text);
    }
    return text;
  }
  if (Array.isArray(value)) return value.map((item) => withText(item, texts));
  if (value === null || typeof value !== "object" || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withText(item, texts)]));
}

/** BigInts as numbers where that is exact; within lists, too. */
export function withoutBigInt(value: unknown): unknown {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }
  if (value instanceof BigInt64Array || value instanceof BigUint64Array) return Array.from(value, withoutBigInt);
  if (Array.isArray(value)) return value.map(withoutBigInt);
  if (value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype) {
    for (const key of Object.keys(value)) (value as Row)[key] = withoutBigInt((value as Row)[key]);
  }
  return value;
}
