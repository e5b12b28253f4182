/** CSV and TSV: typed rows from text, streaming. */

import { DataError, listOf, nearest } from "../core/errors.js";
import type { Json } from "./batch-source.js";
import { type DataSource, openBytes } from "./bytes.js";
import { type CsvDialect, type CsvHead, nullSet, readHead, sampleRows } from "./csv-head.js";
import { CsvParser } from "./csv-parser.js";
import { AwaitableDataset, type OpeningDataset } from "./dataset.js";
import { decodeText, type TextOptions } from "./decode.js";
import { inferText, SAMPLE_ROWS } from "./infer.js";
import { checkSourceOptions } from "./options.js";
import type { Row } from "./row.js";
import type { Field, Schema } from "./schema.js";
import { type Begun, goOn, hashOnce, type SourceOptions, sourceStage } from "./source.js";
import type { ReadReport } from "./violation.js";

export interface CsvOptions extends CsvDialect, SourceOptions, TextOptions {
  /** Guesses types where no schema is given; true unless told. Else every column is a string, as it stands. */
  infer?: boolean;
  /** Rows that types are inferred from; 1000 unless told. At most 16 Mi characters are read for it. */
  sampleRows?: number;
}

/** Characters that are read at most for a sample. */
const MOST_SAMPLED = 1 << 24;

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
  checkSourceOptions("fromCsv", options, {
    encoding: "text",
    delimiter: "other",
    quote: "other",
    comment: "other",
    skipRows: "count",
    header: "flag",
    columns: "texts",
    nullValues: "texts",
    infer: "flag",
    sampleRows: "count",
    decimal: [".", ","],
    maxRowLength: "count",
  });
  const bytes = openBytes(source, options);
  const { name } = bytes;
  const { onViolation = "error", extraColumns = "error" } = options;
  let resumed: Begun<string> | undefined;

  async function* pieces(): AsyncGenerator<string> {
    if (!resumed) {
      yield* decodeText(bytes.stream(), name, options);
      return;
    }
    const begun = resumed;
    resumed = undefined;
    yield* goOn(begun);
  }

  /** Reads until the sample is full; what a stream gave is kept for the first pass. */
  async function infer(): Promise<Schema> {
    const rest = decodeText(bytes.stream(), name, options)[Symbol.asyncIterator]();
    const held: string[] = [];
    let text = "";
    let head: CsvHead | undefined;
    let rows: string[][] = [];
    const { infer: guess = true, sampleRows: wanted = SAMPLE_ROWS } = options;
    /** Looked at again when it has doubled, so that long lines are not read from their beginning for every piece. */
    let looked = 0;
    try {
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
      if (!bytes.repeatable) resumed = { held, rest };
    } finally {
      if (!resumed) await rest.return?.(undefined);
    }
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

  const { delimiter, quote, comment, skipRows, header, columns, decimal, encoding } = options;
  const nullValues = options.nullValues && [...nullSet(options)];
  const dialect = { delimiter, quote, comment, skipRows, header, columns, nullValues, decimal, encoding };
  const format = { ...dialect, onViolation, extraColumns };
  const step = { csv: JSON.parse(JSON.stringify(format)) as Json };
  return new AwaitableDataset(sourceStage({ name, step, infer, read, contentHash: hashOnce(bytes) }, options.schema));
}

const emptyFile = (name: string): DataError =>
  new DataError(`${name}: needs a header or a row, got an empty file.`, { where: name });

function inferFields(names: string[], rows: string[][], nulls: ReadonlySet<string>, decimalComma: boolean): Field[] {
  return names.map((name, j) =>
    inferText(
      name,
      rows.map((cells) => cells[j]),
      nulls,
      decimalComma,
    ),
  );
}

/** The field of each column of the file. Throws DataError on columns that only one side knows. */
function matchColumns(names: string[], schema: Schema, file: string, extra: "error" | "drop"): (Field | undefined)[] {
  const fields = new Map(schema.fields.map((field) => [field.name, field]));
  const known = new Set(names);
  const missing = schema.fields.filter((field) => !known.has(field.name)).map((field) => `"${field.name}"`);
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
