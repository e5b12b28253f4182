/** Kernels of elements, copies, sums, indices and random numbers on the graphics card beside the reference backend. */

import { describe, expect, test } from "vitest";
import type { Operand } from "../../../src/backend/kernels.js";
import { type DType, dtypes } from "../../../src/core/dtype.js";
import * as expr from "../../../src/core/expr.js";
import * as functions from "../../../src/core/functions.js";
import { contiguousStrides } from "../../../src/core/shape.js";
import { empty, noise, operand } from "../operands.js";
import { type Body, card, compare, gpu, plain } from "./beside.js";
import { readValues } from "./device.js";

const special = [
  0,
  -0,
  1,
  -1,
  0.5,
  -2.5,
  3.5,
  1e-3,
  100,
  -100,
  1e20,
  Infinity,
  -Infinity,
  NaN,
  65504,
  65520,
  1e-7,
  6e-5,
];
const all: readonly DType[] = ["float32", "float16", "bfloat16", "int32", "uint8", "bool"];
const lane = (dtype: DType): expr.LaneType =>
  dtypes[dtype].kind === "float" ? "f32" : dtype === "bool" ? "bool" : "i32";
const to = { f32: expr.toF32, i32: expr.toI32, bool: expr.toBool };

describe.skipIf(!gpu)("kernels beside the reference", () => {
  test.each(all.flatMap((from) => all.map((into) => [from, into] as const)))("%s becomes %s", (from, into) => {
    const program = expr.program(to[lane(into)](expr.input(0, lane(from))));
    // What lies outside of uint8 wraps in the reference and is undefined nowhere, but floats come as int32 first.
    const values = dtypes[from].kind === "float" ? special : [0, 1, 2, 127, 128, 255, 3];
    return compare(0, (kernels, make, out) => {
      const x = make(values, undefined, from);
      const y = out(x.shape, into);
      kernels.elementwise(program, [x], [y], []);
      return [y];
    });
  });

  test.each([
    [[7], [7]],
    [[3, 5], [5]],
    [
      [3, 5],
      [3, 1],
    ],
    [
      [2, 3, 4, 5],
      [3, 1, 5],
    ],
    [
      [2, 3, 4, 5],
      [2, 1, 4, 1],
    ],
    [[2, 3], [1]],
    [[130, 66], [66]],
    [[3, 8], [8]],
    [
      [2, 3, 8],
      [3, 1],
    ],
    [
      [2, 3, 4, 8],
      [3, 1, 8],
    ],
    [
      [5, 3, 12],
      [5, 1, 12],
    ],
  ])("shape %j with %j broadcast into it", async (shape, small) => {
    const size = (of: number[]) => of.reduce((a, b) => a * b, 1);
    for (const [dtype, on] of [
      ["float32", gpu!],
      ["float16", gpu!],
      ["bfloat16", card!],
      ["bool", card!],
    ] as const) {
      const program = expr.program(
        expr.sub(expr.input(0), expr.mul(expr.toF32(expr.input(1, lane(dtype))), expr.scalar(0))),
      );
      const body: Body = (kernels, make, out) => {
        const x = make(noise(size(shape)), shape);
        const y = make(noise(size(small), 2), small, dtype);
        const z = out(shape);
        kernels.elementwise(program, [x, y], [z], [3]);
        kernels.elementwise(program, [z, y], [z], [0.5]); // in place
        return [z];
      };
      await compare(1e-6, body, on);
    }
  });

  test("elementary functions, bits, comparisons and NaN", () => {
    const x = expr.input(0);
    const i = expr.input(1, "i32");
    const outputs = [
      ...[functions.exp, functions.log, functions.tanh, functions.erf, functions.sin, functions.log1p].map((f) => f(x)),
      expr.max(x, 0.25),
      expr.min(x, 0.25),
      expr.select(expr.and(expr.gt(x, 0), expr.ne(x, 1)), x, expr.neg(x)),
      expr.nearest(x),
    ];
    const ints = [expr.shrU(i, 3), expr.shr(i, 1), expr.mul(i, 77), expr.xor(i, 255), expr.max(i, -5)];
    return compare(2e-6, (kernels, make, out) => {
      const values = make(special);
      const words = make(special.map((_, n) => (n - 5) * 123456789));
      const list = outputs.map((output) => {
        const result = out(values.shape);
        kernels.elementwise(expr.program(output), [values], [result], []);
        return result;
      });
      const more = ints.map((output) => {
        const integer = make(
          special.map((_, n) => (n - 5) * 12345678),
          undefined,
          "int32",
        );
        const result = out(words.shape, "int32");
        kernels.elementwise(expr.program(output), [values, integer], [result], []);
        return result;
      });
      return [...list, ...more];
    });
  });

  test.each(all)("fill and strided copies of %s, partial words included", (dtype) =>
    compare(0, (kernels, make, out) => {
      const x = make(
        Array.from({ length: 60 }, (_, i) => i % 7),
        [3, 4, 5],
        dtype,
      );
      const target = out([5, 7, 3], dtype);
      kernels.fill(target, 1);
      const place = { outputOffset: 1, outputStrides: [1, 7, 3].map((n) => n * 3) };
      kernels.stridedCopy(x, target, { shape: [3, 2, 2], inputOffset: 7, inputStrides: [-2, 5, 20], ...place });
      const whole = out([3, 4, 5], dtype);
      const strides = contiguousStrides([3, 4, 5]);
      const same = { inputOffset: 0, inputStrides: strides, outputOffset: 0, outputStrides: strides };
      kernels.stridedCopy(x, whole, { shape: [3, 4, 5], ...same });
      return [target, whole];
    }),
  );

  test.each([
    [1, 1, 1],
    [3, 31, 1],
    [3, 33, 1],
    [2, 5000, 1],
    [1, 9001, 1],
    [4, 7, 5],
    [2, 300, 65],
  ])("reductions of %i x %i x %i", async (outer, size, inner) => {
    const split = { outer, size, inner };
    for (const [kind, dtype] of [
      ["sum", "float32"],
      ["max", "float32"],
      ["min", "int32"],
      ["sum", "int32"],
      ["prod", "float32"],
    ] as const) {
      const values = noise(outer * size * inner).map((x) =>
        kind === "prod" ? 1 + x / 1000 : x * (dtype === "int32" ? 50 : 1),
      );
      const reduced: Body = (kernels, make, out) => {
        const y = out([outer, inner], dtype);
        kernels.reduce(
          kind,
          make(
            values.map((x) => (dtype === "int32" ? Math.trunc(x) : x)),
            [outer, size, inner],
            dtype,
          ),
          y,
          split,
        );
        return [y];
      };
      for (const on of [gpu!, plain!, card!]) await compare(2e-5, reduced, on);
    }
    const rough = noise(outer * size * inner).map((x) => Math.round(x * 3));
    rough[rough.length >> 1] = Number.NaN;
    const ordered: Body = (kernels, make, out) => {
      const x = make(rough, [outer, size, inner]);
      const [most, least, total] = [out([outer, inner], "int32"), out([outer, inner], "int32"), out(x.shape)];
      kernels.argReduce("argmax", x, most, split);
      kernels.argReduce("argmin", x, least, split);
      kernels.cumsum(x, total, split);
      const count = Math.min(size, 5);
      const [values, indices] = [out([outer, count, inner]), out([outer, count, inner], "int32")];
      kernels.sort(x, values, indices, split, { descending: true, count });
      return [most, least, total, values, indices];
    };
    for (const on of [gpu!, card!]) await compare(1e-5, ordered, on);
  });

  test.each([
    [1, 9001, 1],
    [3, 257, 2],
    [2, 1025, 3],
    [300, 5, 40],
  ])("order and running totals of %i x %i x %i, with many equals", (outer, size, inner) =>
    compare(0, (kernels, make, out) => {
      const shape = [outer, size, inner];
      const split = { outer, size, inner };
      const values = noise(outer * size * inner).map((x) => Math.round(x * 20));
      const x = make(
        values.map((v, i) => (i % 97 === 5 ? Number.NaN : i % 31 === 3 ? -0 : v)),
        shape,
      );
      const whole = make(values, shape, "int32");
      const made: Operand[] = [];
      for (const [of, dtype] of [
        [x, "float32"],
        [whole, "int32"],
      ] as const) {
        for (const descending of [true, false]) {
          for (const count of [size, 3]) {
            const [sorted, positions] = [out([outer, count, inner], dtype), out([outer, count, inner], "int32")];
            kernels.sort(of, sorted, positions, split, { descending, count });
            made.push(sorted, positions);
          }
        }
      }
      const [sums, floatSums] = [out(shape, "int32"), out(shape)];
      kernels.cumsum(whole, sums, split);
      kernels.cumsum(make(values, shape), floatSums, split);
      return [...made, sums, floatSums];
    }),
  );

  test.each(all)("gather and select of %s", (dtype) =>
    compare(0, (kernels, make, out) => {
      const x = make(
        Array.from({ length: 2 * 5 * 3 }, (_, i) => i % 9),
        [2, 5, 3],
        dtype,
      );
      const own = make(
        Array.from({ length: 2 * 7 * 3 }, (_, i) => (i * 3) % 5),
        [2, 7, 3],
        "int32",
      );
      const rows = make([4, 0, 0, 3], [4], "int32");
      const [a, b] = [out([2, 7, 3], dtype), out([2, 4, 3], dtype)];
      kernels.gather(x, own, a, { outer: 2, size: 5, inner: 3, count: 7 });
      kernels.indexSelect(x, rows, b, { outer: 2, size: 5, inner: 3, count: 4 });
      return [a, b];
    }),
  );

  test.each([3, 8])("adding at indices, columns of %i", (inner) =>
    compare(0, (kernels, make) => {
      const rows = make([4, 0, 0, 3, 4, 4], [6], "int32");
      const own = make(
        Array.from({ length: 2 * 6 * inner }, (_, i) => (i * 7) % 5),
        [2, 6, inner],
        "int32",
      );
      const source = make(noise(2 * 6 * inner), [2, 6, inner]);
      const [a, b] = [make(noise(2 * 5 * inner, 2), [2, 5, inner]), make(noise(2 * 5 * inner, 3), [2, 5, inner])];
      kernels.indexAdd(rows, source, a, { outer: 2, size: 5, inner, count: 6 });
      kernels.scatterAdd(own, source, b, { outer: 2, size: 5, inner, count: 6 });
      return [a, b];
    }),
  );

  test("a line longer than a launch may walk is added in order", () =>
    compare(0, (kernels, make) => {
      const count = 2 ** 16 + 5;
      const index = make(
        Array.from({ length: count }, (_, i) => (i * 7) % 3),
        [count],
        "int32",
      );
      const sums = make(noise(3, 2), [3]);
      kernels.scatterAdd(index, make(noise(count), [count]), sums, { outer: 1, size: 3, inner: 1, count });
      return [sums];
    }));

  test.each([1, 15, 16, 17, 83])("adding %i rows of 4, chains of equal indices across blocks", async (count) => {
    const size = 200;
    for (const of of [(i: number) => (i * i) % 19, (i: number) => 199 - i, () => 7]) {
      const body: Body = (kernels, make) => {
        const rows = make(
          Array.from({ length: count }, (_, i) => of(i)),
          [count],
          "int32",
        );
        const sums = make(noise(size * 4, 2), [1, size, 4]);
        kernels.indexAdd(rows, make(noise(count * 4), [1, count, 4]), sums, { outer: 1, size, inner: 4, count });
        return [sums];
      };
      for (const on of [gpu!, card!]) await compare(0, body, on);
    }
  });

  test("the squares of many tensors are summed in few launches, the same bits each time", async () => {
    const lists = Array.from({ length: 25 }, (_, i) => noise(1 + i * i * 17, i));
    const expected = lists.reduce((sum, list) => list.reduce((part, x) => part + x * x, sum), 0);
    for (const on of [gpu!, card!]) {
      const tensors = lists.map((list) => operand(on, list));
      const before = on.gpu.counters.dispatches;
      const sums = [empty(on, []), empty(on, [])];
      for (const sum of sums) on.kernels.sumOfSquares!(tensors, sum);
      expect(on.gpu.counters.dispatches - before).toBeLessThanOrEqual(2 * 5);
      const [[first], [second]] = await Promise.all(sums.map((sum) => readValues(on, sum)));
      expect(Math.abs(first / expected - 1)).toBeLessThan(1e-5);
      expect(second).toBe(first);
      for (const { storage } of [...tensors, ...sums]) storage.release();
    }
  });

  test("uniforms and dropout are those of the CPU, bit for bit", () =>
    compare(0, (kernels, make, out) => {
      const call = { key0: 0xdeadbeef, key1: 0x12345678, call: 7 };
      const [uniforms, x] = [out([1001]), make(noise(1001))];
      kernels.randomUniform(uniforms, call);
      const kept = [0, 1, 2 ** 31, 3e9, 2 ** 32].map((threshold) => {
        const y = out([1001]);
        kernels.dropout(x, y, call, threshold, 2);
        return y;
      });
      return [uniforms, ...kept];
    }));
});
