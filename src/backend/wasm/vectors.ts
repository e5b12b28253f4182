/**
 * Operators of vectors, grouped by lane type under the names of the WebAssembly text format: `f32x4.add`, `i32x4.shl`,
 * `v128.bitselect`.
 */

import { floatBits, intBits } from "./encoding.js";
import { F32, type FloatLike, type IntLike, int, simd, V128 } from "./values.js";

const unary = (opcode: number) => (a: V128) => new V128([a.code, simd(opcode)]);
const binary = (opcode: number) => (a: V128, b: V128) => new V128([a.code, b.code, simd(opcode)]);
const ternary = (opcode: number) => (a: V128, b: V128, c: V128) => new V128([a.code, b.code, c.code, simd(opcode)]);
const shift = (opcode: number) => (a: V128, bits: IntLike) => new V128([a.code, int(bits), simd(opcode)]);

/** Four float32 lanes. */
export const f32x4 = {
  const: (x: number) => new V128(simd(12, floatBits(x), floatBits(x), floatBits(x), floatBits(x))),
  splat: (x: FloatLike) => (typeof x === "number" ? f32x4.const(x) : x.splat()),
  lane: (a: V128, lane: number) => new F32([a.code, simd(31, lane)]),
  eq: binary(65),
  ne: binary(66),
  lt: binary(67),
  gt: binary(68),
  le: binary(69),
  ge: binary(70),
  ceil: unary(103),
  floor: unary(104),
  trunc: unary(105),
  nearest: unary(106),
  abs: unary(224),
  neg: unary(225),
  sqrt: unary(227),
  add: binary(228),
  sub: binary(229),
  mul: binary(230),
  div: binary(231),
  /** NaN when either is NaN, and -0 < +0. */
  min: binary(232),
  max: binary(233),
  /** `b < a ? b : a`: one instruction on x86; NaN in b gives a. */
  pmin: binary(234),
  /** `a < b ? b : a`. */
  pmax: binary(235),
  /** a * b + c, rounded once or twice as the machine likes (relaxed SIMD). */
  relaxedMadd: ternary(0x105),
  /** Truncates, saturating; NaN gives 0. */
  toI32: unary(248),
  fromI32: unary(250),
};

/** Four 32-bit integer lanes. */
export const i32x4 = {
  const: (n: number) => new V128(simd(12, intBits(n), intBits(n), intBits(n), intBits(n))),
  consts: (a: number, b: number, c: number, d: number) =>
    new V128(simd(12, intBits(a), intBits(b), intBits(c), intBits(d))),
  splat: (n: IntLike) => (typeof n === "number" ? i32x4.const(n) : new V128([n.code, simd(17)])),
  eq: binary(55),
  ne: binary(56),
  ltS: binary(57),
  ltU: binary(58),
  gtS: binary(59),
  leS: binary(61),
  geS: binary(63),
  abs: unary(160),
  neg: unary(161),
  shl: shift(171),
  shrS: shift(172),
  shrU: shift(173),
  add: binary(174),
  sub: binary(177),
  mul: binary(181),
  minS: binary(182),
  maxS: binary(184),
  /** Low half of sixteen unsigned bytes, widened to eight 16-bit lanes. */
  lowU8: unary(137),
  /** Low half of eight unsigned 16-bit lanes, widened. */
  lowU16: unary(169),
  /** Eight 32-bit values clamped into eight unsigned 16-bit lanes. */
  narrowU16: binary(134),
  /** Eight 16-bit values clamped into unsigned bytes, sixteen lanes. */
  narrowU8: binary(102),
};

/** Two 64-bit integer lanes: products of u32 pairs, for the random generator. */
export const i64x2 = {
  /** Products of the u32 in lanes 0 and 1, or 2 and 3, as two 64-bit integers. */
  mulLowU32: binary(222),
  mulHighU32: binary(223),
};

/** All 128 bits. */
export const v128 = {
  not: unary(77),
  and: binary(78),
  /** a and not b. */
  andNot: binary(79),
  or: binary(80),
  xor: binary(81),
  /** Bits of `a` where the mask is 1, of `b` where it is 0. */
  bitselect: ternary(82),
  /** Four 32-bit lanes picked from the eight of a (0-3) and b (4-7). */
  shuffle: (a: V128, b: V128, ...lanes: [number, number, number, number]) =>
    new V128([
      a.code,
      b.code,
      simd(
        13,
        lanes.flatMap((n) => [4 * n, 4 * n + 1, 4 * n + 2, 4 * n + 3]),
      ),
    ]),
};
