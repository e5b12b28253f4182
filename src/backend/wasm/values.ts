/**
 * Typed WebAssembly values. A value is the code that leaves it on the stack, so expressions compose like ordinary
 * arithmetic; a value used twice is computed twice, unless it was put into a local (`f.let`). Operators of vectors are
 * grouped by lane type under the names of the WebAssembly text format: `f32x4.add`, `i32x4.shl`, `v128.bitselect`.
 */

import { type Code, floatBits, intBits, signed, unsigned } from "./encoding.js";

export type TypeName = "i32" | "f32" | "v128";

/** Type codes of the binary format. */
export const typeCode: Record<TypeName, number> = { i32: 0x7f, f32: 0x7d, v128: 0x7b };

/** A 32-bit integer, or a number written as a constant. */
export type IntLike = I32 | number;
/** A float32, or a number written as a constant. */
export type FloatLike = F32 | number;

const simd = (opcode: number, ...rest: Code): Code => [0xfd, ...unsigned(opcode), ...rest];
/** A memory operand: alignment hint (log2) and constant offset in bytes. */
const at = (align: number, offset: number): Code => [align, unsigned(offset)];

const int = (x: IntLike): Code => (typeof x === "number" ? [0x41, signed(x)] : x.code);
const real = (x: FloatLike): Code => (typeof x === "number" ? [0x43, floatBits(x)] : x.code);

/** 32-bit integers: counts and byte addresses. As an address it loads: `p.f32(8)` is the float at p + 8. */
export class I32 {
  readonly type = "i32";
  /** @param index the local this value is read from, if it is one */
  constructor(
    readonly code: Code,
    readonly index?: number,
  ) {}

  static const(n: number): I32 {
    return new I32(int(n));
  }

  private binary(other: IntLike, opcode: number): I32 {
    return new I32([this.code, int(other), opcode]);
  }
  add(other: IntLike): I32 {
    return other === 0 ? new I32(this.code) : this.binary(other, 0x6a);
  }
  sub(other: IntLike): I32 {
    return this.binary(other, 0x6b);
  }
  mul(other: IntLike): I32 {
    return other === 1 ? new I32(this.code) : this.binary(other, 0x6c);
  }
  divU(other: IntLike): I32 {
    return this.binary(other, 0x6e);
  }
  remU(other: IntLike): I32 {
    return this.binary(other, 0x70);
  }
  and(other: IntLike): I32 {
    return this.binary(other, 0x71);
  }
  or(other: IntLike): I32 {
    return this.binary(other, 0x72);
  }
  xor(other: IntLike): I32 {
    return this.binary(other, 0x73);
  }
  shl(bits: IntLike): I32 {
    return this.binary(bits, 0x74);
  }
  shrS(bits: IntLike): I32 {
    return this.binary(bits, 0x75);
  }
  shrU(bits: IntLike): I32 {
    return this.binary(bits, 0x76);
  }
  /** Rotated right. */
  rotr(bits: IntLike): I32 {
    return this.binary(bits, 0x78);
  }
  eqz(): I32 {
    return new I32([this.code, 0x45]);
  }
  eq(other: IntLike): I32 {
    return this.binary(other, 0x46);
  }
  ne(other: IntLike): I32 {
    return this.binary(other, 0x47);
  }
  lt(other: IntLike): I32 {
    return this.binary(other, 0x48);
  }
  /** Unsigned less-than: the comparison for addresses, which may lie above 2 GiB. */
  ltU(other: IntLike): I32 {
    return this.binary(other, 0x49);
  }
  gt(other: IntLike): I32 {
    return this.binary(other, 0x4a);
  }
  le(other: IntLike): I32 {
    return this.binary(other, 0x4c);
  }
  ge(other: IntLike): I32 {
    return this.binary(other, 0x4e);
  }
  /** The smaller of two signed values; both are evaluated twice, so they must be cheap and pure. */
  min(other: IntLike): I32 {
    return new I32([this.code, int(other), this.code, int(other), 0x48, 0x1b]);
  }
  max(other: IntLike): I32 {
    return new I32([this.code, int(other), this.code, int(other), 0x4a, 0x1b]);
  }
  /** `this ? yes : no`, both evaluated. */
  select(yes: IntLike, no: IntLike): I32 {
    return new I32([int(yes), int(no), this.code, 0x1b]);
  }
  /** The nearest float32 of this signed integer. */
  toF32(): F32 {
    return new F32([this.code, 0xb2]);
  }
  /** The float32 with these bits. */
  asF32(): F32 {
    return new F32([this.code, 0xbe]);
  }

  i32(offset = 0): I32 {
    return new I32([this.code, 0x28, at(2, offset)]);
  }
  u8(offset = 0): I32 {
    return new I32([this.code, 0x2d, at(0, offset)]);
  }
  u16(offset = 0): I32 {
    return new I32([this.code, 0x2f, at(1, offset)]);
  }
  f32(offset = 0): F32 {
    return new F32([this.code, 0x2a, at(2, offset)]);
  }
  /** 16 bytes. */
  v128(offset = 0): V128 {
    return new V128([this.code, simd(0, at(2, offset))]);
  }
  /** One 32-bit value in all four lanes. */
  splat(offset = 0): V128 {
    return new V128([this.code, simd(9, at(2, offset))]);
  }
  /** One 32-bit value in lane 0, zeros above. */
  load32Zero(offset = 0): V128 {
    return new V128([this.code, simd(92, at(2, offset))]);
  }
  /** 8 bytes in lanes 0 and 1, zeros above. */
  load64Zero(offset = 0): V128 {
    return new V128([this.code, simd(93, at(2, offset))]);
  }
  /** `vector` with one 32-bit lane replaced from memory. */
  load32Lane(vector: V128, lane: number, offset = 0): V128 {
    return new V128([this.code, vector.code, simd(86, at(2, offset), lane)]);
  }
  /** Four unsigned 16-bit values, widened to 32-bit lanes. */
  u16x4(offset = 0): V128 {
    return new V128([this.code, simd(4, at(1, offset))]);
  }
}

/** One float32. */
export class F32 {
  readonly type = "f32";
  constructor(
    readonly code: Code,
    readonly index?: number,
  ) {}

  static const(x: number): F32 {
    return new F32(real(x));
  }

  private binary(other: FloatLike, opcode: number): F32 {
    return new F32([this.code, real(other), opcode]);
  }
  add(other: FloatLike): F32 {
    return this.binary(other, 0x92);
  }
  sub(other: FloatLike): F32 {
    return this.binary(other, 0x93);
  }
  mul(other: FloatLike): F32 {
    return this.binary(other, 0x94);
  }
  div(other: FloatLike): F32 {
    return this.binary(other, 0x95);
  }
  /** The smaller; NaN when either is NaN. */
  min(other: FloatLike): F32 {
    return this.binary(other, 0x96);
  }
  /** The larger; NaN when either is NaN. */
  max(other: FloatLike): F32 {
    return this.binary(other, 0x97);
  }
  abs(): F32 {
    return new F32([this.code, 0x8b]);
  }
  neg(): F32 {
    return new F32([this.code, 0x8c]);
  }
  sqrt(): F32 {
    return new F32([this.code, 0x91]);
  }
  eq(other: FloatLike): I32 {
    return new I32([this.code, real(other), 0x5b]);
  }
  ne(other: FloatLike): I32 {
    return new I32([this.code, real(other), 0x5c]);
  }
  lt(other: FloatLike): I32 {
    return new I32([this.code, real(other), 0x5d]);
  }
  gt(other: FloatLike): I32 {
    return new I32([this.code, real(other), 0x5e]);
  }
  /** Truncated to a signed integer, saturating; NaN gives 0. */
  toI32(): I32 {
    return new I32([this.code, 0xfc, 0]);
  }
  /** The bits as an integer. */
  asI32(): I32 {
    return new I32([this.code, 0xbc]);
  }
  /** All four lanes. */
  splat(): V128 {
    return new V128([this.code, simd(19)]);
  }
}

/** 128 bits; what the lanes mean is the operator's business. */
export class V128 {
  readonly type = "v128";
  constructor(
    readonly code: Code,
    readonly index?: number,
  ) {}
}

export type Value = I32 | F32 | V128;
/** What a parameter of a type accepts. */
export type Like<T extends Value> = T extends I32 ? IntLike : T extends F32 ? FloatLike : V128;

/** The code of a value, or of a constant of the given type. */
export const codeOf = (type: TypeName, value: Value | number): Code =>
  typeof value !== "number" ? value.code : type === "i32" ? int(value) : real(value);

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
  fromU32: unary(251),
};

/** Four 32-bit integer lanes. */
export const i32x4 = {
  const: (n: number) => new V128(simd(12, intBits(n), intBits(n), intBits(n), intBits(n))),
  consts: (a: number, b: number, c: number, d: number) =>
    new V128(simd(12, intBits(a), intBits(b), intBits(c), intBits(d))),
  splat: (n: IntLike) => (typeof n === "number" ? i32x4.const(n) : new V128([n.code, simd(17)])),
  lane: (a: V128, lane: number) => new I32([a.code, simd(27, lane)]),
  eq: binary(55),
  ne: binary(56),
  ltS: binary(57),
  ltU: binary(58),
  gtS: binary(59),
  gtU: binary(60),
  leS: binary(61),
  geS: binary(63),
  geU: binary(64),
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
  /** Low or high half of eight unsigned 16-bit lanes, widened. */
  lowU16: unary(169),
  highU16: unary(170),
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
  anyTrue: (a: V128) => new I32([a.code, simd(83)]),
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

/** 0 … n-1. */
export const range = (n: number): number[] => Array.from({ length: n }, (_, k) => k);
