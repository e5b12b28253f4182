/**
 * What each operation of an expression means, as plain loops over `n` lanes. Storing into a Float32Array rounds to
 * float32 and storing into an Int32Array wraps to 32 bits, so every loop rounds once per operation: float64 holds the
 * sum, product, quotient and square root of two float32 closely enough that rounding twice changes nothing.
 * Bool lanes are 0 or 1 in an Int32Array.
 */

import type { ExprOp } from "../../core/expr.js";

type Loop<Out, In> = (n: number, out: Out, a: In, b: In, c: In) => void;
export type FloatLoop = Loop<Float32Array, Float32Array>;
export type IntLoop = Loop<Int32Array, Int32Array>;
export type FloatCompare = Loop<Int32Array, Float32Array>;

const { fround } = Math;

/** The nearest integer, ties to even; the sign of zero stays. 2^52 + a leaves no room for a fraction. */
function nearestEven(x: number): number {
  const a = Math.abs(x);
  const rounded = a < 2 ** 23 ? a + 2 ** 52 - 2 ** 52 : a;
  return x < 0 || Object.is(x, -0) ? -rounded : rounded;
}

/** Toward zero; values outside int32 become the nearest int32, NaN becomes 0. */
const toInt32 = (x: number): number => (x >= 2147483647 ? 2147483647 : x <= -2147483648 ? -2147483648 : x | 0);

/** float32 lanes to float32 lanes. */
export const floatLoops: { readonly [op in ExprOp]?: FloatLoop } = {
  neg(n, out, a) {
    for (let i = 0; i < n; i++) out[i] = -a[i];
  },
  abs(n, out, a) {
    for (let i = 0; i < n; i++) out[i] = Math.abs(a[i]);
  },
  sqrt(n, out, a) {
    for (let i = 0; i < n; i++) out[i] = Math.sqrt(a[i]);
  },
  floor(n, out, a) {
    for (let i = 0; i < n; i++) out[i] = Math.floor(a[i]);
  },
  ceil(n, out, a) {
    for (let i = 0; i < n; i++) out[i] = Math.ceil(a[i]);
  },
  trunc(n, out, a) {
    for (let i = 0; i < n; i++) out[i] = Math.trunc(a[i]);
  },
  nearest(n, out, a) {
    for (let i = 0; i < n; i++) out[i] = nearestEven(a[i]);
  },
  add(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = a[i] + b[i];
  },
  sub(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = a[i] - b[i];
  },
  mul(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = a[i] * b[i];
  },
  div(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = a[i] / b[i];
  },
  // Math.min and Math.max give NaN for NaN and order -0 before +0, as the contract asks.
  min(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = Math.min(a[i], b[i]);
  },
  max(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = Math.max(a[i], b[i]);
  },
  madd(n, out, a, b, c) {
    for (let i = 0; i < n; i++) out[i] = fround(a[i] * b[i]) + c[i];
  },
};

/** int32 lanes to int32 lanes; `and`, `or` and `xor` serve bool lanes too. */
export const intLoops: { readonly [op in ExprOp]?: IntLoop } = {
  neg(n, out, a) {
    for (let i = 0; i < n; i++) out[i] = -a[i];
  },
  abs(n, out, a) {
    for (let i = 0; i < n; i++) out[i] = Math.abs(a[i]);
  },
  not(n, out, a) {
    for (let i = 0; i < n; i++) out[i] = 1 - a[i];
  },
  add(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = a[i] + b[i];
  },
  sub(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = a[i] - b[i];
  },
  mul(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = Math.imul(a[i], b[i]);
  },
  min(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = Math.min(a[i], b[i]);
  },
  max(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = Math.max(a[i], b[i]);
  },
  and(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = a[i] & b[i];
  },
  or(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = a[i] | b[i];
  },
  xor(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = a[i] ^ b[i];
  },
  shl(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = a[i] << b[i];
  },
  shr(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = a[i] >> b[i];
  },
  shrU(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = a[i] >>> b[i];
  },
};

/** Comparisons of float32 lanes; all but `ne` are false when an operand is NaN. */
export const floatCompares: { readonly [op in ExprOp]?: FloatCompare } = {
  lt(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = a[i] < b[i] ? 1 : 0;
  },
  le(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = a[i] <= b[i] ? 1 : 0;
  },
  gt(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = a[i] > b[i] ? 1 : 0;
  },
  ge(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = a[i] >= b[i] ? 1 : 0;
  },
  eq(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = a[i] === b[i] ? 1 : 0;
  },
  ne(n, out, a, b) {
    for (let i = 0; i < n; i++) out[i] = a[i] !== b[i] ? 1 : 0;
  },
};

/** The same comparisons read int32 lanes; the text of a loop does not depend on its arrays. */
export const intCompares = floatCompares as unknown as { readonly [op in ExprOp]?: IntLoop };

/** Bits of b where the condition (a) holds, else of c: the same for every lane type. */
export const selectLoop: IntLoop = (n, out, a, b, c) => {
  for (let i = 0; i < n; i++) out[i] = a[i] ? b[i] : c[i];
};

/** The same 32 bits under another type. */
export const bitsLoop: IntLoop = (n, out, a) => {
  for (let i = 0; i < n; i++) out[i] = a[i];
};

/** float32 of int32 or bool lanes. */
export const toF32Loop: Loop<Float32Array, Int32Array> = (n, out, a) => {
  for (let i = 0; i < n; i++) out[i] = a[i];
};

/** int32 of float32 lanes. */
export const toI32Loop: Loop<Int32Array, Float32Array> = (n, out, a) => {
  for (let i = 0; i < n; i++) out[i] = toInt32(a[i]);
};
