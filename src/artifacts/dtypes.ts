/** The dtypes of the safetensors format and the arrays that hold them. */

export type TensorBytes =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

type ArrayType = {
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): TensorBytes;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): TensorBytes;
};

interface FileDType {
  /** Bits of one element; 4 and 6 are packed. */
  readonly bits: number;
  /** Holder of the elements; types without a JavaScript array are given as their raw bits. */
  readonly array: ArrayType;
}

const row = (bits: number, array: unknown): FileDType => ({ bits, array: array as ArrayType });

/** Every dtype of the format. BOOL is one byte, 0 or 1; C64 is pairs of float32. */
export const FILE_DTYPES = {
  BOOL: row(8, Uint8Array),
  F4: row(4, Uint8Array),
  F6_E2M3: row(6, Uint8Array),
  F6_E3M2: row(6, Uint8Array),
  U8: row(8, Uint8Array),
  I8: row(8, Int8Array),
  F8_E5M2: row(8, Uint8Array),
  F8_E4M3: row(8, Uint8Array),
  F8_E8M0: row(8, Uint8Array),
  I16: row(16, Int16Array),
  U16: row(16, Uint16Array),
  F16: row(16, Uint16Array),
  BF16: row(16, Uint16Array),
  I32: row(32, Int32Array),
  U32: row(32, Uint32Array),
  F32: row(32, Float32Array),
  C64: row(64, Float32Array),
  F64: row(64, Float64Array),
  I64: row(64, BigInt64Array),
  U64: row(64, BigUint64Array),
} as const;

export type FileDTypeName = keyof typeof FILE_DTYPES;

export const isFileDType = (name: unknown): name is FileDTypeName =>
  typeof name === "string" && Object.hasOwn(FILE_DTYPES, name);

/** Bytes of a tensor, or undefined when the number is not exact or does not end on a byte. */
export function byteLengthOf(dtype: FileDTypeName, shape: readonly number[]): number | undefined {
  // Any empty dim makes the tensor empty, whatever the others say.
  if (shape.includes(0)) return 0;
  let count = 1;
  for (const size of shape) {
    count *= size;
    if (!Number.isSafeInteger(count)) return undefined;
  }
  const bytes = (count * FILE_DTYPES[dtype].bits) / 8;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Bytes as the array of a dtype: a view where alignment allows, else a copy. */
export function asArray(dtype: FileDTypeName, bytes: Uint8Array): TensorBytes {
  const { array } = FILE_DTYPES[dtype];
  const width = array.BYTES_PER_ELEMENT;
  // Not slice(): that of Node's Buffer gives a view.
  const aligned = bytes.byteOffset % width === 0 ? bytes : new Uint8Array(bytes);
  return new array(aligned.buffer, aligned.byteOffset, bytes.length / width);
}
