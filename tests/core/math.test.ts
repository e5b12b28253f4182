import { describe, expect, test } from "vitest";
import * as portable from "../../src/core/math.js";

/** The engine's own functions are the oracle here: they may differ in the last bits, never by more. */
const cases: [name: keyof typeof portable & keyof Math, points: number[]][] = [
  ["exp", [-745, -700, -20.5, -1, -1e-9, 0, 1e-9, 0.5, 1, 2, 10, 88.7, 300, 709]],
  ["log", [1e-310, 1e-300, 1e-9, 0.1, 0.5, 0.71, 0.999999, 1, 1.0000001, 1.5, 2, 10, 12345.678, 1e300]],
  ["sin", [-1000, -3, -0.1, 0, 1e-8, 0.5, 1, Math.PI / 2, 2, Math.PI, 4, 6, 100]],
  ["cos", [-1000, -3, -0.1, 0, 1e-8, 0.5, 1, Math.PI / 2, 2, Math.PI, 4, 6, 100]],
  ["tanh", [-30, -2, -0.5, 0, 0.1, 1, 5, 25]],
];

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
  });
});
