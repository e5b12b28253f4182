/** idx files, the format of MNIST: a big-endian header, then one array. */

import { DataError } from "../core/errors.js";
import { sha256Hex } from "../core/sha256.js";
import { type Bytes, type DataSource, openBytes, readAll } from "./bytes.js";
import { AwaitableDataset, type OpeningDataset } from "./dataset.js";
import { once } from "./once.js";
import { BYTES_KINDS, checkKinds } from "./options.js";
import type { Row } from "./row.js";
import type { Field, Schema } from "./schema.js";
import { hashOnce, type SourceOptions } from "./source.js";
import { chunksOf, type Stage } from "./stage.js";

/** Type code of the header: element size and how to read one element. */
const TYPES: Record<number, { size: number; read(view: DataView, at: number): number }> = {
  8: { size: 1, read: (view, at) => view.getUint8(at) },
  9: { size: 1, read: (view, at) => view.getInt8(at) },
  11: { size: 2, read: (view, at) => view.getInt16(at) },
  12: { size: 4, read: (view, at) => view.getInt32(at) },
  13: { size: 4, read: (view, at) => view.getFloat32(at) },
  14: { size: 8, read: (view, at) => view.getFloat64(at) },
};

export interface IdxArray {
  /** The first dim counts the items. */
  shape: number[];
  data: Uint8Array | Int8Array | Int16Array | Int32Array | Float32Array | Float64Array;
}

const ARRAYS = { 8: Uint8Array, 9: Int8Array, 11: Int16Array, 12: Int32Array, 13: Float32Array, 14: Float64Array };

/** Reads one idx array. Throws DataError on a broken header, missing or surplus bytes. */
export function readIdx(bytes: Uint8Array, name = "idx"): IdxArray {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const broken = (what: string, offset: number) =>
    new DataError(`${name}: is not a valid idx file: ${what} at offset ${offset}.`, { where: name, offset });
  if (bytes.length < 4) throw broken(`needs a header of at least 4 bytes, got ${bytes.length}`, 0);
  const code = bytes[2] as keyof typeof ARRAYS;
  const dims = bytes[3];
  if (bytes[0] !== 0 || bytes[1] !== 0) throw broken(`needs two zero bytes, got ${bytes[0]} and ${bytes[1]}`, 0);
  if (!TYPES[code]) throw broken(`needs a type of 8, 9, 11, 12, 13 or 14, got ${code}`, 2);
  if (dims === 0 || bytes.length < 4 + 4 * dims) throw broken(`needs ${dims || "1 or more"} sizes, got less`, 3);
  const shape = Array.from({ length: dims }, (_, i) => view.getUint32(4 + 4 * i));
  // No bytes would have to be there for any number of such items.
  const empty = shape.indexOf(0, 1);
  if (empty > 0) throw broken(`shape [${shape.join(", ")}] has items of size 0`, 4 + 4 * empty);
  const start = 4 + 4 * dims;
  const count = shape.reduce((a, b) => a * b, 1);
  const { size, read } = TYPES[code];
  if (bytes.length - start !== count * size) {
    throw broken(`shape [${shape.join(", ")}] needs ${count * size} bytes, got ${bytes.length - start}`, start);
  }
  if (code === 8) return { shape, data: bytes.subarray(start) };
  const data = new ARRAYS[code](count);
  for (let i = 0; i < count; i++) data[i] = read(view, start + i * size);
  return { shape, data };
}

export interface IdxOptions extends Pick<SourceOptions, "maxDecompressedBytes" | "signal" | "name"> {
  /** A second idx file with one label per item; it becomes the column `label`. */
  labels?: DataSource;
}

/**
 * Rows `{ image }`, or `{ image, label }` with `labels`, of idx files (gzip too). A file of one dim gives `{ value }`.
 * Items are reachable by number: shuffles are exact. The file is kept in memory, as bytes.
 */
export function fromIdx(source: DataSource, options: IdxOptions = {}): OpeningDataset {
  checkKinds("fromIdx", options, { labels: "other", ...BYTES_KINDS });
  const bytes = openBytes(source, options);
  const labelBytes =
    options.labels === undefined ? undefined : openBytes(options.labels, { ...options, name: undefined });
  let schema: Schema | undefined;
  const access = once(async () => {
    const items = await readArray(bytes);
    const labels = labelBytes && (await readArray(labelBytes));
    if (labels && labels.shape.length !== 1) {
      throw new DataError(`${labelBytes!.name}: needs one label per item, got shape [${labels.shape.join(", ")}].`, {
        where: labelBytes!.name,
      });
    }
    if (labels && labels.shape[0] !== items.shape[0]) {
      throw new DataError(
        `${labelBytes!.name}: needs ${items.shape[0]} labels, one per item, got ${labels.shape[0]}.`,
        {
          where: labelBytes!.name,
        },
      );
    }
    schema = schemaOf(items, labels);
    return { length: items.shape[0], at: (index: number) => rowAt(items, labels, index) };
  });
  const hashes = [bytes, ...(labelBytes ? [labelBytes] : [])].map(hashOnce);
  const stage: Stage<Row> = {
    parents: [],
    step: { idx: { labels: labelBytes !== undefined } },
    get schema() {
      return schema;
    },
    prepare: async () => void (await access()),
    contentHash: async () => {
      const each = await Promise.all(hashes.map((hash) => hash()));
      return each.length === 1 ? each[0] : sha256Hex(each.join(" "));
    },
    access,
    async *open({ skip }) {
      yield* chunksOf(await access(), skip);
    },
  };
  return new AwaitableDataset(stage);
}

const readArray = async (bytes: Bytes): Promise<IdxArray> =>
  readIdx(await readAll(bytes.stream(), bytes.name), bytes.name);

const isFloat = ({ data }: IdxArray): boolean => data instanceof Float32Array || data instanceof Float64Array;
const scalar = (array: IdxArray) => (isFloat(array) ? "float32" : "int32");

function schemaOf(items: IdxArray, labels: IdxArray | undefined): Schema {
  const shape = items.shape.slice(1);
  const field: Field =
    shape.length === 0
      ? { name: "value", type: scalar(items) }
      : items.data instanceof Uint8Array
        ? { name: "image", type: "image", shape, modality: "image" }
        : { name: "image", type: "list", items: scalar(items), shape };
  if (!labels) return { fields: [field] };
  return {
    fields: [
      { ...field, role: "feature" },
      { name: "label", type: scalar(labels), modality: "label", role: "target" },
    ],
  };
}

function rowAt({ shape, data }: IdxArray, labels: IdxArray | undefined, index: number): Row {
  const size = shape.slice(1).reduce((a, b) => a * b, 1);
  const row: Row =
    shape.length === 1 ? { value: data[index] } : { image: data.subarray(index * size, (index + 1) * size) };
  if (labels) row["label"] = labels.data[index];
  return row;
}
