/** One CSV record by the rules: the plain path of the parser, and what headers and samples are read with. */

import type { Field } from "./schema.js";
import { showValue } from "./violation.js";

const LF = 10;
const CR = 13;

export interface CsvFormat {
  /** One character between fields. */
  delimiter: string;
  /** The quote character, or null where quotes are ordinary text. */
  quote: string | null;
  /** Lines that begin with it are left out. */
  comment?: string;
  /** Texts that mean a missing value, e.g. `[""]`. */
  nullValues: ReadonlySet<string>;
  decimalComma: boolean;
  /** Longest row in characters: what a lone quote can swallow before it is reported. */
  maxRowLength: number;
}

/** A column of the file: the field it fills, or undefined where the schema leaves it out. */
export type CsvColumn = Field | undefined;

/** Cells of one record, and where the next begins. */
export interface CsvRecord {
  cells: string[];
  next: number;
  /** What is wrong with the record's quotes, if anything. */
  flaw?: string;
}

/** Reads the record at `at`; undefined when it is not complete and more text may come. */
export function readRecord(
  text: string,
  at: number,
  final: boolean,
  delimiterCode: number,
  quote: string | null,
): CsvRecord | undefined {
  const cells: string[] = [];
  const quoteCode = quote === null ? -1 : quote.charCodeAt(0);
  let flaw: string | undefined;
  let pos = at;
  while (true) {
    if (text.charCodeAt(pos) === quoteCode) {
      let cell = "";
      let from = pos + 1;
      while (true) {
        const close = text.indexOf(quote!, from);
        if (close < 0) {
          if (!final) return undefined;
          flaw = "a quote that is never closed";
          cell += text.slice(from);
          pos = text.length;
          break;
        }
        cell += text.slice(from, close);
        if (close + 1 === text.length && !final) return undefined;
        if (text.charCodeAt(close + 1) !== quoteCode) {
          pos = close + 1;
          break;
        }
        cell += quote;
        from = close + 2;
      }
      const end = fieldEnd(text, pos, delimiterCode);
      if (end > pos) {
        flaw ??= `${showValue(text.slice(pos, end))} after a closing quote`;
        cell += text.slice(pos, end);
        pos = end;
      }
      cells.push(cell);
    } else {
      const end = fieldEnd(text, pos, delimiterCode);
      cells.push(text.slice(pos, end));
      pos = end;
    }
    if (pos >= text.length) return final ? { cells, next: text.length, flaw } : undefined;
    const code = text.charCodeAt(pos);
    if (code === delimiterCode) {
      pos++;
      continue;
    }
    if (code === CR) {
      if (pos + 1 === text.length && !final) return undefined;
      if (text.charCodeAt(pos + 1) === LF) pos++;
    }
    return { cells, next: pos + 1, flaw };
  }
}

/** Where an unquoted field ends. */
export function fieldEnd(text: string, from: number, delimiterCode: number): number {
  let pos = from;
  for (; pos < text.length; pos++) {
    const code = text.charCodeAt(pos);
    if (code === delimiterCode || code === LF || code === CR) break;
  }
  return pos;
}

/** Where the line after the one at `at` begins; -1 while its end is not there. */
export function nextLine(text: string, at: number): number {
  const end = /\r\n|\n|\r/g;
  end.lastIndex = at;
  const found = end.exec(text);
  // An LF may still follow a CR.
  return !found || (found[0] === "\r" && end.lastIndex === text.length) ? -1 : end.lastIndex;
}

/** Line ends in `[from, to)`: LF, CR LF and lone CR. */
export function countLines(text: string, from: number, to: number): number {
  // A search for what is not there goes to the end of what it is given.
  const part = text.slice(from, to);
  let lines = 0;
  for (let at = part.indexOf("\n"); at >= 0; at = part.indexOf("\n", at + 1)) lines++;
  for (let at = part.indexOf("\r"); at >= 0; at = part.indexOf("\r", at + 1)) {
    if (text.charCodeAt(from + at + 1) !== LF) lines++;
  }
  return lines;
}
