/** The footer of a Parquet file: read, and checked against the file before anything is allocated by it. */

import type { ColumnMetaData, FileMetaData, SchemaElement } from "hyparquet";
import { DataError } from "../core/errors.js";
import type { ByteSource } from "../core/platform.js";
import { CompactReader, type ThriftStruct, type ThriftValue } from "./thrift.js";

/** Read at once from the end; most footers are shorter. */
const FIRST_READ = 1 << 16;
/** Schemas nest less deep than this. */
const MOST_DEPTH = 64;
/** Values of a row group beyond which there must be bytes for them: a footer is no reason to fill the memory. */
const FREE_VALUES = 2 ** 26;
const VALUES_PER_BYTE = 1100;

/** Bytes of the footer, its frame included; the Thrift structs in it are well formed. Throws RangeError otherwise. */
export async function readFooter(file: ByteSource): Promise<ArrayBuffer> {
  const { byteLength } = file;
  if (byteLength < 12) throw new RangeError(`${byteLength} bytes are too few for a Parquet file`);
  const from = Math.max(0, byteLength - FIRST_READ);
  let bytes = await file.read(from, byteLength);
  const magic = String.fromCharCode(...bytes.subarray(-4));
  if (magic === "PARE") throw new RangeError("its footer is encrypted, which is not supported");
  if (magic !== "PAR1") throw new RangeError("it does not end with PAR1");
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(bytes.length - 8, true);
  if (length > byteLength - 12) throw new RangeError(`its footer claims ${length} bytes of the file's ${byteLength}`);
  const start = byteLength - 8 - length;
  bytes = start < from ? await file.read(start, byteLength) : bytes.subarray(start - from);
  checkStatistics(new CompactReader(bytes.subarray(0, length)).struct());
  return bytes.slice().buffer as ArrayBuffer;
}

const DECIMAL = 5;
/** Longest decimal number in bytes. Longer ones would be turned into numbers in quadratic time. */
export const LONGEST_DECIMAL = 64;

/** Statistics of decimal columns, which are turned into numbers while the footer is read, must be short. */
function checkStatistics(footer: ThriftStruct): void {
  const children = (value: ThriftValue | undefined, field: number): readonly ThriftStruct[] => {
    const list = (value as ThriftStruct | undefined)?.[field];
    return Array.isArray(list) ? (list as ThriftStruct[]) : [];
  };
  const leaves = children(footer, 2).filter((element) => element[1] !== undefined);
  for (const group of children(footer, 4)) {
    children(group, 1).forEach((column, i) => {
      const statistics = (column[3] as ThriftStruct | undefined)?.[12];
      if (!statistics || leaves[i]?.[6] !== DECIMAL) return;
      for (const value of Object.values(statistics)) {
        if (value instanceof Uint8Array && value.length > LONGEST_DECIMAL) {
          throw new RangeError(`a decimal number has ${value.length} bytes`);
        }
      }
    });
  }
}

/** Meanings that newer writers may declare as logical types alone, by the older names that the decoder goes by. */
const CONVERTED = ["DECIMAL", "DATE", "JSON", "BSON", "LIST", "MAP"] as const;

/** Gives elements of the schema that have only a logical type the converted type of the same meaning. */
export function declareTypes(schema: readonly SchemaElement[]): void {
  for (const element of schema) {
    const logical = element.logical_type;
    const same = CONVERTED.find((name) => name === logical?.type);
    if (!logical || !same || element.converted_type !== undefined) continue;
    element.converted_type = same;
    if (logical.type === "DECIMAL") Object.assign(element, { scale: logical.scale, precision: logical.precision });
  }
}

/** Counts and offsets of the footer against each other and the file. Throws DataError saying what cannot be. */
export function checkFooter(metadata: FileMetaData, byteLength: number, name: string, limit?: number): void {
  const lie = (what: string) => new DataError(`${name}: the Parquet footer lies: ${what}.`, { where: name });
  const leaves = checkSchema(metadata.schema, lie);
  let total = 0n;
  metadata.row_groups.forEach((group, g) => {
    const { num_rows } = group;
    if (typeof num_rows !== "bigint" || num_rows < 0n || num_rows > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw lie(`row group ${g} has ${num_rows} rows`);
    }
    total += num_rows;
    const paths = new Set<string>();
    let values = 0;
    let bytes = 0;
    for (const { meta_data: column } of group.columns) {
      if (!column) throw lie(`row group ${g} has a column without metadata`);
      const path = column.path_in_schema.join(".");
      const leaf = leaves.get(path);
      const where = `column "${path}" of row group ${g}`;
      if (!leaf || paths.has(path)) throw lie(`${where} ${leaf ? "comes twice" : "is not in the schema"}`);
      paths.add(path);
      if (leaf.type !== column.type) throw lie(`${where} is ${column.type}, in the schema ${leaf.type}`);
      checkPlace(column, byteLength, where, lie);
      const flat = column.path_in_schema.length === 1 && leaf.repetition_type !== "REPEATED";
      if (flat ? column.num_values !== num_rows : column.num_values < num_rows) {
        throw lie(`${where} has ${column.num_values} values for ${num_rows} rows`);
      }
      values += Number(column.num_values);
      bytes += Number(column.total_compressed_size);
    }
    for (const path of leaves.keys()) if (!paths.has(path)) throw lie(`row group ${g} lacks the column "${path}"`);
    if (values > Math.max(FREE_VALUES, VALUES_PER_BYTE * Math.max(bytes, limit ?? 0))) {
      throw lie(`row group ${g} has ${values} values in ${bytes} bytes`);
    }
  });
  // Some writers leave the total at 0.
  if (total !== metadata.num_rows && metadata.num_rows !== 0n)
    throw lie(`${metadata.num_rows} rows in all, ${total} in the row groups`);
}

type Lie = (what: string) => DataError;

/** Is the list of elements one tree? Its leaves by their paths. */
function checkSchema(schema: readonly SchemaElement[], lie: Lie): Map<string, SchemaElement> {
  const leaves = new Map<string, SchemaElement>();
  let next = 0;
  const walk = (path: string[]): void => {
    const element = schema[next++];
    if (!element) throw lie("its schema has fewer elements than it announces");
    if (element.name === "__proto__") throw new RangeError('a column is named "__proto__", which no object can hold');
    const children = element.num_children ?? 0;
    if (children < 0 || children >= schema.length) throw lie(`"${element.name}" has ${children} columns`);
    if (path.length > MOST_DEPTH) throw lie(`its schema is more than ${MOST_DEPTH} deep`);
    if (children === 0 && path.length > 0) {
      const full = path.join(".");
      if (leaves.has(full)) throw new RangeError(`two of its columns are named "${full}", and a row can hold only one`);
      leaves.set(full, element);
    }
    for (let child = 0; child < children; child++) walk([...path, schema[next]?.name]);
  };
  walk([]);
  if (next !== schema.length) throw lie(`its schema has ${schema.length} elements, ${next} of them in the tree`);
  return leaves;
}

/** First byte of a column chunk. */
export const chunkStart = (column: ColumnMetaData): number =>
  Number(column.dictionary_page_offset || column.data_page_offset);

function checkPlace(column: ColumnMetaData, byteLength: number, where: string, lie: Lie): void {
  const numbers = [column.data_page_offset, column.total_compressed_size, column.num_values];
  if (!numbers.every((each) => typeof each === "bigint")) throw lie(`${where} has no place`);
  const start = chunkStart(column);
  const size = Number(column.total_compressed_size);
  if (start < 0 || size < 0 || start + size > byteLength) {
    throw lie(`${where} ends at byte ${start + size} of ${byteLength}`);
  }
}
