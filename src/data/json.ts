/** JSON and JSON lines: rows of objects. */

import { ConfigError, DataError, type ErrorDetails, FormatError, listOf } from "../core/errors.js";
import { type DataSource, openBytes } from "./bytes.js";
import { AwaitableDataset, type OpeningDataset } from "./dataset.js";
import { decodeText, type TextOptions } from "./decode.js";
import { parseExactly } from "./json-numbers.js";
import { lines } from "./lines.js";
import { checkSourceOptions } from "./options.js";
import type { Row } from "./row.js";
import { hashOnce, type SourceOptions, UnreadableRow, valueStage } from "./source.js";
import { showValue } from "./violation.js";

export interface JsonlOptions extends SourceOptions, TextOptions {
  /** Longest line in characters; 16 Mi unless told. */
  maxRowLength?: number;
}

/**
 * One JSON object per line, streaming. Empty lines are skipped; a line that is no JSON is a
 * violation, and so are, as in all untrusted JSON, one nested deeper than 64 and one with a key `__proto__`.
 */
export function fromJsonl(source: DataSource, options: JsonlOptions = {}): OpeningDataset {
  checkSourceOptions("fromJsonl", options, { encoding: "text", maxRowLength: "count" });
  const bytes = openBytes(source, options);
  const { name } = bytes;
  const { maxRowLength = 1 << 24 } = options;
  async function* rows() {
    let line = 0;
    for await (const texts of lines(decodeText(bytes.stream(), name, options), name, maxRowLength)) {
      const parsed: (Row | UnreadableRow)[] = [];
      const numbers: number[] = [];
      for (const text of texts) {
        line++;
        if (text.trim() === "") continue;
        parsed.push(parseLine(text));
        numbers.push(line);
      }
      yield { rows: parsed, lines: numbers };
    }
  }
  const step = { jsonl: { encoding: options.encoding ?? null } };
  const source_ = { name, step, rows, contentHash: hashOnce(bytes), repeatable: bytes.repeatable };
  return new AwaitableDataset(valueStage(source_, options));
}

/** The row of a line, or the rule that it breaks. */
function parseLine(text: string): Row | UnreadableRow {
  try {
    return parseExactly(text, "line") as Row;
  } catch (error) {
    const { maxDepth, key } = error instanceof FormatError ? error.details : ({} as ErrorDetails);
    const rule = maxDepth ? `, nested at most ${maxDepth} deep` : key ? `, without the key "${key}"` : "";
    return new UnreadableRow(showValue(text), `one JSON object per line${rule}`);
  }
}

export interface JsonOptions extends SourceOptions, TextOptions {
  /** Where the list of rows lies, e.g. `data.items`; the whole document unless told. */
  path?: string;
}

/**
 * Rows of a JSON document: a list of objects, an object with a list at `path`, or an object of columns
 * (`{ "x": [1, 2], "y": [3, 4] }`). The document is read whole: for large data use JSON lines.
 */
export function fromJson(source: DataSource, options: JsonOptions = {}): OpeningDataset {
  checkSourceOptions("fromJson", options, { encoding: "text", path: "text" });
  const given = typeof source === "string" && /^\s*[[{]/.test(source) ? { text: source } : source;
  const bytes = openBytes(given, options);
  const { name } = bytes;
  async function* rows() {
    let text = "";
    for await (const piece of decodeText(bytes.stream(), name, options)) text += piece;
    yield { rows: rowsOf(parseDocument(text, name), name, options.path) };
  }
  const step = { json: { path: options.path ?? null, encoding: options.encoding ?? null } };
  const source_ = { name, step, rows, contentHash: hashOnce(bytes), repeatable: bytes.repeatable };
  return new AwaitableDataset(valueStage(source_, options));
}

/** Throws FormatError on what is no JSON, with the next step where the text is JSON of another form. */
function parseDocument(text: string, name: string): unknown {
  try {
    return parseExactly(text, name);
  } catch (cause) {
    const [first, second] = text.split(/[\r\n]+/, 2);
    if (!(second && isJson(first) && isJson(second))) throw cause;
    throw new FormatError((cause as Error).message, {
      where: name,
      hint: "Each of its lines is JSON: read it with fromJsonl.",
      cause,
    });
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function rowsOf(document: unknown, name: string, path: string | undefined): Row[] {
  let value = document;
  for (const key of path?.split(".") ?? []) {
    if (value === null || typeof value !== "object" || !Object.hasOwn(value, key)) {
      throw new ConfigError(`${name}: the document has nothing at "${path}".`, { where: name });
    }
    value = (value as Record<string, unknown>)[key];
  }
  if (Array.isArray(value)) return value as Row[];
  const columns = value !== null && typeof value === "object" ? Object.entries(value as Record<string, unknown>) : [];
  const lists = columns.filter((entry): entry is [string, unknown[]] => Array.isArray(entry[1]));
  // One list of objects is the rows with something around them, and so are tables of Python in the form "split".
  const wrapped = lists.filter(([, list]) => list.length > 0 && list.every(isObject)).map(([key]) => key);
  const isColumns =
    lists.length > 0 && lists.length === columns.length && !(columns.length === 1 && wrapped.length === 1);
  const split = lists.some(([key]) => key === "columns") && lists.some(([key]) => key === "data");
  if (isColumns && !split && lists.every(([, list]) => list.length === lists[0][1].length)) {
    return lists[0][1].map((_, i) => Object.fromEntries(lists.map(([key, list]) => [key, list[i]])));
  }
  const places = wrapped.map((key) => `path: ${JSON.stringify(path === undefined ? key : `${path}.${key}`)}`);
  const pandas = split || (columns.length > 0 && columns.every(([, column]) => isObject(column)));
  throw new DataError(`${name}: needs a list of objects, or an object of lists of equal length, got ${kind(value)}.`, {
    where: name,
    hint: places.length
      ? `For the list of objects within, pass ${listOf(places, "or")}.`
      : pandas
        ? 'pandas writes such a list with df.to_json(orient="records").'
        : "If the list lies deeper, name its place with the option path.",
  });
}

const isObject = (value: unknown): boolean => value !== null && typeof value === "object" && !Array.isArray(value);

const kind = (value: unknown): string =>
  value === null ? "null" : typeof value === "object" ? "an object" : typeof value;
