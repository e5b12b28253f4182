/** Values of Parquet as JavaScript's: texts that are UTF-8, keys that are texts, 64-bit integers as numbers where that is exact. */

import type { SchemaElement } from "hyparquet";
import { invalidUtf8 } from "./decode.js";
import { isUnheld, parseExactly } from "./json-numbers.js";
import { Breach } from "./parquet-breach.js";
import type { Row } from "./row.js";

const lossy = new TextDecoder();

/** Byte values that are remembered while a column becomes text. */
const MOST_SEEN = 1 << 20;

/** Text that is no UTF-8 is an error, never replaced. */
function decode(bytes: Uint8Array): string {
  const text = lossy.decode(bytes);
  if (text.includes("\ufffd") && invalidUtf8(bytes) < bytes.length) throw new Breach("a text is not valid UTF-8");
  return text;
}

/** JSON with the numbers that it says: none takes their place. */
function parse(bytes: Uint8Array): unknown {
  let value: unknown;
  try {
    value = parseExactly(decode(bytes), "a value");
  } catch (cause) {
    throw new Breach((cause as Error).message.replace(/\.$/, ""), undefined, cause);
  }
  if (isUnheld(value)) throw new Breach("a JSON value holds a number beyond the range of float64");
  return value;
}

/** What the library makes of bytes and moments, in place of its own: it rounds moments before 1970 up, and refuses no text. */
export const valueParsers = (moment: (milliseconds: bigint) => Date) => ({
  stringFromBytes: (bytes: Uint8Array) => bytes && decode(bytes),
  jsonFromBytes: (bytes: Uint8Array) => bytes && parse(bytes),
  timestampFromMicroseconds: (micros: bigint) => moment(floor(micros, 1000n)),
  timestampFromNanoseconds: (nanos: bigint) => moment(floor(nanos, 1_000_000n)),
});

const floor = (count: bigint, unit: bigint): bigint => (count - (((count % unit) + unit) % unit)) / unit;

/** Do all bytes in a value, lists included, form text? Those in `seen` do. */
export function isUtf8(value: unknown, seen: Set<Uint8Array>): boolean {
  if (value instanceof Uint8Array) {
    const known = seen.has(value) || invalidUtf8(value) === value.length;
    if (known && seen.size < MOST_SEEN) seen.add(value);
    return known;
  }
  return !Array.isArray(value) || value.every((item) => isUtf8(item, seen));
}

/** Puts text in place of bytes, within lists, too. Bytes that a dictionary repeats are decoded once, into `texts`. */
export function decodeTexts(list: unknown[], texts = new Map<Uint8Array, string>()): void {
  list.forEach((item, i) => {
    if (Array.isArray(item)) decodeTexts(item, texts);
    else if (item instanceof Uint8Array) {
      let text = texts.get(item);
      if (text === undefined) {
        text = decode(item);
        if (texts.size > MOST_SEEN) texts.clear();
        texts.set(item, text);
      }
      list[i] = text;
    }
  });
}

/** Puts texts in place of the keys of maps, which lie in lists: a map becomes an object. Throws Breach where an entry would be lost. */
export function keysToText(list: unknown[], element: SchemaElement): void {
  const keys = new Set<unknown>();
  let count = 0;
  for (let i = 0; i < list.length; i++) {
    const item = list[i];
    if (Array.isArray(item)) keysToText(item, element);
    else {
      const key = keyText(item, element);
      if (key === "__proto__") throw new Breach('a map has the key "__proto__", which no object can hold');
      list[i] = key;
      keys.add(key);
      if (keys.size < ++count) {
        throw new Breach(`a map has the key ${JSON.stringify(key)} twice, and an object can hold it only once`);
      }
    }
  }
}

/** The same in every time zone: moments are written as ISO 8601 has them, bytes in hexadecimal. */
function keyText(key: unknown, { converted_type }: SchemaElement): string {
  if (key instanceof Date) {
    if (Number.isNaN(key.getTime())) throw new Breach("a map has a key that is no moment a Date can hold");
    const iso = key.toISOString();
    return converted_type === "DATE" ? iso.slice(0, iso.indexOf("T")) : iso;
  }
  if (key instanceof Uint8Array) return Array.from(key, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (typeof key === "object" && key !== null) throw compositeKeys();
  return String(key);
}

/** Keys that are objects have no text of their own. */
export const compositeKeys = (): Breach =>
  new Breach("a map has keys that are lists or structs, which no object can hold");

/** BigInts as numbers where that is exact. */
export function withoutBigInt(value: unknown): unknown {
  if (typeof value !== "bigint") return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** A nested value of the library in our form: what is missing is null at every depth, as are BigInts numbers where that is exact. */
export function finish(value: unknown): unknown {
  if (value === undefined) return null;
  if (typeof value !== "object" || value === null) return withoutBigInt(value);
  if (value instanceof BigInt64Array || value instanceof BigUint64Array) return Array.from(value, withoutBigInt);
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const item = value[i];
      if (typeof item !== "number" && typeof item !== "string") value[i] = finish(item);
    }
  } else if (Object.getPrototypeOf(value) === Object.prototype) {
    for (const key of Object.keys(value)) (value as Row)[key] = finish((value as Row)[key]);
  }
  return value;
}
