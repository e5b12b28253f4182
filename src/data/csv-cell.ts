/** Cells of CSV: how the fast path reads a column, and texts that are kept once and own their characters. */

import type { CsvColumn } from "./csv-record.js";

/** How the fast path reads a column; `SLOW` columns always take the plain path. */
export const SLOW = 0;
export const SKIP = 1;
export const FLOAT = 2;
export const INT = 3;
export const STRING = 4;
export const CATEGORY = 5;
export const BOOL = 6;

export function kindOf(field: CsvColumn): number {
  if (!field) return SKIP;
  switch (field.type) {
    case "float32":
      return FLOAT;
    case "int32":
      return INT;
    case "bool":
      return BOOL;
    case "category":
      return CATEGORY;
    case "string":
      return STRING;
    default:
      return SLOW;
  }
}

/** V8 keeps a slice of 13 characters or more as a view of its parent, which would keep a whole piece of the file. */
const VIEW_LENGTH = 13;

/** The same text, not a view. */
export const own = (text: string): string => (text.length < VIEW_LENGTH ? text : ` ${text}`.slice(1));

/** Character codes of a text, with zeros behind the last: reading them costs half of what charCodeAt does. */
export type Codes = Uint8Array | Uint16Array;

/** Gives the codes of texts, in memory that the next text takes over. */
export function makeCodes(): (text: string) => Codes {
  const encoder = new TextEncoder();
  let narrow = new Uint8Array(0);
  let wide = new Uint16Array(0);
  return (text) => {
    const { length } = text;
    if (narrow.length < length + 2) narrow = new Uint8Array(length + (length >> 1) + 2);
    const { read, written } = encoder.encodeInto(text, narrow);
    // Every character was read and none took two bytes.
    if (read === length && written === length) {
      narrow.fill(0, length, length + 2);
      return narrow;
    }
    if (wide.length < length + 2) wide = new Uint16Array(length + (length >> 1) + 2);
    for (let i = 0; i < length; i++) wide[i] = text.charCodeAt(i);
    wide.fill(0, length, length + 2);
    return wide;
  };
}

/** Do cells of `length` characters at two places look alike? From the back, where neighbours differ first. */
export function equalCodes(codes: Codes, a: number, b: number, length: number): boolean {
  let i = length - 1;
  while (i >= 0 && codes[a + i] === codes[b + i]) i--;
  return i < 0;
}

/** One string for all equal cells of a category. A column that turns out to be free text is not remembered for ever. */
export class Vocabulary {
  private readonly known: Map<string, string>;
  private readonly closed: boolean;

  constructor(values?: readonly string[]) {
    this.known = new Map(values?.map((value) => [value, value]));
    this.closed = values !== undefined;
  }

  /** Undefined where there is a list of values and this is none of them. */
  keep(cell: string): string | undefined {
    const kept = this.known.get(cell);
    if (kept !== undefined || this.closed) return kept;
    const fresh = own(cell);
    if (this.known.size < 10_000) this.known.set(fresh, fresh);
    return fresh;
  }
}
