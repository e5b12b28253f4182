/** The float32 functions of core/functions.ts against float64: maximum relative errors, limits and special values. */

import { describe, expect, test } from "vitest";
import { rowFunction } from "../../src/backend/reference/interpreter.js";
import type { Expr } from "../../src/core/expr.js";
import { constant } from "../../src/core/expr.js";
import * as functions from "../../src/core/functions.js";

/** Smallest normal float32: below it relative error means nothing. */
const SMALLEST = 1.1754943508222875e-38;
const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

/** erf by its Maclaurin series below 3, by the continued fraction of erfc above. */
function erf64(x: number): number {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 3) {
    let term = x;
    let sum = x;
    for (let n = 1; n < 80; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = a;
  for (let n = 60; n > 0; n--) fraction = a + n / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-a * a) / (fraction * Math.sqrt(Math.PI)));
}

/** `count` float32 evenly spaced, and as many whose magnitudes are evenly spaced in the exponent, of both signs in range. */
function samples(low: number, high: number, count = 100_000): Float32Array {
  const linear = Array.from({ length: count }, (_, i) => low + ((high - low) * i) / (count - 1));
  const powers = Array.from({ length: count }, (_, i) => 2 ** (-126 + (254 * i) / count));
  const signed = [...powers, ...powers.map((x) => -x)].filter((x) => x >= low && x <= high);
  return Float32Array.from([...linear, ...signed]);
}

function maxError(build: (x: Expr) => Expr, exact: (x: number) => number, values: Float32Array, floor = SMALLEST) {
  const got = new Float32Array(values.length);
  rowFunction(build)(values, got);
  let worst = 0;
  let at = nan;
  values.forEach((x, i) => {
    const want = exact(x);
    if (Math.abs(want) < SMALLEST || Math.abs(want) > 3.4e38) return;
    const error = Math.abs(got[i] - want) / Math.max(Math.abs(want), floor);
    if (!(error <= worst)) {
      worst = error;
      at = x;
    }
  });
  return { worst, at };
}

const at = (build: (x: Expr) => Expr, ...x: number[]): number[] => {
  const values = Float32Array.from(x);
  rowFunction(build)(values);
  return [...values].map((y) => y + 0); // -0 becomes 0: the sign of zero is not promised
};

describe("maximum relative error against float64", () => {
  const cases: [string, (x: Expr) => Expr, (x: number) => number, number, number, number, number?][] = [
    ["exp", functions.exp, Math.exp, -87.33, 88.72, 2e-7],
    ["expNonPositive", functions.expNonPositive, Math.exp, -87.33, 0, 2e-7],
    ["log", functions.log, Math.log, SMALLEST, 3.4e38, 2e-7],
    ["log near 1", functions.log, Math.log, 0.5, 2, 2e-7],
    ["log1p", functions.log1p, Math.log1p, -0.9999, 100, 4e-7],
    ["log1p near 0", functions.log1p, Math.log1p, -0.01, 0.01, 4e-7],
    ["tanh", functions.tanh, Math.tanh, -10, 10, 3e-7],
    ["sigmoid", functions.sigmoid, (x) => 1 / (1 + Math.exp(-x)), -87, 88, 4e-7],
    ["erf", functions.erf, erf64, -5, 5, 6e-7],
    // Near a multiple of pi the result is the rounding of x itself: an absolute bound, relative to 1e-2.
    ["sin", functions.sin, Math.sin, -100, 100, 4e-7, 1e-2],
    ["cos", functions.cos, Math.cos, -100, 100, 4e-7, 1e-2],
    ["sin to 8192", functions.sin, Math.sin, -8192, 8192, 1e-6, 1],
    ["cos to 8192", functions.cos, Math.cos, -8192, 8192, 1e-6, 1],
    ["sin near 0", functions.sin, Math.sin, -0.78, 0.78, 2e-7],
    ["pow 2.5", (x) => functions.pow(x, constant(2.5)), (x) => x ** 2.5, 1e-3, 1e3, 1.6e-7],
    ["pow -0.75", (x) => functions.pow(x, constant(-0.75)), (x) => x ** -0.75, 1e-3, 1e3, 1.6e-7],
    ["2 to the x", (x) => functions.pow(constant(2), x), (x) => 2 ** x, -126, 127, 1.6e-7],
    ["pow 33.3", (x) => functions.pow(x, constant(33.3)), (x) => x ** Math.fround(33.3), 0.1, 14, 1.6e-7],
    ["pow 1e6 near 1", (x) => functions.pow(x, constant(1e6)), (x) => x ** 1e6, 0.9999, 1.00008, 1.6e-7],
    ["rsqrt", functions.rsqrt, (x) => 1 / Math.sqrt(x), SMALLEST, 3e38, 2e-7],
  ];
  test.each(cases)("%s", (_name, build, exact, low, high, bound, floor) => {
    const { worst, at } = maxError(build, exact, samples(low, high), floor);
    expect(worst, `worst at ${at}`).toBeLessThan(bound);
  });
});

describe("limits and special values", () => {
  test("exp", () => {
    expect(at(functions.exp, 0, -0, inf, -inf, nan, 1e-45, -1e-45)).toEqual([1, 1, inf, 0, nan, 1, 1]);
    expect(at(functions.exp, 88.73, 1e38, -87.34, -1e38)).toEqual([inf, inf, 0, 0]);
    const [big, small] = at(functions.exp, 88.7228, -87.33);
    expect(big).toBeGreaterThan(3.4e38);
    expect(small).toBeGreaterThan(SMALLEST);
    expect(at(functions.expNonPositive, 0, -0, -inf, nan, -88)).toEqual([1, 1, 0, nan, 0]);
  });

  test("log, log1p", () => {
    expect(at(functions.log, 1, 0, -0, inf, -1, -inf, nan)).toEqual([0, -inf, -inf, inf, nan, nan, nan]);
    expect(at(functions.log, 1e-45)[0]).toBeCloseTo(Math.log(Math.fround(1e-45)), 4);
    expect(at(functions.log1p, 0, -0, -1, inf, -2, nan, 1e-30)).toEqual([
      0,
      0,
      -inf,
      inf,
      nan,
      nan,
      Math.fround(1e-30),
    ]);
  });

  test("tanh, sigmoid, erf", () => {
    expect(at(functions.tanh, 0, -0, inf, -inf, nan, 1e-45)).toEqual([0, 0, 1, -1, nan, Math.fround(1e-45)]);
    expect(at(functions.sigmoid, 0, inf, -inf, nan)).toEqual([0.5, 1, 0, nan]);
    expect(at(functions.erf, 0, -0, nan)).toEqual([0, 0, nan]);
    for (const [x, y] of [
      [inf, 1],
      [-inf, -1],
      [5, 1],
    ]) {
      expect(at(functions.erf, x)[0]).toBeCloseTo(y, 6);
    }
  });

  test("sin, cos", () => {
    expect(at(functions.sin, 0, -0, inf, -inf, nan)).toEqual([0, 0, nan, nan, nan]);
    expect(at(functions.cos, 0, -0, inf, nan)).toEqual([1, 1, nan, nan]);
  });

  test("pow", () => {
    const pow = (x: number, y: number) => at((e) => functions.pow(e, constant(y)), x)[0];
    for (const [x, y] of [
      [0, 0],
      [nan, 0],
      [1, nan],
      [1, inf],
      [0, 2],
      [0, 2.5],
      [-0, 2],
      [0, -1],
      [0, -2],
      [inf, 2],
      [inf, -2],
      [inf, -0.5],
      [-2, 0.5],
      [nan, 2],
      [2, nan],
      [-1, 2],
      [-1, 3],
      [-3, 1],
      [0.5, inf],
      [2, inf],
      [2, -inf],
      [2, 200],
      [2, -200],
      [1e-45, 0.5],
      [3.4e38, -0.5],
      [0, 0.5],
      [0, -0.5],
      [0, inf],
      [inf, 0.5],
      [inf, inf],
      [inf, -inf],
      [0.9, 3e38],
      [1.1, 3e38],
      [1.1, -3e38],
      [-2, 17],
      [-2, 16],
    ]) {
      // C's pow: 1^y = 1 even for NaN and infinities, where JavaScript's ** gives NaN.
      const want = Math.fround(x === 1 ? 1 : Math.fround(x) ** y);
      if (Number.isFinite(want) && want !== 0) expect(pow(x, y) / want, `${x} ** ${y}`).toBeCloseTo(1, 6);
      else expect(pow(x, y), `${x} ** ${y}`).toBe(want);
    }
    // Whole exponents up to 15 multiply: exact where the result is.
    for (let y = -15; y <= 15; y++) {
      for (const x of [-2, 0.5, 3, -1]) {
        if (Number.isInteger(x ** y) || Math.abs(x) !== 3) expect(pow(x, y), `${x} ** ${y}`).toBe(Math.fround(x ** y));
        else expect(pow(x, y) / x ** y).toBeCloseTo(1, 6);
      }
    }
    expect(pow(-0, -3)).toBe(Number.NEGATIVE_INFINITY);
    expect(pow(-1, 17)).toBe(-1);
    expect(pow(-1, 1e9)).toBe(1);
  });

  test("a NaN with any payload stays NaN", () => {
    const payload = new Float32Array(new Uint32Array([0x7fc00001, 0xffc12345, 0x7fffffff]).buffer);
    const { exp, expNonPositive, log, tanh, erf, sin, cos, sigmoid, log1p } = functions;
    for (const build of [exp, expNonPositive, log, tanh, erf, sin, cos, sigmoid, log1p]) {
      const values = payload.slice();
      rowFunction(build)(values);
      expect([...values], build.name).toEqual([nan, nan, nan]);
    }
  });
});
