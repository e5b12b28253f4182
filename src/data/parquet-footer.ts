/** The footer of a Parquet file: read, and checked against the file before anything is allocated by it. */

import type { ColumnMetaData, FileMetaData, SchemaElement } from "hyparquet";
import { DataError } from "../core/errors.js";
import type { ByteSource } from "../core/platform.js";
import { Breach } from "./parquet-breach.js";
import { leafKey } from "./parquet-schema.js";
import { CompactReader, type ThriftStruct, type ThriftValue } from "./thrift.js";

/** Read at once from the end; most footers are shorter. */
const FIRST_READ = 1 << 16;
/** Schemas nest less deep than this. */
const MOST_DEPTH = 64;

/** Bytes of the footer, its frame included; the Thrift structs in it are well formed. Throws Breach otherwise. */
export async function readFooter(file: ByteSource): Promise<ArrayBuffer> {
  const { byteLength } = file;
  if (byteLength < 12) throw new Breach(`${byteLength} bytes are too few for a Parquet file`);
  const from = Math.max(0, byteLength - FIRST_READ);
  let bytes = await file.read(from, byteLength);
  const magic = String.fromCharCode(...bytes.subarray(-4));
  if (magic === "PARE") throw new Breach("its footer is encrypted, which is not supported");
  if (magic !== "PAR1") throw new Breach("it does not end with PAR1");
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(bytes.length - 8, true);
  if (length > byteLength - 12) throw new Breach(`its footer claims ${length} bytes of the file's ${byteLength}`);
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
          throw new Breach(`a decimal number has ${value.length} bytes`);
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
export function checkFooter(metadata: FileMetaData, byteLength: number, name: string): void {
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
    for (const { meta_data: column, file_path } of group.columns) {
      if (!column) throw lie(`row group ${g} has a column without metadata`);
      if (file_path) throw elsewhere(name, file_path);
      const path = leafKey(column.path_in_schema);
      const leaf = leaves.get(path);
      const where = `column "${column.path_in_schema.join(".")}" of row group ${g}`;
      if (!leaf || paths.has(path)) throw lie(`${where} ${leaf ? "comes twice" : "is not in the schema"}`);
      paths.add(path);
      if (leaf.type !== column.type) throw lie(`${where} is ${column.type}, in the schema ${leaf.type}`);
      checkPlace(column, byteLength, where, lie);
      const flat = column.path_in_schema.length === 1 && leaf.repetition_type !== "REPEATED";
      if (flat ? column.num_values !== num_rows : column.num_values < num_rows) {
        throw lie(`${where} has ${column.num_values} values for ${num_rows} rows`);
      }
    }
    for (const path of leaves.keys()) {
      if (!paths.has(path)) throw lie(`row group ${g} lacks the column "${JSON.parse(path).join(".")}"`);
    }
  });
  // Some writers leave the total at 0.
  if (total !== metadata.num_rows && metadata.num_rows !== 0n)
    throw lie(`${metadata.num_rows} rows in all, ${total} in the row groups`);
}

/** Writers of partitioned tables put the footers of all parts into a file `_metadata`. */
const elsewhere = (name: string, file: string): DataError =>
  new DataError(`${name}: has no rows of its own, its footer describes those of other files, such as "${file}".`, {
    where: name,
    hint: "Read these files, and join them with concat().",
  });

type Lie = (what: string) => DataError;

/** Is the list of elements one tree, and each of its names one thing? Its leaves by the keys of their paths. */
function checkSchema(schema: readonly SchemaElement[], lie: Lie): Map<string, SchemaElement> {
  const leaves = new Map<string, SchemaElement>();
  let next = 0;
  const walk = (path: string[]): void => {
    const element = schema[next++];
    if (!element) throw lie("its schema has fewer elements than it announces");
    if (element.name === "__proto__") throw new Breach('a column is named "__proto__", which no object can hold');
    const children = element.num_children ?? 0;
    if (children < 0 || children >= schema.length) throw lie(`"${element.name}" has ${children} columns`);
    if (path.length > MOST_DEPTH) throw lie(`its schema is more than ${MOST_DEPTH} deep`);
    if (children === 0 && path.length > 0) leaves.set(leafKey(path), element);
    if (path.length === 1) dotted.clear();
    // Within a column of the top level the library knows its parts by their names joined with dots.
    const full = path.join(".");
    if (dotted.has(full)) {
      throw new Breach(
        `in the column "${path[0]}" two parts are named "${full}": names with dots cannot be told apart`,
      );
    }
    dotted.add(full);
    const siblings = new Set<string>();
    for (let child = 0; child < children; child++) {
      const inner = [...path, schema[next]?.name];
      if (siblings.has(inner.at(-1)!)) {
        throw new Breach(`two of its columns are named "${inner.join(".")}", and a row can hold only one`);
      }
      siblings.add(inner.at(-1)!);
      walk(inner);
    }
  };
  const dotted = new Set<string>();
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
