/**
 * The CSV parser (RFC 4180 and its usual extensions): text in pieces of any size, typed and checked rows out.
 *
 * Rows that look as the schema says take the fast path, which finds the end of a field and its value in one pass over
 * the characters. At the first surprise the row is read again, cell by cell, by the plain path, which knows every rule
 * and every message. What a row means never depends on the path.
 */

import { DataError } from "../core/errors.js";
import { coerceText, fitsLength, fitsNumber, INVALID } from "./coerce.js";
import {
  BOOL,
  CATEGORY,
  type Codes,
  equalCodes,
  FLOAT,
  INT,
  kindOf,
  makeCodes,
  own,
  SKIP,
  SLOW,
  STRING,
  Vocabulary,
} from "./csv-cell.js";
import { type CsvColumn, type CsvFormat, countLines, fieldEnd, nextLine, readRecord } from "./csv-record.js";
import { typedRow } from "./csv-row.js";
import type { Row } from "./row.js";
import { noteViolation, type ReadReport, type ViolationPolicy } from "./violation.js";

const LF = 10;
const CR = 13;
/** Characters of a row beyond which reading it again costs more than waiting for its end. */
const LONG_ROW = 1 << 16;
/** Characters within which a closing quote is looked for one by one. */
const NEAR = 24;
const POWERS = Array.from({ length: 23 }, (_, n) => Number(`1e${n}`));

export class CsvParser {
  /** Records seen, headers not counted. */
  row = 0;
  /** Line of the character `counted`, from 1. Counted only where someone asks: in messages, and once per piece. */
  line = 1;
  private counted = 0;
  private text = "";
  /** Pieces of text that no row has taken yet, and their length. */
  private held: string[] = [];
  private length = 0;
  /** Length from which on it pays to look at them. */
  private wanted = 0;
  private readonly delimiterCode: number;
  private readonly quoteCode: number;
  private readonly commentCode: number;
  /** A blank that may stand before a number: none where blanks are delimiters. */
  private readonly blankCode: number;
  private readonly kinds: number[];
  private readonly names: string[];
  private readonly template: Row = {};
  private readonly ranged: boolean[];
  private readonly vocabularies: (Vocabulary | undefined)[];
  /** The latest text of each column, and where it stands in the text at hand. */
  private readonly before: string[];
  private readonly beforeAt: number[];
  private readonly beforeLength: number[];
  /** Within quotes other characters end a text than without. */
  private readonly beforeQuoted: boolean[];
  /** There are null texts other than "". */
  private readonly moreNulls: boolean;
  /** Some of them are digits: a number may stand for null. */
  private readonly numericNulls: boolean;
  /** Decimal mark of numbers. */
  private readonly markCode: number;
  private readonly codesOf = makeCodes();

  constructor(
    private readonly columns: readonly CsvColumn[],
    private readonly format: CsvFormat,
    private readonly file: string,
    private readonly policy: ViolationPolicy,
    private readonly report: ReadReport,
    /** The schema was inferred, not given. */
    private readonly inferred = false,
  ) {
    this.delimiterCode = format.delimiter.charCodeAt(0);
    this.quoteCode = format.quote === null ? -1 : format.quote.charCodeAt(0);
    this.commentCode = format.comment?.charCodeAt(0) ?? -1;
    this.blankCode = this.delimiterCode === 32 ? -1 : 32;
    this.markCode = format.decimalComma ? 44 : 46;
    // What begins a number cannot be told from a delimiter on the fast path.
    this.kinds = columns.map((column) => (/[-\d]/.test(format.delimiter) ? SLOW : kindOf(column)));
    this.names = columns.map((column) => column?.name ?? "");
    this.ranged = columns.map((column) => column?.min !== undefined || column?.max !== undefined);
    this.vocabularies = columns.map((column) =>
      column?.type === "category" ? new Vocabulary(column.values) : undefined,
    );
    this.before = columns.map(() => "");
    this.beforeAt = columns.map(() => 0);
    this.beforeLength = columns.map(() => 0);
    this.beforeQuoted = columns.map(() => false);
    for (const column of columns) if (column) this.template[column.name] = null;
    this.moreNulls = format.nullValues.size > 1;
    this.numericNulls = [...format.nullValues].some((text) => /\d/.test(text));
  }

  /** Adds a piece of text and returns the rows that are complete. `final` ends the file. */
  push(piece: string, final = false): Row[] {
    this.held.push(piece);
    this.length += piece.length;
    if (this.length < this.wanted && !final) return [];
    // Joined, not added: V8 keeps a sum as a tree, and every look at a character would pay for that.
    const text = (this.text = this.held.join(""));
    const codes = this.codesOf(text);
    this.beforeLength.fill(0);
    const rows: Row[] = [];
    let at = 0;
    while (at < text.length) {
      const skipped = this.skipBlank(text, at, final);
      if (skipped !== at) {
        if (skipped < 0) break;
        at = skipped;
        continue;
      }
      let next = this.fastRow(text, codes, at, rows);
      if (next < 0) next = this.plainRow(text, at, final, rows);
      if (next < 0) break;
      at = next;
    }
    this.lineAt(at);
    this.counted = 0;
    this.text = "";
    this.held = [at === 0 ? text : text.slice(at)];
    this.length = text.length - at;
    const { maxRowLength } = this.format;
    if (this.length > maxRowLength) throw this.tooLong();
    // A long row that has not ended is read again when it has doubled, not for every piece.
    this.wanted = this.length > LONG_ROW ? Math.min(2 * this.length, maxRowLength + 1) : 0;
    return rows;
  }

  /** Line of a place at or after the last one asked for. */
  private lineAt(at: number): number {
    this.line += countLines(this.text, this.counted, at);
    this.counted = at;
    return this.line;
  }

  /** Skips a comment or an empty line (an empty value, though, where there is one column). -1: more text is needed to tell. */
  private skipBlank(text: string, at: number, final: boolean): number {
    const code = text.charCodeAt(at);
    if (code === this.commentCode) {
      const next = nextLine(text, at);
      return next < 0 && final ? text.length : next;
    }
    if ((code !== LF && code !== CR) || this.columns.length === 1) return at;
    if (code === CR && at + 1 === text.length && !final) return -1;
    return code === CR && text.charCodeAt(at + 1) === LF ? at + 2 : at + 1;
  }

  /** Reads a row that is as expected. Returns where the next starts, or -1: take the plain path, nothing was done. */
  private fastRow(text: string, codes: Codes, at: number, rows: Row[]): number {
    const { kinds, names, columns, delimiterCode, quoteCode, blankCode, markCode } = this;
    const last = kinds.length - 1;
    const length = text.length;
    const row: Row = { ...this.template };
    let pos = at;
    for (let j = 0; j <= last; j++) {
      const kind = kinds[j];
      if (pos >= length) return -1;
      let code = codes[pos];
      const quoted = code === quoteCode;
      if (quoted) code = codes[++pos];
      if (kind === FLOAT || kind === INT) {
        const start = pos;
        while (code === blankCode) code = codes[++pos];
        let negative = false;
        if (code === 45) {
          negative = true;
          code = codes[++pos];
        }
        const first = pos;
        let value = 0;
        while (code >= 48 && code <= 57) {
          value = value * 10 + (code - 48);
          code = codes[++pos];
        }
        let digits = pos - first;
        if (code === markCode && kind === FLOAT && (quoted || code !== delimiterCode)) {
          code = codes[++pos];
          const fraction = pos;
          while (code >= 48 && code <= 57) {
            value = value * 10 + (code - 48);
            code = codes[++pos];
          }
          const scale = pos - fraction;
          digits += scale;
          // Both exact below 2^53 and 10^22, so the quotient is the correctly rounded value (Clinger 1990).
          if (scale > 0 && digits <= 15) value /= POWERS[scale];
        }
        if (digits === 0) {
          if (pos !== start || quoted || !columns[j]!.nullable) return -1;
        } else {
          if (negative) value = -value;
          if (digits > 15 || code === 101 || code === 69) {
            pos = quoted ? text.indexOf(this.format.quote!, pos) : fieldEnd(text, pos, delimiterCode);
            if (pos < 0) return -1;
            const long = coerceText(columns[j]!, text.slice(start, pos), this.format.decimalComma);
            if (long === INVALID) return -1;
            value = long as number;
          }
          if (kind === INT) {
            if (value !== (value | 0)) return -1;
            value |= 0; // whole numbers have one zero
          }
          if (this.ranged[j] && !fitsNumber(value, columns[j]!)) return -1;
          if (this.numericNulls && this.format.nullValues.has(text.slice(start, pos))) return -1;
          row[names[j]] = value;
        }
      } else {
        if (kind === SLOW) return -1;
        const from = pos;
        // Neighbours are often equal: then there is nothing to search and no new string to make.
        const before = this.beforeQuoted[j] === quoted ? this.beforeLength[j] : 0;
        pos = from + before;
        const stop = quoted ? quoteCode : delimiterCode;
        if (before > 0 && pos < length && codes[pos] === stop && equalCodes(codes, this.beforeAt[j], from, before)) {
          row[names[j]] = this.before[j];
        } else {
          pos = from;
          code = codes[pos];
          if (quoted) {
            // Most texts are short, and a call of indexOf is dear; in long ones it is faster than looking.
            const near = Math.min(length, from + NEAR);
            while (pos < near && code !== quoteCode) code = codes[++pos];
            if (pos === near) pos = text.indexOf(this.format.quote!, pos);
            if (pos < 0) return -1;
          } else while (pos < length && code !== delimiterCode && code !== LF && code !== CR) code = codes[++pos];
          this.beforeLength[j] = 0;
          if (kind !== SKIP && !this.readText(row, j, text.slice(from, pos))) return -1;
          this.beforeAt[j] = from;
          this.beforeQuoted[j] = quoted;
          // What stands for null, and what is no text, is not remembered.
          if (this.before[j].length === pos - from) this.beforeLength[j] = pos - from;
        }
      }
      if (quoted && (codes[pos] !== quoteCode || codes[++pos] === quoteCode)) return -1; // a doubled quote
      if (pos >= length) return -1;
      if (j < last) {
        if (codes[pos] !== delimiterCode) return -1;
        pos++;
      }
    }
    let end = codes[pos];
    if (end === CR) {
      if (pos + 1 >= length) return -1;
      if (codes[pos + 1] === LF) end = codes[++pos];
    }
    if (end !== LF && end !== CR) return -1;
    rows.push(row);
    this.row++;
    this.report.rows++;
    return pos + 1;
  }

  /** Puts the value of a cell of text into the row; false where the plain path must judge. */
  private readText(row: Row, j: number, cell: string): boolean {
    const kind = this.kinds[j];
    if (cell === "" || (this.moreNulls && this.format.nullValues.has(cell))) {
      this.before[j] = "";
      if (this.columns[j]!.nullable) return true; // the template says null
      if (kind !== STRING) return false;
    }
    if (kind === BOOL) {
      if (cell === "true" || cell === "True" || cell === "TRUE" || cell === "1") row[this.names[j]] = true;
      else if (cell === "false" || cell === "False" || cell === "FALSE" || cell === "0") row[this.names[j]] = false;
      else return false;
      return true;
    }
    if (cell === "" || cell !== this.before[j]) {
      if (this.ranged[j] && !fitsLength(cell, this.columns[j]!)) return false;
      const kept = kind === CATEGORY ? this.vocabularies[j]!.keep(cell) : own(cell);
      if (kept === undefined) return false;
      this.before[j] = kept;
    }
    row[this.names[j]] = this.before[j];
    return true;
  }

  /** Reads any row, by the rules. -1: the record is not complete yet. */
  private plainRow(text: string, at: number, final: boolean, rows: Row[]): number {
    const record = readRecord(text, at, final, this.delimiterCode, this.format.quote);
    if (!record) return -1;
    const { next } = record;
    this.row++;
    const violate = (value: string, expected: string, column?: string): boolean => {
      const violation = { file: this.file, row: this.row, line: this.lineAt(at), column, value, expected };
      noteViolation(this.report, this.policy, violation, { inferred: this.inferred, text: true });
      return this.policy === "null";
    };
    const row = typedRow(record, this.columns, this.format, this.report, violate);
    this.report.rows++;
    if (row) rows.push(row);
    else this.report.skippedRows++;
    return next;
  }

  private tooLong(): DataError {
    const { file, line } = this;
    const row = this.row + 1;
    return new DataError(`${file}: row ${row} (line ${line}) is longer than ${this.format.maxRowLength} characters.`, {
      where: file,
      row,
      line,
      hint: "A quote that is never closed is the usual cause; else pass a larger maxRowLength.",
    });
  }
}
