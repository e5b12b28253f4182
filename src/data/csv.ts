/** CSV and TSV: typed rows from text, streaming. */

import { ConfigError, DataError, listOf, nearest } from "../core/errors.js";
import type { Json } from "./batch-source.js";
import { type DataSource, openBytes } from "./bytes.js";
import { CsvParser } from "./csv-parser.js";
import { type CsvFormat, readRecord } from "./csv-record.js";
import { OpeningDataset } from "./dataset.js";
import { decodeText, type TextOptions } from "./decode.js";
import { inferText, SAMPLE_ROWS } from "./infer.js";
import { checkSourceOptions } from "./options.js";
import type { Row } from "./row.js";
import type { Field, Schema } from "./schema.js";
import { hashOnce, type SourceOptions, sourceStage } from "./source.js";
import type { ReadReport } from "./violation.js";

export interface CsvOptions extends SourceOptions, TextOptions {
  /** Character between fields. Unless told: tab for `.tsv`, else the most frequent of `,` `;` tab `|` in the first line. */
  delimiter?: string;
  /** Quote character, `"` unless told; null where quotes are ordinary text. */
  quote?: string | null;
  /** Does the first record name the columns? Unless told, yes. Else they are `column_1`, `column_2`, … */
  header?: boolean;
  /** Names of the columns, in place of the header's. */
  columns?: readonly string[];
  /** Texts that mean a missing value, for all types but non-nullable strings; `[""]` unless told. */
  nullValues?: readonly string[];
  /** Guesses types where no schema is given; true unless told. Else every column is a string, as it stands. */
  infer?: boolean;
  /** Rows that types are inferred from; 1000 unless told. At most 16 Mi characters are read for it. */
  sampleRows?: number;
  /** Decimal mark of numbers; `.` unless told. */
  decimal?: "." | ",";
  /** Longest row in characters; 16 Mi unless told. */
  maxRowLength?: number;
}

/** Characters that are read at most for a sample. */
const MOST_SAMPLED = 1 << 24;

const OWN_OPTIONS: readonly (keyof CsvOptions)[] = [
  "encoding",
  "delimiter",
  "quote",
  "header",
  "columns",
  "nullValues",
  "infer",
  "sampleRows",
  "decimal",
  "maxRowLength",
];

/**
 * Rows of a CSV file. Types are inferred from the first 1000 rows, or given by `schema` and enforced.
 *
 * Records end with LF, CR LF or CR; empty lines are skipped (where there is more than one column); quotes inside
 * unquoted fields are ordinary text; a byte order mark is dropped.
 *
 * @example
 * const iris = await fromCsv("iris.csv");
 * for await (const row of iris) console.log(row.species);
 */
export function fromCsv(source: DataSource, options: CsvOptions = {}): OpeningDataset {
  checkSourceOptions("fromCsv", options, OWN_OPTIONS);
  const bytes = openBytes(source, options);
  const { name } = bytes;
  const { onViolation = "error", extraColumns = "error" } = options;
  let resumed: { held: string[]; rest: AsyncIterator<string> } | undefined;

  async function* pieces(): AsyncGenerator<string> {
    if (!resumed) {
      yield* decodeText(bytes.stream(), name, options);
      return;
    }
    const { held, rest } = resumed;
    resumed = undefined;
    yield* held;
    yield* { [Symbol.asyncIterator]: () => rest };
  }

  /** Reads until the sample is full; what a stream gave is kept for the first pass. */
  async function infer(): Promise<Schema> {
    const rest = decodeText(bytes.stream(), name, options)[Symbol.asyncIterator]();
    const held: string[] = [];
    let text = "";
    let head: Head | undefined;
    let rows: string[][] = [];
    const { infer: guess = true, sampleRows: wanted = SAMPLE_ROWS } = options;
    /** Looked at again when it has doubled, so that long lines are not read from their beginning for every piece. */
    let looked = 0;
    while (!head || (guess && rows.length < wanted)) {
      const { done, value } = await rest.next();
      if (!done) {
        held.push(value);
        text += value;
        if (text.length < Math.min(2 * looked, MOST_SAMPLED)) continue;
      }
      looked = text.length;
      head = readHead(text, name, options, done === true);
      if (head && guess) rows = sampleRows(text, head, done === true, wanted);
      if (done || text.length > MOST_SAMPLED) break;
    }
    if (bytes.repeatable) await rest.return?.(undefined);
    else resumed = { held, rest };
    if (!head) throw emptyFile(name);
    if (!guess) return { fields: head.names.map((column) => ({ name: column, type: "string" })) };
    return { fields: inferFields(head.names, rows, nullSet(options), options.decimal === ",") };
  }

  async function* read(schema: Schema, report: ReadReport): AsyncGenerator<Row[]> {
    let parser: CsvParser | undefined;
    let text = "";
    let looked = 0;
    const begin = (final: boolean) => {
      const head = readHead(text, name, options, final);
      if (!head) return undefined;
      const columns = matchColumns(head.names, schema, name, extraColumns);
      parser = new CsvParser(columns, head.format, name, onViolation, report, options.schema === undefined);
      parser.line = head.line;
      return parser.push(text.slice(head.end));
    };
    for await (const piece of pieces()) {
      if (parser) yield parser.push(piece);
      else {
        text += piece;
        if (text.length < 2 * looked) continue;
        looked = text.length;
        const rows = begin(false);
        if (rows) yield rows;
      }
    }
    if (!parser) {
      const rows = begin(true);
      if (!rows) throw emptyFile(name);
      yield rows;
    }
    yield parser!.push("", true);
  }

  const { delimiter, quote, header, columns, nullValues, decimal, encoding } = options;
  const format = { delimiter, quote, header, columns, nullValues, decimal, encoding, onViolation, extraColumns };
  const step = { csv: JSON.parse(JSON.stringify(format)) as Json };
  return new OpeningDataset(sourceStage({ name, step, infer, read, contentHash: hashOnce(bytes) }, options.schema));
}

const emptyFile = (name: string): DataError =>
  new DataError(`${name}: needs a header or a row, got an empty file.`, { where: name });

/** The names of the columns, and where and on which line the rows begin. */
interface Head {
  names: string[];
  format: CsvFormat;
  end: number;
  line: number;
}

const nullSet = ({ nullValues = [""] }: CsvOptions): ReadonlySet<string> => new Set(nullValues);

/** Reads the header; undefined while it is not complete. */
function readHead(text: string, name: string, options: CsvOptions, final: boolean): Head | undefined {
  const start = /^[\r\n]*/.exec(text)![0].length;
  if (start === text.length) return undefined;
  const { quote = '"', header = true, decimal } = options;
  const delimiter = options.delimiter ?? (/\.tsv(\.gz)?$/i.test(name) ? "\t" : sniffDelimiter(text, start, quote));
  for (const [key, value] of Object.entries({ delimiter, quote })) {
    if (value !== null && (value.length !== 1 || /[\r\n]/.test(value))) {
      throw new ConfigError(`fromCsv: ${key} needs one character, got ${JSON.stringify(value)}.`, { where: "fromCsv" });
    }
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
  const twice = names.find((cell, i) => names.indexOf(cell) < i);
  if (twice !== undefined) {
    throw new DataError(`${name}: the column "${twice}" is named twice in the header.`, {
      where: name,
      hint: "Pass the option columns with a name for each.",
    });
  }
  const format = { delimiter, quote, nullValues: nullSet(options), decimalComma: decimal === ",", maxRowLength };
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

function sampleRows(text: string, { format, end, names }: Head, final: boolean, wanted: number): string[][] {
  const rows: string[][] = [];
  let at = end;
  while (rows.length < wanted && at < text.length) {
    const record = readRecord(text, at, final, format.delimiter.charCodeAt(0), format.quote);
    if (!record) break;
    if (record.cells.length === names.length) rows.push(record.cells);
    at = record.next;
  }
  return rows;
}

function inferFields(names: string[], rows: string[][], nulls: ReadonlySet<string>, decimalComma: boolean): Field[] {
  const plain = (cell: string) => (decimalComma ? cell.replace(/^(\s*[+-]?\d*),(\d+\s*)$/, "$1.$2") : cell);
  return names.map((name, j) =>
    inferText(
      name,
      rows.map((cells) => plain(cells[j])),
      nulls,
    ),
  );
}

/** The field of each column of the file. Throws DataError on columns that only one side knows. */
function matchColumns(names: string[], schema: Schema, file: string, extra: "error" | "drop"): (Field | undefined)[] {
  const fields = new Map(schema.fields.map((field) => [field.name, field]));
  const missing = schema.fields.filter((field) => !names.includes(field.name)).map((field) => `"${field.name}"`);
  if (missing.length > 0) {
    const near = nearest(missing[0].slice(1, -1), names);
    throw new DataError(`${file}: the header lacks ${listOf(missing)}, which the schema declares.`, {
      where: file,
      hint: near ? `Did you mean "${near}"?` : `The header has ${names.join(", ")}.`,
    });
  }
  const unknown = names.filter((name) => !fields.has(name)).map((name) => `"${name}"`);
  if (unknown.length > 0 && extra === "error") {
    throw new DataError(`${file}: the schema does not declare ${listOf(unknown)}, which the header has.`, {
      where: file,
      hint: 'Declare them (role "ignore" keeps them out of batches), or pass extraColumns: "drop".',
    });
  }
  return names.map((name) => fields.get(name));
}
