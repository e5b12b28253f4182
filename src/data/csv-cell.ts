/** Cells of CSV: how the fast path reads a column, and texts that are kept once and own their characters. */

import type { CsvColumn, CsvFormat } from "./csv-record.js";

/** How the fast path reads a column; `SLOW` columns always take the plain path. */
export const SLOW = 0;
export const SKIP = 1;
export const FLOAT = 2;
export const INT = 3;
export const STRING = 4;
export const CATEGORY = 5;
export const BOOL = 6;

export function kindOf(field: CsvColumn, { decimalComma }: CsvFormat): number {
  if (!field) return SKIP;
  switch (field.type) {
    case "float32":
      return decimalComma ? SLOW : FLOAT;
    case "int32":
      return INT;
    case "bool":
      return BOOL;
    case "category":
      return field.values ? SLOW : CATEGORY;
    case "string":
      // A nullable string may be null where it is empty: the plain path knows.
      return field.nullable || field.min !== undefined || field.max !== undefined ? SLOW : STRING;
    default:
      return SLOW;
  }
}

/** V8 keeps a slice of 13 characters or more as a view of its parent, which would keep a whole piece of the file. */
const VIEW_LENGTH = 13;

/** The same text, not a view. */
export const own = (text: string): string => (text.length < VIEW_LENGTH ? text : ` ${text}`.slice(1));

/** Does `part` end before `end`? From the back, where neighbours differ first. */
export function endsAt(text: string, end: number, part: string): boolean {
  const from = end - part.length;
  let i = part.length - 1;
  while (i >= 0 && text.charCodeAt(from + i) === part.charCodeAt(i)) i--;
  return i < 0;
}

/** One string for all equal cells of a category. A column that turns out to be free text is not remembered for ever. */
export class Vocabulary {
  private readonly known = new Map<string, string>();

  keep(cell: string): string {
    const kept = this.known.get(cell);
    if (kept !== undefined) return kept;
    const fresh = own(cell);
    if (this.known.size < 10_000) this.known.set(fresh, fresh);
    return fresh;
  }
}
