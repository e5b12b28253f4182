/**
 * The safetensors format, writing, in one canonical form: equal tensors give equal bytes, so that the SHA-256 of the
 * file is the identity of the weights. `__metadata__` comes first; tensors are ordered by element size descending,
 * then by the UTF-8 bytes of their names; the header has no spaces but its padding to 8 bytes; every float32 NaN is
 * written as 0x7FC00000.
 */

import { ConfigError, DTypeError, kindOf, ShapeError, show, showShape } from "../core/errors.js";
import { byteLengthOf, FILE_DTYPES, type FileDTypeName, isFileDType, type TensorBytes } from "./dtypes.js";
import { hashBytes, hashesAtOnce, pieces } from "./pieces.js";

/** A tensor to write. Data may be made when its turn comes, so that no two tensors are in memory at once. */
export interface TensorToWrite {
  readonly dtype: FileDTypeName;
  readonly shape: readonly number[];
  readonly data: TensorBytes | (() => TensorBytes | Promise<TensorBytes>);
}

export type TensorsToWrite = Readonly<Record<string, TensorToWrite>> | ReadonlyMap<string, TensorToWrite>;

const CANONICAL_METADATA = { format: "pt" };
const utf8 = /* @__PURE__ */ new TextEncoder();
const CANONICAL_NAN = 0x7fc00000;

/** The whole file in memory; for tensors whose data is at hand. The metadata is canonical unless told. */
export function writeSafetensors(
  tensors: TensorsToWrite,
  metadata: Readonly<Record<string, string>> = CANONICAL_METADATA,
): Uint8Array<ArrayBuffer> {
  const { header, order, size } = layOut(tensors, metadata);
  const file = new Uint8Array(size);
  file.set(header);
  let at = header.length;
  for (const [name, tensor] of order) {
    if (typeof tensor.data === "function") {
      throw new DTypeError(`writeSafetensors: needs the data of "${name}" at hand, got a function.`, {
        where: "writeSafetensors",
        hint: "safetensorsChunks takes functions.",
      });
    }
    const bytes = tensorBytes(name, tensor, tensor.data);
    file.set(tensor.dtype === "F32" ? withCanonicalNaN(bytes) : bytes, at);
    at += bytes.length;
  }
  return file;
}

/** The same file in pieces, tensor by tensor, for stores and hashes. Do not keep a piece: ask for the next first. */
export async function* safetensorsChunks(
  tensors: TensorsToWrite,
  metadata: Readonly<Record<string, string>> = CANONICAL_METADATA,
): AsyncGenerator<Uint8Array> {
  const { header, order } = layOut(tensors, metadata);
  yield header;
  for (const [name, tensor] of order) {
    const data = typeof tensor.data === "function" ? await tensor.data() : tensor.data;
    for await (const piece of pieces(tensorBytes(name, tensor, data)))
      yield tensor.dtype === "F32" ? withCanonicalNaN(piece) : piece;
  }
}

/** SHA-256 of the canonical file: what `sha256sum model.safetensors` prints for a saved checkpoint. */
export async function weightsHash(tensors: TensorsToWrite): Promise<string> {
  const { size } = layOut(tensors, CANONICAL_METADATA);
  const chunks = safetensorsChunks(tensors);
  return (await hashBytes(hashesAtOnce(size) ? await collect(chunks, size) : chunks)).sha256;
}

async function collect(chunks: AsyncIterable<Uint8Array>, size: number): Promise<Uint8Array> {
  const whole = new Uint8Array(size);
  let at = 0;
  for await (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

type Named = readonly [name: string, tensor: TensorToWrite];

function layOut(tensors: TensorsToWrite, metadata: Readonly<Record<string, string>>) {
  for (const [what, value] of Object.entries({ "tensors by name": tensors, "metadata by name": metadata })) {
    if (typeof value === "object" && value !== null) continue;
    throw new ConfigError(`writeSafetensors: needs ${what}, got ${kindOf(value)}.`, { where: "writeSafetensors" });
  }
  const list: Named[] = tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  const order = list.map((named) => ({ named, key: utf8.encode(named[0]), tensor: named[1] }));
  for (const { named } of order) checkTensor(...named);
  order.sort((a, b) => FILE_DTYPES[b.tensor.dtype].bits - FILE_DTYPES[a.tensor.dtype].bits || compare(a.key, b.key));

  const keys = Object.keys(metadata).sort();
  if (keys.includes("__proto__")) {
    throw new ConfigError('writeSafetensors: "__proto__" cannot be a name of metadata: no reader takes it.', {
      where: "writeSafetensors",
    });
  }
  const texts = keys.map((key) => `${JSON.stringify(key)}:${JSON.stringify(String(metadata[key]))}`);
  const members = keys.length > 0 ? [`"__metadata__":{${texts.join(",")}}`] : [];
  let at = 0;
  for (const { named, tensor } of order) {
    const end = at + (byteLengthOf(tensor.dtype, tensor.shape) as number);
    const entry = { dtype: tensor.dtype, shape: [...tensor.shape], data_offsets: [at, end] };
    members.push(`${JSON.stringify(named[0])}:${JSON.stringify(entry)}`);
    at = end;
  }
  const text = utf8.encode(`{${members.join(",")}}`);
  const length = Math.ceil(text.length / 8) * 8;
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(text, 8);
  return { header, order: order.map(({ named }) => named), size: header.length + at };
}

function checkTensor(name: string, tensor: TensorToWrite): void {
  const where = "writeSafetensors";
  if (typeof tensor !== "object" || tensor === null || !Array.isArray(tensor.shape)) {
    throw new ConfigError(`${where}: "${name}" needs { dtype, shape, data }, got ${kindOf(tensor)}.`, { where });
  }
  const { dtype, shape } = tensor;
  if (!isFileDType(dtype)) {
    throw new DTypeError(
      `${where}: "${name}" needs a dtype as the format spells them (F32, I64), got ${show(dtype)}.`,
      {
        where,
        hint: "saveWeights(module) writes the tensors of a module.",
      },
    );
  }
  const valid = shape.every((size) => Number.isSafeInteger(size) && size >= 0);
  if (name === "__metadata__" || name === "__proto__" || !valid || byteLengthOf(dtype, shape) === undefined) {
    throw new ShapeError(`${where}: "${name}" of shape ${showShape(shape)} cannot be written.`, { where, shape });
  }
}

function tensorBytes(name: string, { dtype, shape }: TensorToWrite, data: TensorBytes): Uint8Array {
  const where = "writeSafetensors";
  const { array } = FILE_DTYPES[dtype];
  if (!(data instanceof array)) {
    throw new DTypeError(`${where}: "${name}" of ${dtype} needs a ${array.name}, got ${kindOf(data)}.`, { where });
  }
  const length = byteLengthOf(dtype, shape);
  if (data.byteLength !== length) {
    const got = `${data.byteLength} bytes`;
    throw new ShapeError(`${where}: "${name}" of ${dtype} ${showShape(shape)} needs ${length} bytes, got ${got}.`, {
      where,
      shape,
    });
  }
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** The same bytes of float32, or a copy whose NaNs have the one bit pattern: engines and instructions differ in theirs. */
function withCanonicalNaN(bytes: Uint8Array): Uint8Array {
  const data = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  let at = 0;
  while (at < data.length && !Number.isNaN(data[at])) at++;
  if (at === data.length) return bytes;
  const copy = data.slice();
  const bits = new Uint32Array(copy.buffer);
  for (; at < copy.length; at++) if (Number.isNaN(copy[at])) bits[at] = CANONICAL_NAN;
  return new Uint8Array(copy.buffer);
}

function compare(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}
