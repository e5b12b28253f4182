/** Element types, their storage, and PyTorch's promotion rules for the ones we have. */

import { DTypeError, show } from "./errors.js";

/** Types of elements. */
export type DType = "float32" | "float16" | "bfloat16" | "int32" | "uint8" | "bool";

/** The kind of numbers a dtype holds, in promotion order. */
export type DTypeKind = "bool" | "int" | "float";

export type NumericArray = Float32Array | Int32Array | Uint32Array | Uint16Array | Uint8Array;

interface DTypeInfo {
  readonly kind: DTypeKind;
  /** Bytes per element. */
  readonly size: number;
  /** The typed array of its storage; the 16-bit floats are kept as bits. */
  readonly array: {
    readonly name: string;
    new (length: number): NumericArray;
    new (buffer: ArrayBufferLike, offset: number, length: number): NumericArray;
  };
  /** Can operations compute in it? The 16-bit floats are storage only. */
  readonly arithmetic: boolean;
}

export const dtypes: { readonly [K in DType]: DTypeInfo } = {
  bool: { kind: "bool", size: 1, array: Uint8Array, arithmetic: true },
  uint8: { kind: "int", size: 1, array: Uint8Array, arithmetic: true },
  int32: { kind: "int", size: 4, array: Int32Array, arithmetic: true },
  float16: { kind: "float", size: 2, array: Uint16Array, arithmetic: false },
  bfloat16: { kind: "float", size: 2, array: Uint16Array, arithmetic: false },
  float32: { kind: "float", size: 4, array: Float32Array, arithmetic: true },
};

export const isDType = (name: unknown): name is DType => typeof name === "string" && Object.hasOwn(dtypes, name);
export const isFloat = (dtype: DType): boolean => dtypes[dtype].kind === "float";
export const byteSize = (dtype: DType, elements: number): number => dtypes[dtype].size * elements;

export function checkDType(name: unknown, where: string): DType {
  if (isDType(name)) return name;
  const known = Object.keys(dtypes).join(", ");
  throw new DTypeError(`${where}: unknown dtype ${show(name)}.`, {
    where,
    hint: `Known are ${known}.`,
    got: name,
  });
}

const order: readonly DType[] = ["bool", "uint8", "int32", "float16", "bfloat16", "float32"];

/**
 * The dtype of the result of an operation on two tensors: PyTorch's table (`torch.promote_types`). The later of bool,
 * uint8, int32, float16, bfloat16, float32 wins, and float16 with bfloat16 gives float32.
 */
export function promoteTypes(a: DType, b: DType): DType {
  if (a === b) return a;
  if ((a === "float16" && b === "bfloat16") || (a === "bfloat16" && b === "float16")) return "float32";
  return order.indexOf(a) > order.indexOf(b) ? a : b;
}

/**
 * The dtype a plain JavaScript number takes beside a tensor: it never widens within its kind, so `int32 + 2` stays
 * int32, `uint8 + 2` uint8, and `int32 + 0.5` becomes the default float type.
 */
export function scalarType(value: number | boolean, beside: DType, defaultFloat: DType): DType {
  const kind: DTypeKind = typeof value === "boolean" ? "bool" : Number.isInteger(value) ? "int" : "float";
  const other = dtypes[beside].kind;
  if (other === "float" || kind === other || kind === "bool") return beside;
  if (kind === "int") return other === "bool" ? "int32" : beside;
  return defaultFloat;
}

const word = new Uint32Array(1);
const single = new Float32Array(word.buffer);

/** Bits of the float16 nearest to a float32 (ties to even; overflow to infinity; NaN to 0x7e00). */
export function toFloat16(value: number): number {
  single[0] = value;
  const bits = word[0];
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Below the smallest normal float16: adding 0.5 aligns the wanted bits at the bottom and rounds to even.
    word[0] = magnitude;
    single[0] = single[0] + 0.5;
    return sign | (word[0] - 0x3f000000);
  }
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
}

/** The float32 that float16 bits stand for: moved into place, they are those of a float32 2^112 times smaller. */
export function fromFloat16(bits: number): number {
  if ((bits & 0x7fff) > 0x7c00) return Number.NaN;
  word[0] = ((bits & 0x8000) << 16) | ((bits & 0x7fff) << 13);
  return single[0] * ((bits & 0x7c00) === 0x7c00 ? Number.POSITIVE_INFINITY : 2 ** 112);
}

/** Bits of the bfloat16 nearest to a float32 (ties to even; NaN to 0x7fc0). */
export function toBfloat16(value: number): number {
  single[0] = value;
  const bits = word[0];
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fc0;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** The float32 that bfloat16 bits stand for. */
export function fromBfloat16(bits: number): number {
  word[0] = bits << 16;
  return single[0];
}

/** A number from stored bits, and back: what printing and conversion use. */
export function decode(dtype: DType, stored: number): number {
  return dtype === "float16" ? fromFloat16(stored) : dtype === "bfloat16" ? fromBfloat16(stored) : stored;
}

export function encode(dtype: DType, value: number): number {
  if (dtype === "float16") return toFloat16(value);
  if (dtype === "bfloat16") return toBfloat16(value);
  return dtype === "bool" ? (value !== 0 ? 1 : 0) : value;
}
