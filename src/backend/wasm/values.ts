/**
 * Typed WebAssembly values. A value is the code that leaves it on the stack, so expressions compose like ordinary
 * arithmetic; a value used twice is computed twice, unless it was put into a local (`f.let`). Operators of vectors are
 * in vectors.ts.
 */

import { type Code, floatBits, signed, unsigned } from "./encoding.js";

export type TypeName = "i32" | "f32" | "v128";

/** Type codes of the binary format. */
export const typeCode: Record<TypeName, number> = { i32: 0x7f, f32: 0x7d, v128: 0x7b };

/** A 32-bit integer, or a number written as a constant. */
export type IntLike = I32 | number;
/** A float32, or a number written as a constant. */
export type FloatLike = F32 | number;

/** A SIMD instruction. */
export const simd = (opcode: number, ...rest: Code): Code => [0xfd, ...unsigned(opcode), ...rest];
/** A memory operand: alignment hint (log2) and constant offset in bytes. */
const at = (align: number, offset: number): Code => [align, unsigned(offset)];

/** The code of an integer or integer constant. */
export const int = (x: IntLike): Code => (typeof x === "number" ? [0x41, signed(x)] : x.code);
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
  ge(other: IntLike): I32 {
    return this.binary(other, 0x4e);
  }
  /** Unsigned: for counts of bytes, which may lie above 2 GiB too. */
  geU(other: IntLike): I32 {
    return this.binary(other, 0x4f);
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
  /** The larger; NaN when either is NaN. */
  max(other: FloatLike): F32 {
    return this.binary(other, 0x97);
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

/** The code of a value, or of a constant of the given type. */
export const codeOf = (type: TypeName, value: Value | number): Code =>
  typeof value !== "number" ? value.code : type === "i32" ? int(value) : real(value);

/** 0 … n-1. */
export const range = (n: number): number[] => Array.from({ length: n }, (_, k) => k);
