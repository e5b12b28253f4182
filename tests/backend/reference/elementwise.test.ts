import { describe, expect, test } from "vitest";
import { createReferenceBackend } from "../../../src/backend/reference/backend.js";
import type { DType } from "../../../src/core/dtype.js";
import * as expr from "../../../src/core/expr.js";
import { empty, operand, valuesOf } from "../operands.js";

const backend = createReferenceBackend();
const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
const x = expr.input(0);
const y = expr.input(1);
const i = expr.input(0, "i32");
const j = expr.input(1, "i32");

/** Runs one expression; the first operand's shape is the output's unless one is given. */
function run(of: expr.Expr, inputs: [number[], DType?, number[]?][], dtype: DType = "float32", shape?: number[]) {
  const operands = inputs.map(([values, type, own]) => operand(backend, values, own, type));
  const output = empty(backend, shape ?? operands[0].shape, dtype);
  backend.kernels.elementwise(expr.program(of), operands, [output], []);
  return valuesOf(backend, output);
}

describe("what operations mean", () => {
  test("float32 results round once, madd twice", () => {
    expect(run(expr.add(x, y), [[[2 ** 24]], [[1]]])).toEqual([2 ** 24]);
    expect(run(expr.div(x, 3), [[[1]]])).toEqual([Math.fround(1 / 3)]);
    const a = Math.fround(1 + 2 ** -12);
    // a * a = 1 + 2^-11 + 2^-24: the product loses its last bit before 1 is taken away.
    expect(run(expr.madd(x, x, -1), [[[a]]])).toEqual([2 ** -11]);
  });

  test("min and max: NaN wins, -0 is below +0", () => {
    const pairs: [number[]][] = [[[nan, 1, 0, -0, 3, -inf]], [[1, nan, -0, 0, 2, inf]]];
    expect(run(expr.min(x, y), pairs)).toEqual([nan, nan, -0, -0, 2, -inf]);
    expect(run(expr.max(x, y), pairs)).toEqual([nan, nan, 0, 0, 3, inf]);
  });

  test("rounding keeps the sign of zero; ties go to even", () => {
    const values = [0.5, 1.5, 2.5, -0.5, -1.5, -0, 8388609, -0.3, inf, nan];
    expect(run(expr.nearest(x), [[values]])).toEqual([0, 2, 2, -0, -2, -0, 8388609, -0, inf, nan]);
    expect(run(expr.trunc(x), [[[-0.5, 1.7, -1.7]]])).toEqual([-0, 1, -1]);
    expect(run(expr.ceil(x), [[[-0.5, 1.2]]])).toEqual([-0, 2]);
    expect(run(expr.floor(x), [[[-0.5, 1.2]]])).toEqual([-1, 1]);
  });

  test("int32 wraps, shifts and converts", () => {
    expect(
      run(
        expr.add(i, j),
        [
          [[2147483647], "int32"],
          [[1], "int32"],
        ],
        "int32",
      ),
    ).toEqual([-2147483648]);
    expect(
      run(
        expr.mul(i, j),
        [
          [[65537], "int32"],
          [[65537], "int32"],
        ],
        "int32",
      ),
    ).toEqual([131073]);
    expect(run(expr.neg(i), [[[-2147483648], "int32"]], "int32")).toEqual([-2147483648]);
    expect(run(expr.abs(i), [[[-2147483648, -5], "int32"]], "int32")).toEqual([-2147483648, 5]);
    expect(run(expr.shr(i, 1), [[[-8], "int32"]], "int32")).toEqual([-4]);
    expect(run(expr.shrU(i, 28), [[[-1], "int32"]], "int32")).toEqual([15]);
    expect(run(expr.shl(i, 31), [[[3], "int32"]], "int32")).toEqual([-2147483648]);
    expect(run(expr.toI32(x), [[[nan, inf, -inf, 3e9, -2.9, 2.9]]], "int32")).toEqual([
      0, 2147483647, -2147483648, 2147483647, -2, 2,
    ]);
    expect(run(expr.toF32(i), [[[16777217], "int32"]])).toEqual([16777216]);
  });

  test("bits, comparisons and select", () => {
    expect(run(expr.bitsToI32(x), [[[1, -0]]], "int32")).toEqual([0x3f800000, -2147483648]);
    expect(run(expr.bitsToF32(i), [[[0x40490fdb], "int32"]])).toEqual([Math.fround(Math.PI)]);
    const pairs: [number[]][] = [[[1, 2, nan, 0]], [[2, 2, nan, -0]]];
    expect(run(expr.lt(x, y), pairs, "bool")).toEqual([1, 0, 0, 0]);
    expect(run(expr.eq(x, y), pairs, "bool")).toEqual([0, 1, 0, 1]);
    expect(run(expr.ne(x, y), pairs, "bool")).toEqual([1, 0, 1, 0]);
    expect(run(expr.not(expr.ge(x, y)), pairs, "bool")).toEqual([1, 0, 1, 0]);
    expect(run(expr.select(expr.gt(x, 0), x, 7), [[[-1, 3]]])).toEqual([7, 3]);
    const both = expr.xor(expr.input(0, "bool"), expr.input(1, "bool"));
    expect(
      run(
        both,
        [
          [[1, 0, 1], "bool"],
          [[1, 1, 0], "bool"],
        ],
        "bool",
      ),
    ).toEqual([0, 1, 1]);
    expect(run(expr.toF32(expr.gt(x, 0)), [[[-1, 3]]])).toEqual([0, 1]);
  });
});

describe("tensors", () => {
  test("inputs broadcast", () => {
    const row: [number[], DType, number[]] = [[10, 20, 30], "float32", [3]];
    const column: [number[], DType, number[]] = [[1, 2], "float32", [2, 1]];
    expect(run(expr.add(x, y), [row, column], "float32", [2, 3])).toEqual([11, 21, 31, 12, 22, 32]);
    expect(run(expr.mul(x, y), [row, [[2], "float32", []]], "float32", [3])).toEqual([20, 40, 60]);
  });

  test("16-bit floats are widened and rounded, uint8 wraps", () => {
    // 1 + 2^-11 lies between two float16 and goes to the even one, 1.
    expect(run(expr.mul(x, 1), [[[1 + 2 ** -11, 65536, -2]]], "float16")).toEqual([0x3c00, 0x7c00, 0xc000]);
    expect(run(expr.mul(x, 1), [[[1.00390625, -2]]], "bfloat16")).toEqual([0x3f80, 0xc000]);
    expect(run(expr.add(x, 1), [[[0.5, 2], "float16"]])).toEqual([1.5, 3]);
    expect(run(expr.add(x, 1), [[[0.5, 2], "bfloat16"]])).toEqual([1.5, 3]);
    expect(
      run(
        expr.add(i, j),
        [
          [[250], "uint8"],
          [[10], "uint8"],
        ],
        "uint8",
      ),
    ).toEqual([4]);
  });

  test("several outputs, scalars, and in place over more than one block", () => {
    const values = Array.from({ length: 1000 }, (_, k) => k);
    const a = operand(backend, values);
    const b = empty(backend, [1000]);
    const step = expr.program(expr.add(x, expr.scalar(0)), expr.mul(x, expr.scalar(1)));
    backend.kernels.elementwise(step, [a], [a, b], [0.5, 2]);
    expect(valuesOf(backend, a)).toEqual(values.map((v) => v + 0.5));
    expect(valuesOf(backend, b)).toEqual(values.map((v) => v * 2));
  });

  test("no elements", () => {
    expect(run(expr.neg(x), [[[], "float32", [0, 3]]])).toEqual([]);
  });
});

test("fill encodes for each dtype", () => {
  const filled = (dtype: DType, value: number) => {
    const out = empty(backend, [2], dtype);
    backend.kernels.fill(out, value);
    return valuesOf(backend, out);
  };
  expect(filled("float32", 0.1)).toEqual([Math.fround(0.1), Math.fround(0.1)]);
  expect(filled("float16", 1)).toEqual([0x3c00, 0x3c00]);
  expect(filled("bfloat16", 1)).toEqual([0x3f80, 0x3f80]);
  expect(filled("uint8", 257)).toEqual([1, 1]);
  expect(filled("bool", 5)).toEqual([1, 1]);
  expect(filled("int32", -3)).toEqual([-3, -3]);
});

test("stridedCopy transposes, repeats, flips and cuts", () => {
  const a = operand(backend, [1, 2, 3, 4, 5, 6], [2, 3]);
  const copy = (shape: number[], inputStrides: number[], inputOffset = 0) => {
    const out = empty(backend, shape);
    const outputStrides = shape.map((_, d) => shape.slice(d + 1).reduce((p, n) => p * n, 1));
    backend.kernels.stridedCopy(a, out, { shape, inputOffset, inputStrides, outputOffset: 0, outputStrides });
    return valuesOf(backend, out);
  };
  expect(copy([3, 2], [1, 3])).toEqual([1, 4, 2, 5, 3, 6]);
  expect(copy([2, 3], [0, 1])).toEqual([1, 2, 3, 1, 2, 3]);
  expect(copy([3], [-1], 2)).toEqual([3, 2, 1]);
  expect(copy([2, 2], [3, 1], 1)).toEqual([2, 3, 5, 6]);
});
