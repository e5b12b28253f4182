/**
 * The pages of a Parquet column chunk, walked before they are decoded. A decoder loops as often as counts in the file
 * say and takes memory by them; here every count is held against the bytes that are there, against the footer, and
 * against a budget, so that a damaged or hostile file ends in an error instead of minutes of work or wrong rows.
 */

import { type Codecs, type ExpansionBudget, expandPage } from "./parquet-codecs.js";
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
  /** On the top level and not repeated: one value per row. */
  readonly flat: boolean;
  /** Bytes stand for a decimal number. */
  readonly decimal: boolean;
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

/** A page that was checked. */
export interface Page {
  /** Its values (and, but in data v2, levels), expanded. */
  readonly content: Uint8Array;
  /** Places without a value, by the levels. */
  readonly nulls: number;
}

/** Checks a chunk and expands its pages, in order. Throws RangeError saying what is wrong. */
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
      throw new RangeError(`a page of ${compressed} bytes begins ${chunk.length - start} bytes before the chunk's end`);
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
      dictionary = page.values;
      pages.push({ content, nulls: 0 });
      continue;
    }
    values += page.values;
    if (values > leaf.values) throw new RangeError(`its pages have more values than the ${leaf.values} of the footer`);
    const levels = chunk.subarray(start, start + page.levelBytes);
    const checked = page.check(levels, content, leaf, dictionary);
    rows += checked.rows;
    pages.push({ content, nulls: checked.nulls });
  }
  if (values !== leaf.values) throw new RangeError(`its pages have ${values} values, the footer says ${leaf.values}`);
  if (rows !== leaf.rows) throw new RangeError(`its pages have ${rows} rows, the footer says ${leaf.rows}`);
  return pages;
}

/** Plainly encoded values, texts with their lengths included, lie within their page. */
function checkPlain(bytes: Uint8Array, at: number, count: number, leaf: LeafColumn): void {
  const left = bytes.length - at;
  let fits = plainBytes(leaf, count) <= left;
  if (leaf.decimal && leaf.typeLength > LONGEST_DECIMAL) {
    throw new RangeError(`a decimal number has ${leaf.typeLength} bytes`);
  }
  if (fits && leaf.type === "BYTE_ARRAY") {
    let end = at;
    for (let i = 0; i < count && fits; i++) {
      const length = (bytes[end] | (bytes[end + 1] << 8) | (bytes[end + 2] << 16)) + bytes[end + 3] * 2 ** 24;
      if (leaf.decimal && length > LONGEST_DECIMAL) throw new RangeError(`a decimal number has ${length} bytes`);
      end += 4 + length;
      fits = end <= bytes.length;
    }
  }
  if (!fits) throw new RangeError(`a page of ${bytes.length} bytes cannot hold its ${count} values of ${leaf.type}`);
}

/** A whole number of 31 bits out of a header. */
function integer(struct: ThriftStruct, field: number, what: string): number {
  const value = struct[field];
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value < 2 ** 31) return value;
  throw new RangeError(`the ${what} is ${String(value)}`);
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
    if (!kind) throw new RangeError(`a page has the unknown type ${String(header[1])}`);
    const fields = header[kind[1]];
    if (!isStruct(fields)) throw new RangeError(`a ${kind[0]} page has no ${kind[0]} header`);
    this.kind = kind[0];
    this.fields = fields;
    this.values = integer(fields, 1, "number of values of a page");
    if (kind[0] !== "data v2") return;
    this.levelBytes = integer(fields, 5, "length of levels") + integer(fields, 6, "length of levels");
    this.compressed = fields[7] !== false;
    if (this.levelBytes > size) throw new RangeError(`a page of ${size} bytes has ${this.levelBytes} bytes of levels`);
  }

  /** Rows that begin in a data page, and its places without a value, after levels and values were walked. */
  check(
    levels: Uint8Array,
    content: Uint8Array,
    leaf: LeafColumn,
    dictionary: number | undefined,
  ): { rows: number; nulls: number } {
    const second = this.kind === "data v2";
    const { values } = this;
    let at = 0;
    /** Walks one kind of levels: how many are equal to `wanted`. */
    const levelsOf = (most: number, wanted: number, lengthField: number, encodingField: number): number => {
      const bytes = second ? levels : content;
      let end: number;
      if (second) end = at + integer(this.fields, lengthField, "length of levels");
      else {
        if (this.fields[encodingField] === 4) throw new RangeError("levels in BIT_PACKED encoding are not supported");
        at += 4;
        if (at > bytes.length) throw new RangeError("a page ends before its levels");
        end = at + new DataView(bytes.buffer, bytes.byteOffset + at - 4).getUint32(0, true);
      }
      if (end > bytes.length) throw new RangeError(`levels of ${end - at} bytes do not fit into their page`);
      const width = 32 - Math.clz32(most);
      const equal = walkRuns({ bytes, at, end, width, count: values, most, wanted, what: "levels" });
      at = end;
      return equal;
    };
    const rows = leaf.maxRepetition > 0 ? levelsOf(leaf.maxRepetition, 0, 6, 4) : values;
    if (second) at = integer(this.fields, 6, "length of levels");
    const present = leaf.maxDefinition > 0 ? levelsOf(leaf.maxDefinition, leaf.maxDefinition, 5, 3) : values;
    const nulls = values - present;
    // In nested columns some writers count empty lists and missing parents as nulls, some do not.
    if (second && leaf.flat && integer(this.fields, 2, "number of nulls") !== nulls) {
      throw new RangeError(`a page has ${nulls} nulls, its header says ${String(this.fields[2])}`);
    }
    const encoding = ENCODINGS[Number(this.fields[second ? 4 : 2])];
    checkValues(content, second ? 0 : at, encoding, present, leaf, dictionary);
    return { rows, nulls };
  }
}

/** Holds `count` values against the bytes from `at` on. */
function checkValues(
  bytes: Uint8Array,
  at: number,
  encoding: string | undefined,
  count: number,
  leaf: LeafColumn,
  dictionary: number | undefined,
): void {
  const left = bytes.length - at;
  const end = bytes.length;
  if (count === 0) return;
  switch (encoding) {
    case "PLAIN":
      checkPlain(bytes, at, count, leaf);
      return;
    case "SPLIT":
      if (leaf.type === "BYTE_ARRAY") throw new RangeError(`${leaf.type} has no BYTE_STREAM_SPLIT encoding`);
      checkPlain(bytes, at, count, leaf);
      return;
    case "RLE":
      if (leaf.type !== "BOOLEAN") throw new RangeError(`${leaf.type} has no RLE encoding`);
      walkRuns({ bytes, at: at + 4, end, width: 1, count, most: 1, what: "values" });
      return;
    case "DICTIONARY": {
      if (!dictionary) throw new RangeError("a page uses a dictionary that is not there");
      const width = left > 0 ? bytes[at] : 33;
      if (width > 32) throw new RangeError(`a page has dictionary indices of ${width} bits`);
      // In flat columns an index that leads nowhere shows in the rows, and need not be looked for here.
      const most = leaf.flat ? Number.POSITIVE_INFINITY : dictionary - 1;
      walkRuns({ bytes, at: at + 1, end, width, count, most, what: "values" });
      return;
    }
    case "DELTA":
    case "DELTA_LENGTH":
      checkDeltaHeader(bytes, at, count);
      return;
    case "DELTA_TEXT":
      checkDeltaTexts(bytes, at, count);
      return;
    default:
      throw new RangeError("a page has an encoding that is not supported");
  }
}
