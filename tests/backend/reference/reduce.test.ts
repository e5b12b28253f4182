import { describe, expect, test } from "vitest";
import { createReferenceBackend } from "../../../src/backend/reference/backend.js";
import { sum } from "../../../src/backend/reference/reduce.js";
import type { DType } from "../../../src/core/dtype.js";
import { empty, noise, operand, valuesOf } from "../operands.js";

const backend = createReferenceBackend();
const { kernels } = backend;
const { NaN: nan } = Number;

describe("the canonical sum", () => {
  test("element j goes to lane j % 16", () => {
    // In index order 2^24 would swallow the ones; lane 0 does swallow element 16, lane 1 keeps elements 1 and 17.
    const x = new Float32Array(18);
    x[0] = 2 ** 24;
    x[16] = 1;
    x[1] = 1;
    x[17] = 1;
    expect(sum(x)).toBe(2 ** 24 + 2);
  });

  test("lanes fold in halves, 8 first", () => {
    // (l0 + l8) + (l4 + l12) …: -2^24 cancels 2^24 before 1 is added only because lane 8 folds onto lane 0.
    const x = new Float32Array(16);
    x[0] = 2 ** 24;
    x[8] = -(2 ** 24);
    x[4] = 1;
    expect(sum(x)).toBe(1);
    const y = new Float32Array(16);
    y[0] = 2 ** 24;
    y[8] = 1;
    y[4] = -(2 ** 24);
    expect(sum(y)).toBe(0);
  });

  test("blocks of 4096 in a pairwise tree", () => {
    const blocks = [2 ** 24, 1, 1, 1, -(2 ** 24)];
    const x = new Float32Array(5 * 4096);
    blocks.forEach((value, b) => {
      x[b * 4096] = value;
    });
    // ((2^24 + 1) + (1 + 1)) + -2^24 = (2^24 + 2) - 2^24
    expect(sum(x)).toBe(2);
  });

  test("close to float64, and the same through a stride", () => {
    const x = noise(10_000);
    const exact = x.reduce((a, b) => a + b, 0);
    expect(Math.abs(sum(x) - exact)).toBeLessThan(1e-3);
    const spread = new Float32Array(30_000);
    x.forEach((value, i) => {
      spread[3 * i + 1] = value;
    });
    expect(sum(spread, 1, 10_000, 3)).toBe(sum(x));
    expect(sum(new Float32Array(0))).toBe(0);
  });
});

describe("reductions of the middle dim", () => {
  const split = { outer: 2, size: 3, inner: 2 };
  const values = [1, 2, 3, 4, 5, 6, -1, 7, nan, 8, 2, -9];
  const reduce = (kind: "sum" | "prod" | "max" | "min", from = values, dtype: DType = "float32") => {
    const out = empty(backend, [2, 2], dtype);
    kernels.reduce(kind, operand(backend, from, [2, 3, 2], dtype), out, split);
    return valuesOf(backend, out);
  };

  test("float32: NaN stays", () => {
    expect(reduce("sum")).toEqual([9, 12, nan, 6]);
    expect(reduce("prod")).toEqual([15, 48, nan, -504]);
    expect(reduce("max")).toEqual([5, 6, nan, 8]);
    expect(reduce("min")).toEqual([1, 2, nan, -9]);
  });

  test("int32 wraps", () => {
    const ints = [2147483647, 1, 1, 1, 0, 1, 65537, 2, 65537, 2, 1, 2];
    expect(reduce("sum", ints, "int32")).toEqual([-2147483648, 3, 131075, 6]);
    expect(reduce("prod", ints, "int32")).toEqual([0, 1, 131073, 8]);
  });

  test("no elements", () => {
    const out = empty(backend, [1]);
    kernels.reduce("sum", operand(backend, []), out, { outer: 1, size: 0, inner: 1 });
    expect(valuesOf(backend, out)).toEqual([0]);
    kernels.reduce("prod", operand(backend, []), out, { outer: 1, size: 0, inner: 1 });
    expect(valuesOf(backend, out)).toEqual([1]);
  });

  test("argReduce: first of equals, first NaN before all", () => {
    const arg = (kind: "argmax" | "argmin", row: number[]) => {
      const out = empty(backend, [1], "int32");
      kernels.argReduce(kind, operand(backend, row), out, { outer: 1, size: row.length, inner: 1 });
      return valuesOf(backend, out)[0];
    };
    expect(arg("argmax", [1, 3, 3, 2])).toBe(1);
    expect(arg("argmin", [2, 1, 1])).toBe(1);
    expect(arg("argmax", [1, nan, 9, nan])).toBe(1);
    expect(arg("argmin", [1, -9, nan])).toBe(2);
    expect(arg("argmax", [-0, 0])).toBe(0);
  });

  test("cumsum", () => {
    const out = empty(backend, [2, 3, 2]);
    kernels.cumsum(operand(backend, [1, 2, 3, 4, 5, 6, 1, 1, 1, 1, 1, 1], [2, 3, 2]), out, split);
    expect(valuesOf(backend, out)).toEqual([1, 2, 4, 6, 9, 12, 1, 1, 2, 2, 3, 3]);
  });
});

describe("sort", () => {
  const sort = (row: number[], descending: boolean, count = row.length, inner = 1) => {
    const out = empty(backend, [count]);
    const indices = empty(backend, [count * inner], "int32");
    const values = {
      ...out,
      shape: [count * inner],
      size: count * inner,
      storage: empty(backend, [count * inner]).storage,
    };
    const split = { outer: 1, size: row.length / inner, inner };
    kernels.sort(operand(backend, row), values, indices, split, { descending, count });
    return [valuesOf(backend, values), valuesOf(backend, indices)];
  };
  test("equal elements keep the lower index first, NaN is largest", () => {
    expect(sort([2, 1, 2, nan, 1], false)).toEqual([
      [1, 1, 2, 2, nan],
      [1, 4, 0, 2, 3],
    ]);
    expect(sort([2, 1, 2, nan, 1], true)).toEqual([
      [nan, 2, 2, 1, 1],
      [3, 0, 2, 1, 4],
    ]);
    expect(sort([0, -0], false)[1]).toEqual([0, 1]);
  });
  test("the first of many, along an outer dim", () => {
    expect(sort([5, 1, 4, 9, 6, 2], true, 2, 2)).toEqual([
      [6, 9, 5, 2],
      [2, 1, 0, 2],
    ]);
  });
});
