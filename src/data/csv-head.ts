/** How a CSV file begins: its dialect, its header, a sample of its rows. */

import { ConfigError, DataError } from "../core/errors.js";
import { type CsvFormat, nextLine, readRecord } from "./csv-record.js";

/** How a file is written. */
export interface CsvDialect {
  /** Character between fields. Unless told: tab for `.tsv`, else the most frequent of `,` `;` tab `|` in the first line. */
  delimiter?: string;
  /** Quote character, `"` unless told; null where quotes are ordinary text. */
  quote?: string | null;
  /** Lines that begin with this character are left out; none unless told. */
  comment?: string;
  /** Lines before the header, or before the first row, that are left out; 0 unless told. */
  skipRows?: number;
  /** Does the first record name the columns? Unless told, yes. Else they are `column_1`, `column_2`, … */
  header?: boolean;
  /** Names of the columns, in place of the header's. */
  columns?: readonly string[];
  /** Texts that mean a missing value besides the empty one, for all types but non-nullable strings; none unless told. */
  nullValues?: readonly string[];
  /** Decimal mark of numbers; `.` unless told. */
  decimal?: "." | ",";
  /** Longest row in characters; 16 Mi unless told. */
  maxRowLength?: number;
}

/** The names of the columns, and where and on which line the rows begin. */
export interface CsvHead {
  names: string[];
  format: CsvFormat;
  end: number;
  line: number;
}

/** Texts that mean a missing value: those told, and the empty one. */
export const nullSet = ({ nullValues = [] }: CsvDialect): ReadonlySet<string> => new Set([...nullValues, ""]);

/** The name that Excel gives to a delimiter in the first line. */
const SEPARATOR_LINE = /^sep=(.)(\r\n|\n|\r)/i;

/** Where the first record begins, behind the lines to be left out; undefined while that is not known. */
function firstRecord(text: string, { comment, skipRows = 0 }: CsvDialect): number | undefined {
  let at = 0;
  for (let line = 0; line < skipRows; line++) {
    at = nextLine(text, at);
    if (at < 0) return undefined;
  }
  while (at < text.length) {
    if (text[at] === "\n" || text[at] === "\r") at++;
    else if (comment !== undefined && text[at] === comment) {
      at = nextLine(text, at);
      if (at < 0) return undefined;
    } else return at;
  }
  return undefined;
}

/** Reads the header; undefined while it is not complete. */
export function readHead(text: string, name: string, options: CsvDialect, final: boolean): CsvHead | undefined {
  const { quote = '"', header = true, decimal, comment } = options;
  let start = firstRecord(text, options);
  if (start === undefined) return undefined;
  const separator = options.delimiter === undefined ? SEPARATOR_LINE.exec(text.slice(start, start + 8)) : null;
  if (separator) start += separator[0].length;
  const byName = /\.tsv(\.gz)?([?#].*)?$/i.test(name) ? "\t" : sniffDelimiter(text, start, quote);
  const delimiter = options.delimiter ?? separator?.[1] ?? byName;
  for (const [key, value] of Object.entries({ delimiter, quote, comment: comment ?? null })) {
    if (value !== null && (value.length !== 1 || /[\r\n]/.test(value))) {
      throw new ConfigError(`fromCsv: ${key} needs one character, got ${JSON.stringify(value)}.`, { where: "fromCsv" });
    }
  }
  if (/^<(!doctype|html)/i.test(text.slice(start, start + 16))) {
    throw new DataError(`${name}: is an HTML page, not CSV.`, {
      where: name,
      hint: "The address may lead to a page about the file, or ask for a login.",
    });
  }
  const record = readRecord(text, start, final, delimiter.charCodeAt(0), quote);
  const { maxRowLength = 1 << 24 } = options;
  if (!record) {
    if (text.length <= maxRowLength) return undefined;
    throw new DataError(`${name}: the first line is longer than ${maxRowLength} characters.`, {
      where: name,
      hint: "Is this a CSV file? A quote that is never closed is the usual cause.",
    });
  }
  const { cells } = record;
  if (header && cells.some((cell) => cell.includes("\0"))) {
    throw new DataError(`${name}: the header holds NUL characters.`, {
      where: name,
      hint: 'It looks like UTF-16: pass encoding: "utf-16le".',
    });
  }
  const given = options.columns ?? (header ? cells : cells.map(() => ""));
  if (given.length !== cells.length) {
    throw new DataError(`${name}: the first record has ${cells.length} fields, got ${given.length} names of columns.`, {
      where: name,
    });
  }
  const names = given.map((cell, i) => cell.trim() || `column_${i + 1}`);
  if (names.includes("__proto__")) {
    throw new DataError(`${name}: a column cannot be named "__proto__": no object can hold it.`, {
      where: name,
      hint: "Pass the option columns with a name for each.",
    });
  }
  const seen = new Set<string>();
  const twice = names.find((cell) => seen.size === seen.add(cell).size);
  if (twice !== undefined) {
    throw new DataError(`${name}: the column "${twice}" is named twice in the header.`, {
      where: name,
      hint: "Pass the option columns with a name for each.",
    });
  }
  const nullValues = nullSet(options);
  const format = { delimiter, quote, comment, nullValues, decimalComma: decimal === ",", maxRowLength };
  const end = header ? record.next : start;
  return { names, format, end, line: text.slice(0, end).split(/\r\n|\n|\r/).length };
}

/** The most frequent candidate in the first line, outside quotes; a comma where none occurs. */
function sniffDelimiter(text: string, start: number, quote: string | null): string {
  const line = text.slice(start).match(/^[^\r\n]*/)![0];
  const plain =
    quote === null
      ? line
      : line
          .split(quote)
          .filter((_, i) => i % 2 === 0)
          .join("");
  let best = ",";
  let most = 0;
  for (const candidate of [",", ";", "\t", "|"]) {
    const count = plain.split(candidate).length - 1;
    if (count > most) {
      best = candidate;
      most = count;
    }
  }
  return best;
}

/** The first records that have as many cells as the header. */
export function sampleRows(text: string, { format, end, names }: CsvHead, final: boolean, wanted: number): string[][] {
  const rows: string[][] = [];
  let at = end;
  while (rows.length < wanted && at < text.length) {
    if (format.comment !== undefined && text[at] === format.comment) {
      at = nextLine(text, at);
      if (at < 0) break;
      continue;
    }
    const record = readRecord(text, at, final, format.delimiter.charCodeAt(0), format.quote);
    if (!record) break;
    if (record.cells.length === names.length) rows.push(record.cells);
    at = record.next;
  }
  return rows;
}
