import { describe, expect, test } from "vitest";
import * as portable from "../../src/core/math.js";
import { Sha256 } from "../../src/core/sha256.js";

/** The engine's own functions are the oracle here: they may differ in the last bits, never by more. */
const cases: [name: keyof typeof portable & keyof Math, points: number[]][] = [
  ["exp", [-745, -700, -20.5, -1, -1e-9, 0, 1e-9, 0.5, 1, 2, 10, 88.7, 300, 709]],
  ["log", [1e-310, 1e-300, 1e-9, 0.1, 0.5, 0.71, 0.999999, 1, 1.0000001, 1.5, 2, 10, 12345.678, 1e300]],
  ["sin", [-1000, -3, -0.1, 0, 1e-8, 0.5, 1, Math.PI / 2, 2, Math.PI, 4, 6, 100]],
  ["cos", [-1000, -3, -0.1, 0, 1e-8, 0.5, 1, Math.PI / 2, 2, Math.PI, 4, 6, 100]],
  ["tanh", [-30, -2, -0.5, 0, 0.1, 1, 5, 25]],
];

/** How many numbers lie between two; 0 for two infinities or NaN. */
function unitsApart(a: number, b: number): number {
  if (Object.is(a, b)) return 0;
  const [x, y] = new BigInt64Array(Float64Array.of(Math.abs(a), Math.abs(b)).buffer);
  return Math.abs(Number(Math.sign(a) === Math.sign(b) ? x - y : x + y));
}

describe("portable float64 functions", () => {
  for (const [name, points] of cases) {
    test(`${name} is within 1e-14 of the engine's`, () => {
      for (const x of points) {
        const expected = (Math[name] as (x: number) => number)(x);
        // biome-ignore lint/performance/noDynamicNamespaceImportAccess: a test has no bundle to keep small
        const got = (portable[name] as (x: number) => number)(x);
        expect(Math.abs(got - expected), `${name}(${x})`).toBeLessThanOrEqual(
          1e-14 * Math.max(1, Math.abs(expected)) + 1e-322,
        );
      }
    });
  }
  test.each([
    ["exp", -745.2, 709.79, 1],
    ["exp", -745.2, -744, 1],
    ["exp", 708, 709.79, 1],
    ["log", 0, 1e-307, 2],
    ["log", 0.5, 2, 2],
    ["log", 0, Number.MAX_VALUE, 2],
  ] as const)("%s from %d to %d is within %d units in the last place of the engine's", (name, from, to, most) => {
    for (let i = 0; i <= 50_000; i++) {
      const x = from + (i / 50_000) * (to - from);
      // biome-ignore lint/performance/noDynamicNamespaceImportAccess: a test has no bundle to keep small
      const [got, expected] = [portable[name](x), Math[name](x)];
      if (unitsApart(got, expected) > most) expect(got, `${name}(${x})`).toBe(expected);
    }
  });
  test("the bits are those of the first version", () => {
    const { exp, log, sin, cos, tanh, pow } = portable;
    const bits: number[] = [];
    for (let i = -5000; i <= 5000; i++) {
      const x = (i / 7) * (i % 2 === 0 ? 1 : 1e-3);
      const positive = Math.abs(x) + 1e-310;
      bits.push(
        x > 709.5 && x < 709.78 ? Number.POSITIVE_INFINITY : exp(x), // which the first version took for too large
        log(positive),
        log(positive * 1e200),
        sin(x),
        cos(x),
        sin(x * 1e3),
        tanh(x),
        pow(positive, 0.3),
      );
    }
    for (const x of [0, -0, 1e300, -1e300, Math.PI / 4, 3 * (Math.PI / 4), 0.49999999999999994 * (Math.PI / 2)])
      bits.push(sin(x), cos(x), exp(x), log(x));
    const hash = new Sha256()
      .update(new Uint8Array(Float64Array.from(bits, (x) => (Number.isNaN(x) ? 7 : x)).buffer))
      .digest();
    expect(hash).toBe("99ce8110a425ad733a8c15b5ca666f3c0ca5c6a967cfc4432588211f6fa1a339");
  });
  test("limits and NaN", () => {
    expect(portable.exp(Number.NEGATIVE_INFINITY)).toBe(0);
    expect(portable.exp(1000)).toBe(Number.POSITIVE_INFINITY);
    expect(portable.exp(Number.NaN)).toBeNaN();
    expect(portable.log(0)).toBe(Number.NEGATIVE_INFINITY);
    expect(portable.log(-1)).toBeNaN();
  });
  test("pow", () => {
    expect(portable.pow(2, 10)).toBe(1024);
    expect(portable.pow(0.9, 3)).toBeCloseTo(0.729, 14);
    expect(portable.pow(2, -2)).toBe(0.25);
    expect(portable.pow(2, 0.5)).toBeCloseTo(Math.SQRT2, 14);
    expect(portable.pow(0, Number.NaN)).toBeNaN();
    for (const [base, exponent] of [
      [2, -1074],
      [2, -1075],
      [-2, -1073],
      [10, -310],
      [1.5, -1800],
      [0, -3],
      [1e-308, -2],
      [Number.POSITIVE_INFINITY, -1],
      // Far below the least number, in no more steps than the exponent has bits.
      [1e300, -(2 ** 31)],
      [-3, 1 - 2 ** 31],
      [-3, -10001],
      [-3, -10003],
      [Number.NEGATIVE_INFINITY, -(2 ** 30) - 1],
      [Number.NaN, -(2 ** 31)],
    ])
      expect(portable.pow(base, exponent), `${base}^${exponent}`).toBe(base ** exponent);
  });
});
