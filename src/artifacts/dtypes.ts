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
  readonly name: string;
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

// Made by a call that bundlers may leave out where no file is read.
const table = /* @__PURE__ */ (() => ({
  BOOL: { bits: 8, array: Uint8Array },
  F4: { bits: 4, array: Uint8Array },
  F6_E2M3: { bits: 6, array: Uint8Array },
  F6_E3M2: { bits: 6, array: Uint8Array },
  U8: { bits: 8, array: Uint8Array },
  I8: { bits: 8, array: Int8Array },
  F8_E5M2: { bits: 8, array: Uint8Array },
  F8_E4M3: { bits: 8, array: Uint8Array },
  F8_E8M0: { bits: 8, array: Uint8Array },
  I16: { bits: 16, array: Int16Array },
  U16: { bits: 16, array: Uint16Array },
  F16: { bits: 16, array: Uint16Array },
  BF16: { bits: 16, array: Uint16Array },
  I32: { bits: 32, array: Int32Array },
  U32: { bits: 32, array: Uint32Array },
  F32: { bits: 32, array: Float32Array },
  C64: { bits: 64, array: Float32Array },
  F64: { bits: 64, array: Float64Array },
  I64: { bits: 64, array: BigInt64Array },
  U64: { bits: 64, array: BigUint64Array },
}))();

export type FileDTypeName = keyof typeof table;

/** Every dtype of the format. BOOL is one byte, 0 or 1; C64 is pairs of float32. */
export const FILE_DTYPES = table as unknown as Readonly<Record<FileDTypeName, FileDType>>;

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
