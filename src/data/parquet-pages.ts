/**
 * The pages of a Parquet column chunk, walked before they are decoded. A decoder loops as often as counts in the file
 * say and takes memory by them; here every count is held against the bytes that are there, against the footer, and
 * against a budget, so that a damaged or hostile file ends in an error instead of minutes of work or wrong rows.
 */

import { Breach } from "./parquet-breach.js";
import type { ExpansionBudget, PageCost } from "./parquet-budget.js";
import { type Codecs, expandPage } from "./parquet-codecs.js";
import { LONGEST_DECIMAL } from "./parquet-footer.js";
import { checkDeltaHeader, checkDeltaTexts, walkRuns } from "./parquet-runs.js";
import { CompactReader, type ThriftStruct, type ThriftValue } from "./thrift.js";

/** A column without further columns below it: one chunk per row group. */
export interface LeafColumn {
  /** Physical type, as the format names it. */
  readonly type: string;
  /** Bytes of a FIXED_LEN_BYTE_ARRAY. */
  readonly typeLength: number;
  readonly codec: string;
  /** Values that the footer announces, nulls and empty lists included. */
  readonly values: number;
  /** Rows of the group. */
  readonly rows: number;
  readonly maxDefinition: number;
  readonly maxRepetition: number;
  /** Definition level of the outermost list; `maxDefinition` where there is none. */
  readonly listLevel: number;
  /** Structs around the value. */
  readonly structs: number;
  /** The value itself may be missing. */
  readonly optional: boolean;
  /** On the top level and not repeated: one value per row. */
  readonly flat: boolean;
  /** Bytes stand for a decimal number. */
  readonly decimal: boolean;
  /** Its values are objects: bytes, texts, BigInts, Dates. */
  readonly objects: boolean;
  /** Bytes stand for JSON. */
  readonly json: boolean;
}

/** By their numbers in the format; the missing ones are deprecated. */
const ENCODINGS: Record<number, string> = {
  0: "PLAIN",
  2: "DICTIONARY",
  3: "RLE",
  5: "DELTA",
  6: "DELTA_LENGTH",
  7: "DELTA_TEXT",
  8: "DICTIONARY",
  9: "SPLIT",
};
const WIDTHS: Record<string, number> = { INT32: 4, FLOAT: 4, INT64: 8, DOUBLE: 8, INT96: 12, BYTE_ARRAY: 4 };

/** Bytes that each value takes at least in the plain encoding. */
const plainBytes = ({ type, typeLength }: LeafColumn, count: number): number =>
  type === "BOOLEAN" ? Math.ceil(count / 8) : count * (type === "FIXED_LEN_BYTE_ARRAY" ? typeLength : WIDTHS[type]);

/** What a text of JSON may become, in multiples of its bytes: `[[],[]]` */
const JSON_RATIO = 12;

/** A page that was checked. */
export interface Page {
  /** Its values (and, but in data v2, levels), expanded. */
  readonly content: Uint8Array;
  /** Places without a value, by the levels. */
  readonly nulls: number;
}

/** Checks a chunk and expands its pages, in order. Throws Breach saying what is wrong. */
export async function expandChunk(
  chunk: Uint8Array,
  leaf: LeafColumn,
  codecs: Codecs,
  budget: ExpansionBudget,
): Promise<Page[]> {
  const pages: Page[] = [];
  const reader = new CompactReader(chunk);
  let dictionary: number | undefined;
  let values = 0;
  let rows = 0;
  // What follows a flat column's last value is never read.
  while (reader.at < chunk.length - 1 && !(leaf.flat && values === leaf.values)) {
    const header = reader.struct();
    const compressed = integer(header, 3, "compressed size of a page");
    const start = reader.at;
    reader.at += compressed;
    if (reader.at > chunk.length) {
      throw new Breach(`a page of ${compressed} bytes begins ${chunk.length - start} bytes before the chunk's end`);
    }
    const size = integer(header, 2, "size of a page");
    budget.take(size);
    const page = new PageHeader(header, size);
    const body = chunk.subarray(start + page.levelBytes, reader.at);
    const content = await expandPage(
      codecs,
      page.compressed ? leaf.codec : "UNCOMPRESSED",
      body,
      size - page.levelBytes,
    );
    if (page.kind === "dictionary") {
      checkPlain(content, 0, page.values, leaf);
      budget.takePage({ places: page.values, empty: 0, lists: 0, objects: leaf.objects ? page.values : 0 });
      if (leaf.json) budget.take(JSON_RATIO * content.length);
      dictionary = page.values;
      pages.push({ content, nulls: 0 });
      continue;
    }
    values += page.values;
    if (values > leaf.values) throw new Breach(`its pages have more values than the ${leaf.values} of the footer`);
    const levels = chunk.subarray(start, start + page.levelBytes);
    const checked = page.check(levels, content, leaf, dictionary);
    budget.takePage(checked.cost);
    budget.take(checked.texts);
    rows += checked.rows;
    pages.push({ content, nulls: checked.nulls });
  }
  if (values !== leaf.values) throw new Breach(`its pages have ${values} values, the footer says ${leaf.values}`);
  if (rows !== leaf.rows) throw new Breach(`its pages have ${rows} rows, the footer says ${leaf.rows}`);
  return pages;
}

/** Plainly encoded values, texts with their lengths included, lie within their page. */
function checkPlain(bytes: Uint8Array, at: number, count: number, leaf: LeafColumn): void {
  const left = bytes.length - at;
  let fits = plainBytes(leaf, count) <= left;
  if (leaf.decimal && leaf.typeLength > LONGEST_DECIMAL) {
    throw new Breach(`a decimal number has ${leaf.typeLength} bytes`);
  }
  if (fits && leaf.type === "BYTE_ARRAY") {
    let end = at;
    for (let i = 0; i < count && fits; i++) {
      const length = (bytes[end] | (bytes[end + 1] << 8) | (bytes[end + 2] << 16)) + bytes[end + 3] * 2 ** 24;
      if (leaf.decimal && length > LONGEST_DECIMAL) throw new Breach(`a decimal number has ${length} bytes`);
      end += 4 + length;
      fits = end <= bytes.length;
    }
  }
  if (!fits) throw new Breach(`a page of ${bytes.length} bytes cannot hold its ${count} values of ${leaf.type}`);
}

/** A whole number of 31 bits out of a header. */
function integer(struct: ThriftStruct, field: number, what: string): number {
  const value = struct[field];
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value < 2 ** 31) return value;
  throw new Breach(`the ${what} is ${String(value)}`);
}

const isStruct = (value: ThriftValue | undefined): value is ThriftStruct =>
  typeof value === "object" && !Array.isArray(value) && !(value instanceof Uint8Array);

/** What a page says about itself. */
class PageHeader {
  readonly kind: "data" | "dictionary" | "data v2";
  readonly values: number;
  /** Bytes of levels that lie uncompressed before the values (data v2). */
  readonly levelBytes: number = 0;
  readonly compressed: boolean = true;
  private readonly fields: ThriftStruct;

  constructor(header: ThriftStruct, size: number) {
    const kind = ({ 0: ["data", 5], 2: ["dictionary", 7], 3: ["data v2", 8] } as const)[Number(header[1])];
    if (!kind) throw new Breach(`a page has the unknown type ${String(header[1])}`);
    const fields = header[kind[1]];
    if (!isStruct(fields)) throw new Breach(`a ${kind[0]} page has no ${kind[0]} header`);
    this.kind = kind[0];
    this.fields = fields;
    this.values = integer(fields, 1, "number of values of a page");
    if (kind[0] !== "data v2") return;
    this.levelBytes = integer(fields, 5, "length of levels") + integer(fields, 6, "length of levels");
    this.compressed = fields[7] !== false;
    if (this.levelBytes > size) throw new Breach(`a page of ${size} bytes has ${this.levelBytes} bytes of levels`);
  }

  /** Rows that begin in a data page, and what it makes, after levels and values were walked. */
  check(
    levels: Uint8Array,
    content: Uint8Array,
    leaf: LeafColumn,
    dictionary: number | undefined,
  ): { rows: number; nulls: number; cost: PageCost; texts: number } {
    const second = this.kind === "data v2";
    const { values } = this;
    let at = 0;
    /** Walks one kind of levels: how often each comes. */
    const levelsOf = (most: number, lengthField: number, encodingField: number): number[] => {
      const bytes = second ? levels : content;
      let end: number;
      if (second) end = at + integer(this.fields, lengthField, "length of levels");
      else {
        if (this.fields[encodingField] === 4) throw new Breach("levels in BIT_PACKED encoding are not supported");
        at += 4;
        if (at > bytes.length) throw new Breach("a page ends before its levels");
        end = at + new DataView(bytes.buffer, bytes.byteOffset + at - 4).getUint32(0, true);
      }
      if (end > bytes.length) throw new Breach(`levels of ${end - at} bytes do not fit into their page`);
      const width = 32 - Math.clz32(most);
      const counts = new Array<number>(most + 1).fill(0);
      walkRuns({ bytes, at, end, width, count: values, most, counts, what: "levels" });
      at = end;
      return counts;
    };
    const rows = leaf.maxRepetition > 0 ? levelsOf(leaf.maxRepetition, 6, 4)[0] : values;
    if (second) at = integer(this.fields, 6, "length of levels");
    const definitions = leaf.maxDefinition > 0 ? levelsOf(leaf.maxDefinition, 5, 3) : [values];
    const present = definitions[leaf.maxDefinition];
    const nulls = values - present;
    // In nested columns some writers count empty lists and missing parents as nulls, some do not.
    if (second && leaf.flat && integer(this.fields, 2, "number of nulls") !== nulls) {
      throw new Breach(`a page has ${nulls} nulls, its header says ${String(this.fields[2])}`);
    }
    const encoding = ENCODINGS[Number(this.fields[second ? 4 : 2])];
    const texts = checkValues(content, second ? 0 : at, encoding, present, leaf, dictionary);
    const objects = leaf.objects && encoding !== "DICTIONARY" ? present : 0;
    const lists = leaf.flat ? 0 : listsOf(definitions, rows, leaf);
    const cost = { places: values, empty: leaf.flat ? 0 : nulls, lists, objects };
    return { rows, nulls, cost, texts: leaf.json && encoding !== "DICTIONARY" ? JSON_RATIO * content.length : texts };
  }
}

/**
 * Lists that a page of a nested column makes, at most; one of a single item, twenty deep, costs 3 kB. Below the outermost
 * list each value may open all that its level counts. Above it only the first of a row does, or one that follows a place
 * without the list, which in honest files is the first of a row again. Each struct is put together at all levels above
 * it, by lists of its own.
 */
function listsOf(definitions: readonly number[], rows: number, leaf: LeafColumn): number {
  const { listLevel, maxDefinition, structs, optional } = leaf;
  let below = 0;
  let above = 0;
  let without = 0;
  definitions.forEach((count, level) => {
    below += count * Math.max(0, level - listLevel);
    above += count * Math.min(level, listLevel);
    if (level < listLevel) without += count;
  });
  if (without > rows) throw new Breach("a row goes on in a list that it does not have");
  // The last level of an optional value is the value, not a list around it.
  const values = optional ? definitions[maxDefinition] : 0;
  return (below + Math.min(above, 2 * (rows + 1) * listLevel) - values) * (1 + structs / 2);
}

/** Holds `count` values against the bytes from `at` on. Returns bytes that they take beyond those, where texts repeat. */
function checkValues(
  bytes: Uint8Array,
  at: number,
  encoding: string | undefined,
  count: number,
  leaf: LeafColumn,
  dictionary: number | undefined,
): number {
  const left = bytes.length - at;
  const end = bytes.length;
  if (count === 0) return 0;
  switch (encoding) {
    case "PLAIN":
      checkPlain(bytes, at, count, leaf);
      return 0;
    case "SPLIT":
      if (leaf.type === "BYTE_ARRAY") throw new Breach(`${leaf.type} has no BYTE_STREAM_SPLIT encoding`);
      checkPlain(bytes, at, count, leaf);
      return 0;
    case "RLE":
      if (leaf.type !== "BOOLEAN") throw new Breach(`${leaf.type} has no RLE encoding`);
      walkRuns({ bytes, at: at + 4, end, width: 1, count, most: 1, what: "values" });
      return 0;
    case "DICTIONARY": {
      if (!dictionary) throw new Breach("a page uses a dictionary that is not there");
      const width = left > 0 ? bytes[at] : 33;
      if (width > 32) throw new Breach(`a page has dictionary indices of ${width} bits`);
      // Where bytes lie flat, an index that leads nowhere shows in the rows; arrays of numbers would hold 0 for it.
      const most = leaf.flat && leaf.type === "BYTE_ARRAY" ? Number.POSITIVE_INFINITY : dictionary - 1;
      walkRuns({ bytes, at: at + 1, end, width, count, most, what: "values" });
      return 0;
    }
    case "DELTA":
    case "DELTA_LENGTH":
      checkDeltaHeader(bytes, at, count);
      return 0;
    case "DELTA_TEXT":
      return checkDeltaTexts(bytes, at, count);
    default:
      throw new Breach("a page has an encoding that is not supported");
  }
}
