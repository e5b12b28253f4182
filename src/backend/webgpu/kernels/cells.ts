/**
 * How the dtypes lie in storage buffers, and how WGSL reads and writes them. Four consecutive elements are a quad:
 * 16 bytes of float32 or int32, 8 of the 16-bit floats, 4 of uint8 and bool. Buffers are padded, so the last quad
 * of a tensor may be read and written whole.
 */

import type { DType } from "../../../core/dtype.js";
import type { LaneType } from "../../../core/expr.js";

/** The type of numbers that are summed, sorted or compared: float32 or int32. */
export type NumberType = "f32" | "i32";
export const numberType = ({ dtype }: { readonly dtype: DType }): NumberType => (dtype === "float32" ? "f32" : "i32");

interface Cells {
  readonly lane: LaneType;
  /** Type of a buffer read by quads. */
  readonly quad: string;
  /** Type of a buffer read by elements. */
  readonly word: string;
  /** Functions that the texts below call. */
  readonly functions: string;
  /** Four lanes of a stored quad. */
  unpack(quad: string): string;
  /** A stored quad of four lanes. */
  pack(lanes: string): string;
  /** One lane: element `index` of a buffer of words. */
  at(buffer: string, index: string): string;
}

const half = (kind: "float16" | "bfloat16"): Cells => {
  const decode = kind === "float16" ? "from_half" : "from_brain";
  const encode = kind === "float16" ? "to_half" : "to_brain";
  return {
    lane: "f32",
    quad: "vec2u",
    word: "u32",
    functions: kind === "float16" ? halfFunctions : brainFunctions,
    unpack: (quad) => `unpack_${decode}(${quad})`,
    pack: (lanes) => `pack_${encode}(${lanes})`,
    at: (buffer, index) => `${decode}((${buffer}[(${index}) >> 1u] >> (((${index}) & 1u) * 16u)) & 0xffffu)`,
  };
};

const pairs = (decode: string, encode: string) => `
fn unpack_${decode}(q: vec2u) -> vec4f {
  return vec4f(${decode}(q.x & 0xffffu), ${decode}(q.x >> 16u), ${decode}(q.y & 0xffffu), ${decode}(q.y >> 16u));
}
fn pack_${encode}(v: vec4f) -> vec2u {
  return vec2u(${encode}(v.x) | (${encode}(v.y) << 16u), ${encode}(v.z) | (${encode}(v.w) << 16u));
}
`;

/** The conversions of core/dtype.ts, on bits: the same results whatever the device does with subnormal numbers. */
const halfFunctions = `
fn from_half(h: u32) -> f32 {
  let sign = (h & 0x8000u) << 16u;
  let m = h & 0x7fffu;
  if (m < 0x400u) { return bitcast<f32>(bitcast<u32>(f32(m) * 5.9604644775390625e-8f) | sign); }
  if (m >= 0x7c00u) { return bitcast<f32>(sign | 0x7f800000u | ((m & 0x3ffu) << 13u)); }
  return bitcast<f32>(sign | ((m << 13u) + 0x38000000u));
}
fn to_half(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let sign = (bits >> 16u) & 0x8000u;
  let m = bits & 0x7fffffffu;
  if (m > 0x7f800000u) { return 0x7e00u; }
  if (m >= 0x47800000u) { return sign | 0x7c00u; }
  if (m < 0x33000000u) { return sign; }
  if (m < 0x38800000u) {
    let shift = 126u - (m >> 23u);
    let fraction = (m & 0x7fffffu) | 0x800000u;
    let kept = fraction >> shift;
    let rest = fraction & ((1u << shift) - 1u);
    let middle = 1u << (shift - 1u);
    return sign | (kept + select(0u, 1u, rest > middle || (rest == middle && (kept & 1u) == 1u)));
  }
  return sign | ((m - 0x38000000u + 0xfffu + ((m >> 13u) & 1u)) >> 13u);
}
${pairs("from_half", "to_half")}`;

const brainFunctions = `
fn from_brain(h: u32) -> f32 { return bitcast<f32>(h << 16u); }
fn to_brain(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return 0x7fc0u; }
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}
${pairs("from_brain", "to_brain")}`;

const byteFunctions = `
fn unpack_bytes(w: u32) -> vec4i { return vec4i((vec4u(w) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u)); }
fn pack_bytes(v: vec4i) -> u32 {
  let b = bitcast<vec4u>(v) & vec4u(255u);
  return b.x | (b.y << 8u) | (b.z << 16u) | (b.w << 24u);
}
`;

const byteAt = (buffer: string, index: string) =>
  `i32((${buffer}[(${index}) >> 2u] >> (((${index}) & 3u) * 8u)) & 255u)`;

export const cells: { readonly [dtype in DType]: Cells } = {
  float32: {
    lane: "f32",
    quad: "vec4f",
    word: "f32",
    functions: "",
    unpack: (quad) => quad,
    pack: (lanes) => lanes,
    at: (buffer, index) => `${buffer}[${index}]`,
  },
  int32: {
    lane: "i32",
    quad: "vec4i",
    word: "i32",
    functions: "",
    unpack: (quad) => quad,
    pack: (lanes) => lanes,
    at: (buffer, index) => `${buffer}[${index}]`,
  },
  float16: half("float16"),
  bfloat16: half("bfloat16"),
  uint8: {
    lane: "i32",
    quad: "u32",
    word: "u32",
    functions: byteFunctions,
    unpack: (quad) => `unpack_bytes(${quad})`,
    pack: (lanes) => `pack_bytes(${lanes})`,
    at: byteAt,
  },
  bool: {
    lane: "bool",
    quad: "u32",
    word: "u32",
    functions: byteFunctions,
    unpack: (quad) => `(unpack_bytes(${quad}) != vec4i(0))`,
    pack: (lanes) => `pack_bytes(select(vec4i(0), vec4i(1), ${lanes}))`,
    at: (buffer, index) => `(${byteAt(buffer, index)} != 0i)`,
  },
};

/** The helper functions that some dtypes need, each once. */
export const cellFunctions = (dtypes: Iterable<DType>): string =>
  [...new Set([...dtypes].map((dtype) => cells[dtype].functions))].join("");
