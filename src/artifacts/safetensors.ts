/**
 * The safetensors format, reading: eight bytes with the length of a JSON header (little-endian), the header, then the
 * tensors' bytes without gaps. A header may lie: nothing is believed before it was checked against the file.
 * Format: https://huggingface.co/docs/safetensors
 */

import { ConfigError, FormatError, kindOf, show } from "../core/errors.js";
import { parseJson } from "../core/json.js";
import type { ByteSource } from "../core/platform.js";
import { asArray, byteLengthOf, type FileDTypeName, isFileDType, type TensorBytes } from "./dtypes.js";
import { duplicateKey } from "./json-keys.js";

/** Longest header that is read, as in the format's own library. */
const MAX_HEADER = 100_000_000;

/** Most tensors of one file: more than any checkpoint holds in all its shards, and read in about a second. */
const MAX_TENSORS = 2 ** 17;

/** A tensor of a file: elements in C order, dtypes as the format spells them. */
export interface FileTensor {
  readonly dtype: FileDTypeName;
  readonly shape: readonly number[];
  readonly data: TensorBytes;
}

/** Where a tensor lies in its file: bytes `[start, end)`. */
export interface FileEntry {
  readonly dtype: FileDTypeName;
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
}

export interface Safetensors {
  /** The `__metadata__` of the header; no prototype. */
  readonly metadata: Record<string, string>;
  /** Tensors by name, in the order of the file; no prototype, so that no name can collide with a built-in one. */
  readonly tensors: Record<string, FileTensor>;
}

interface Header {
  readonly metadata: Record<string, string>;
  readonly entries: ReadonlyMap<string, FileEntry>;
}

/**
 * Reads a whole file. Arrays are views of `bytes` where alignment allows. Throws FormatError naming file, offset and
 * what was expected.
 */
export function readSafetensors(bytes: Uint8Array | ArrayBuffer, name = "safetensors"): Safetensors {
  // By tag: buffers of another realm, such as a test runner's, are buffers too.
  if (!/ \w*(ArrayBuffer|Uint8Array)\]$/.test(Object.prototype.toString.call(bytes))) {
    throw new ConfigError(`${name}: needs the file's bytes as a Uint8Array or an ArrayBuffer, got ${kindOf(bytes)}.`, {
      where: name,
    });
  }
  const file = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
  const length = headerLength(file.subarray(0, 8), file.length, name);
  const { metadata, entries } = parseHeader(file.subarray(8, 8 + length), file.length, name);
  const tensors: Record<string, FileTensor> = Object.create(null);
  for (const [key, { dtype, shape, start, end }] of entries) {
    tensors[key] = { dtype, shape, data: asArray(dtype, file.subarray(start, end)) };
  }
  return { metadata, tensors };
}

/** A file, or several that make one checkpoint, of which single tensors are read when asked for. */
export interface TensorReader {
  readonly metadata: Readonly<Record<string, string>>;
  /** All tensors, in the order of the file. */
  readonly entries: ReadonlyMap<string, FileEntry>;
  /** Reads one tensor; an unknown name is a FormatError. */
  read(name: string): Promise<FileTensor>;
  close(): Promise<void>;
}

/** Reads the header of a source and leaves the tensors where they are. The source is closed with the reader. */
export async function openSafetensors(source: ByteSource): Promise<TensorReader> {
  if (typeof source?.read !== "function") {
    throw new ConfigError(`openSafetensors: needs a source, got ${kindOf(source)}.`, {
      where: "openSafetensors",
      hint: "For example bytesSource(bytes) or blobSource(file).",
    });
  }
  const { metadata, entries } = await readHeader(source).catch(async (error) => {
    await source.close?.();
    throw error;
  });
  return {
    metadata,
    entries,
    async read(name) {
      const entry = entries.get(name);
      if (!entry) throw noTensor(source.name, name);
      const { dtype, shape, start, end } = entry;
      return { dtype, shape, data: asArray(dtype, await source.read(start, end)) };
    },
    close: async () => source.close?.(),
  };
}

async function readHeader(source: ByteSource): Promise<Header> {
  const { byteLength, name } = source;
  const length = headerLength(await source.read(0, Math.min(8, byteLength)), byteLength, name);
  return parseHeader(await source.read(8, 8 + length), byteLength, name);
}

export const noTensor = (file: string, tensor: string): FormatError =>
  new FormatError(`${file}: holds no tensor "${tensor}".`, { where: file, tensor });

function headerLength(start: Uint8Array, size: number, name: string): number {
  if (start.length < 8) throw broken(name, 0, "8 bytes with the length of the header", `a file of ${size} bytes`);
  const length = new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true);
  const room = Math.min(size - 8, MAX_HEADER);
  if (length > BigInt(room)) throw broken(name, 0, `a header of at most ${room} bytes`, `a length of ${length}`);
  return Number(length);
}

const broken = (name: string, offset: number, expected: string, got: string): FormatError =>
  new FormatError(`${name}: at byte ${offset} ${expected} expected, got ${got}.`, { where: name, offset });

function parseHeader(bytes: Uint8Array, size: number, name: string): Header {
  if (bytes[0] !== 0x7b) {
    throw broken(name, 8, 'a header that starts with "{"', bytes.length === 0 ? "no header" : `byte ${bytes[0]}`);
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw broken(name, 8, "a header in UTF-8", "other bytes");
  }
  const header = parseJson(text, { where: `${name} (header)`, maxDepth: 4 }) as Record<string, unknown>;
  const twice = duplicateKey(text);
  if (twice !== undefined) throw broken(name, 8, "every name once", `${JSON.stringify(twice)} twice`);

  const names = Object.keys(header);
  if (names.length > MAX_TENSORS) throw broken(name, 8, `at most ${MAX_TENSORS} tensors`, names.length.toString());
  const metadata: Record<string, string> = Object.create(null);
  const found: [string, FileEntry][] = [];
  for (const key of names) {
    const value = header[key];
    if (key === "__metadata__") readMetadata(value, metadata, name);
    else found.push([key, readEntry(key, value, 8 + bytes.length, size, name)]);
  }
  found.sort(([, a], [, b]) => a.start - b.start || a.end - b.end);
  checkCover(found, 8 + bytes.length, size, name);
  return { metadata, entries: new Map(found) };
}

function readMetadata(value: unknown, into: Record<string, string>, name: string): void {
  if (!isObject(value)) throw broken(name, 8, "__metadata__ with texts by name", show(value));
  for (const [key, item] of Object.entries(value)) {
    if (typeof item !== "string") throw broken(name, 8, `a text as __metadata__ "${key}"`, show(item));
    into[key] = item;
  }
}

const FIELDS = ["dtype", "shape", "data_offsets"];

function readEntry(tensor: string, value: unknown, dataStart: number, size: number, name: string): FileEntry {
  const refuse = (expected: string, got: unknown) => broken(name, 8, `tensor "${tensor}": ${expected}`, show(got));
  if (!isObject(value)) throw refuse("an object", value);
  const { dtype, shape, data_offsets: offsets } = value;
  const extra = Object.keys(value).filter((key) => !FIELDS.includes(key));
  if (extra.length > 0) throw refuse("only dtype, shape and data_offsets", extra);
  if (!isFileDType(dtype)) throw refuse("a dtype of the format", dtype);
  if (!isNaturals(shape)) throw refuse("a shape of whole numbers from 0", shape);
  if (!isNaturals(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    throw refuse("data_offsets [begin, end]", offsets);
  }
  const [begin, end] = offsets;
  const length = byteLengthOf(dtype, shape);
  if (length !== end - begin) {
    const needs = length === undefined ? "a size that fits" : `${length} bytes for ${dtype} [${shape.join(", ")}]`;
    throw broken(name, 8, `tensor "${tensor}": ${needs}`, `${end - begin} bytes (data_offsets ${show(offsets)})`);
  }
  if (dataStart + end > size) {
    throw broken(
      name,
      dataStart + begin,
      `tensor "${tensor}" up to byte ${dataStart + end}`,
      `a file of ${size} bytes`,
    );
  }
  return { dtype, shape, start: dataStart + begin, end: dataStart + end };
}

/** Tensors must cover the rest of the file once: no hole, no overlap, nothing after them. */
function checkCover(entries: readonly [string, FileEntry][], dataStart: number, size: number, name: string): void {
  let at = dataStart;
  for (const [tensor, { start, end }] of entries) {
    if (start > at) throw broken(name, at, "the next tensor", `a hole up to "${tensor}" at byte ${start}`);
    if (start < at) throw broken(name, start, "tensors apart", `"${tensor}" overlapping the one that ends at ${at}`);
    at = end;
  }
  if (at !== size) throw broken(name, at, "the end of the file", `${size - at} more bytes`);
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isNaturals = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
