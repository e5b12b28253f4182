/**
 * The CSV parser (RFC 4180 and its usual extensions): text in pieces of any size, typed and checked rows out.
 *
 * Rows that look as the schema says take the fast path, which finds the end of a field and its value in one pass over
 * the characters. At the first surprise the row is read again, cell by cell, by the plain path, which knows every rule
 * and every message. What a row means never depends on the path.
 */

import { DataError } from "../core/errors.js";
import { coerceText, fitsNumber, INVALID } from "./coerce.js";
import { BOOL, CATEGORY, endsAt, FLOAT, INT, kindOf, own, SKIP, SLOW, STRING, Vocabulary } from "./csv-cell.js";
import { type CsvColumn, type CsvFormat, type CsvRecord, fieldEnd, nextLine, readRecord } from "./csv-record.js";
import type { Row } from "./row.js";
import { expectation } from "./schema.js";
import { noteViolation, type ReadReport, showValue, type ViolationPolicy } from "./violation.js";

const LF = 10;
const CR = 13;
/** Characters of a row beyond which reading it again costs more than waiting for its end. */
const LONG_ROW = 1 << 16;
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
  private readonly kinds: number[];
  private readonly names: string[];
  private readonly template: Row = {};
  private readonly ranged: boolean[];
  private readonly vocabularies: (Vocabulary | undefined)[];
  /** The latest text of each column. */
  private readonly before: string[];
  private readonly emptyIsNull: boolean;
  private readonly plainNulls: boolean;

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
    this.kinds = columns.map((column) => kindOf(column, format));
    this.names = columns.map((column) => column?.name ?? "");
    this.ranged = columns.map((column) => column?.min !== undefined || column?.max !== undefined);
    this.vocabularies = columns.map((column) => (column?.type === "category" ? new Vocabulary() : undefined));
    this.before = columns.map(() => "");
    for (const column of columns) if (column) this.template[column.name] = null;
    this.emptyIsNull = format.nullValues.has("");
    // Null texts other than "" could be text of a category: those columns then take the plain path.
    this.plainNulls = format.nullValues.size <= (this.emptyIsNull ? 1 : 0);
  }

  /** Adds a piece of text and returns the rows that are complete. `final` ends the file. */
  push(piece: string, final = false): Row[] {
    this.held.push(piece);
    this.length += piece.length;
    if (this.length < this.wanted && !final) return [];
    // Joined, not added: V8 keeps a sum as a tree, and every look at a character would pay for that.
    const text = (this.text = this.held.join(""));
    const rows: Row[] = [];
    let at = 0;
    while (at < text.length) {
      const skipped = this.skipBlank(text, at, final);
      if (skipped !== at) {
        if (skipped < 0) break;
        at = skipped;
        continue;
      }
      let next = this.fastRow(text, at, rows);
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
  private fastRow(text: string, at: number, rows: Row[]): number {
    const { kinds, names, columns, delimiterCode, quoteCode } = this;
    const last = kinds.length - 1;
    const length = text.length;
    const row: Row = { ...this.template };
    let pos = at;
    for (let j = 0; j <= last; j++) {
      const kind = kinds[j];
      let code = pos < length ? text.charCodeAt(pos) : -1;
      const start = pos;
      if (kind === FLOAT || kind === INT) {
        let negative = false;
        if (code === 45) {
          negative = true;
          code = text.charCodeAt(++pos);
        }
        const first = pos;
        let value = 0;
        while (code >= 48 && code <= 57) {
          value = value * 10 + (code - 48);
          code = text.charCodeAt(++pos);
        }
        let digits = pos - first;
        if (code === 46 && kind === FLOAT) {
          code = text.charCodeAt(++pos);
          const fraction = pos;
          while (code >= 48 && code <= 57) {
            value = value * 10 + (code - 48);
            code = text.charCodeAt(++pos);
          }
          const scale = pos - fraction;
          digits += scale;
          // Both exact below 2^53 and 10^22, so the quotient is the correctly rounded value (Clinger 1990).
          if (scale > 0 && digits <= 15) value /= POWERS[scale];
        }
        if (digits === 0) {
          if (pos !== start || !this.emptyIsNull || !columns[j]!.nullable) return -1;
        } else {
          if (negative) value = -value;
          if (digits > 15 || code === 101 || code === 69) {
            pos = fieldEnd(text, pos, delimiterCode);
            const long = coerceText(columns[j]!, text.slice(start, pos));
            if (long === INVALID) return -1;
            value = long as number;
          }
          if (kind === INT) {
            if (value !== (value | 0)) return -1;
            value |= 0; // whole numbers have one zero
          }
          if (this.ranged[j] && !fitsNumber(value, columns[j]!)) return -1;
          row[names[j]] = value;
        }
      } else {
        if (kind === SLOW) return -1;
        const quoted = code === quoteCode;
        const from = quoted ? pos + 1 : pos;
        const stop = quoted ? quoteCode : delimiterCode;
        // Neighbours are often equal: then there is nothing to search and no new string to make.
        const before = this.before[j];
        pos = from + before.length;
        const again = before !== "" && text.charCodeAt(pos) === stop && endsAt(text, pos, before);
        if (!again && quoted) {
          pos = text.indexOf(this.format.quote!, from);
          if (pos < 0) return -1;
        } else if (!again) {
          pos = from;
          code = text.charCodeAt(pos);
          while (pos < length && code !== delimiterCode && code !== LF && code !== CR) code = text.charCodeAt(++pos);
        }
        const to = pos;
        if (quoted && text.charCodeAt(++pos) === quoteCode) return -1; // a doubled quote
        if (kind !== SKIP && !this.readText(row, j, again ? before : text.slice(from, to))) return -1;
      }
      if (pos >= length) return -1;
      if (j < last) {
        if (text.charCodeAt(pos) !== delimiterCode) return -1;
        pos++;
      }
    }
    let end = text.charCodeAt(pos);
    if (end === CR) {
      if (pos + 1 >= length) return -1;
      if (text.charCodeAt(pos + 1) === LF) end = text.charCodeAt(++pos);
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
    if (cell === "" && this.emptyIsNull && kind !== STRING) return this.columns[j]!.nullable === true; // the template says null
    if (!this.plainNulls) return false;
    if (kind === BOOL) {
      if (cell === "true" || cell === "True" || cell === "TRUE" || cell === "1") row[this.names[j]] = true;
      else if (cell === "false" || cell === "False" || cell === "FALSE" || cell === "0") row[this.names[j]] = false;
      else return false;
      return true;
    }
    const before = this.before[j];
    if (cell !== before) this.before[j] = kind === CATEGORY ? this.vocabularies[j]!.keep(cell) : own(cell);
    row[this.names[j]] = this.before[j];
    return true;
  }

  /** Reads any row, by the rules. -1: the record is not complete yet. */
  private plainRow(text: string, at: number, final: boolean, rows: Row[]): number {
    const record = readRecord(text, at, final, this.delimiterCode, this.format.quote);
    if (!record) return -1;
    const { next } = record;
    const line = this.lineAt(at);
    this.row++;
    const violate = (value: string, expected: string, column?: string): boolean => {
      const violation = { file: this.file, row: this.row, line, column, value, expected };
      noteViolation(this.report, this.policy, violation, { inferred: this.inferred, text: true });
      return this.policy === "null";
    };
    const row = this.typedRow(record, violate);
    this.report.rows++;
    if (row) rows.push(row);
    else this.report.skippedRows++;
    return next;
  }

  private typedRow(
    { cells, flaw }: CsvRecord,
    violate: (value: string, expected: string, column?: string) => boolean,
  ): Row | undefined {
    const { columns, report } = this;
    if (flaw && !violate(flaw, `quotes around whole fields, doubled inside`)) return undefined;
    if (cells.length !== columns.length) {
      if (!violate(fieldCount(cells.length), fieldCount(columns.length))) return undefined;
    }
    const row: Row = { ...this.template };
    for (let j = 0; j < columns.length; j++) {
      const field = columns[j];
      if (!field) continue;
      if (j >= cells.length) {
        report.nulledValues++;
        continue;
      }
      const cell = cells[j];
      if (this.format.nullValues.has(cell) && (field.nullable || field.type !== "string")) {
        if (field.nullable) continue;
        if (!violate(showValue(cell), `${expectation(field)}, not a missing value`, field.name)) return undefined;
        report.nulledValues++;
        continue;
      }
      const value = coerceText(field, cell, this.format.decimalComma);
      if (value === INVALID) {
        if (!violate(showValue(cell), expectation(field), field.name)) return undefined;
        report.nulledValues++;
      } else row[field.name] = typeof value === "string" ? own(value) : value;
    }
    return row;
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

const fieldCount = (count: number): string => `${count} field${count === 1 ? "" : "s"}`;

/** Line ends in `[from, to)`: LF, CR LF and lone CR. */
function countLines(text: string, from: number, to: number): number {
  let lines = 0;
  for (let at = text.indexOf("\n", from); at >= 0 && at < to; at = text.indexOf("\n", at + 1)) lines++;
  for (let at = text.indexOf("\r", from); at >= 0 && at < to; at = text.indexOf("\r", at + 1)) {
    if (text.charCodeAt(at + 1) !== LF) lines++;
  }
  return lines;
}
