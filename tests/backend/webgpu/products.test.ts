/** Matrix products on the graphics card beside the reference backend, on shapes around the edges of their tiles. */

import { describe, expect, test } from "vitest";
import { ENOUGH_TILES } from "../../../src/backend/webgpu/matmul/product.js";
import { type DType, decode, encode } from "../../../src/core/dtype.js";
import { noise } from "../operands.js";
import { type Body, card, compare, gpu, plain, reference } from "./beside.js";

describe.skipIf(!gpu)("products beside the reference", () => {
  const sizes = [
    [1, 1, 1],
    [1, 20, 64],
    [3, 33, 17],
    [4, 16, 8],
    [5, 5, 5],
    [16, 65, 12],
    [63, 64, 65],
    [66, 130, 33],
    [132, 136, 20],
  ];
  const flags = [
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ];
  /** A product that is added to what is there, with a bias. */
  const added =
    (
      m: number,
      n: number,
      k: number,
      transposeA: boolean,
      transposeB: boolean,
      { holes = [], stored = "float32", count = 1 }: { holes?: readonly number[]; stored?: DType; count?: number } = {},
    ): Body =>
    (kernels, make) => {
      const left = noise(2 * m * k, 1);
      const right = noise(3 * n * k, 2).map((value) => decode(stored, encode(stored, value)));
      for (const row of holes) for (let i = 0; i < k; i++) left[m * k + (transposeA ? i * m + row : row * k + i)] = NaN;
      for (const column of holes)
        for (let i = 0; i < k; i++) right[2 * n * k + (transposeB ? column * k + i : i * n + column)] = NaN;
      const a = make(left, [2, m * k]);
      const b = make(right, [3, n * k], kernels === reference.kernels ? "float32" : stored);
      const [bias, y] = [make(noise(n, 3)), make(noise(count * m * n, 4), [count, m, n])];
      // In a stack, every other product is of matrices without holes.
      const [batchA, batchB] = [1, 2].map((last) =>
        Array.from({ length: count }, (_, z) => last - ((count - 1 - z) % 2)),
      );
      const layout = { m, n, k, transposeA, transposeB, batchA, batchB, accumulate: true };
      kernels.matmul(a, b, y, { ...layout, bias });
      return [y];
    };
  /** Products of broadcast stacks. */
  const stacks =
    (m: number, n: number, k: number, transposeA: boolean, transposeB: boolean): Body =>
    (kernels, make, out) => {
      const [a, b] = [make(noise(2 * m * k, 1), [2, m * k]), make(noise(3 * n * k, 2), [3, n * k])];
      const y = out([6, m, n]);
      const layout = { m, n, k, transposeA, transposeB };
      kernels.matmul(a, b, y, { ...layout, batchA: [0, 0, 0, 1, 1, 1], batchB: [0, 1, 2, 0, 1, 2] });
      return [y];
    };
  test.each(sizes)("products of %i x %i over %i, transposed in all ways", async (m, n, k) => {
    const place = sizes.findIndex((size) => size[0] === m);
    for (const [transposeA, transposeB] of flags) {
      // How a kernel loads and how it stores are texts that do not know of each other; each takes time to compile.
      const add = (transposeA !== transposeB) === (place % 2 === 0);
      // Large tiles take longest.
      if (m * n >= 128 * 128 && transposeA !== add) continue;
      await compare(1e-5, (add ? added : stacks)(m, n, k, transposeA, transposeB));
    }
  });

  /** A product of two matrices with the sums of one of them; on the reference, a product and a reduction. */
  const gradients =
    (m: number, n: number, k: number, of: "a" | "b"): Body =>
    (kernels, make, out) => {
      const [a, b] = [make(noise(k * m, 1), [k, m]), make(noise(k * n, 2), [k, n])];
      const [y, sums] = [out([m, n]), out([of === "a" ? m : n])];
      const layout = { m, n, k, transposeA: true, transposeB: false, batchA: [0], batchB: [0] };
      if (kernels.matmulAndSums) kernels.matmulAndSums(a, b, y, sums, layout, of);
      else {
        kernels.matmul(a, b, y, layout);
        kernels.reduce("sum", of === "a" ? a : b, sums, { outer: 1, size: k, inner: sums.size });
      }
      return [y, sums];
    };
  test.each([
    [3, 9, 20],
    [24, 40, 33],
    [66, 70, 65],
    [5, 6, 8200],
  ])("a product of %i x %i over %i with the sums of a side", async (m, n, k) => {
    const tolerance = 5e-6 * Math.sqrt(k); // sums of k terms that cancel
    await compare(tolerance, gradients(m, n, k, "a"));
    await compare(tolerance, gradients(m, n, k, "b"));
  });

  // A software adapter takes seconds to compile one of these, so each tile has a layout of its own (the smallest one that of
  // the product cut into parts, below); the null adapter compiles all of them (shaders.test.ts).
  test.each([
    [8, 8, 68, 132, 20, true, false],
    [8, 4, 132, 36, 20, false, false],
    [4, 8, 35, 130, 17, false, true],
  ])(
    "stacks fill a card with tiles of %i x %i: %i x %i over %i (%s, %s)",
    async (rows, columns, m, n, k, transposeA, transposeB) => {
      // Each has two tiles. Kernels read beyond the edges of matrices; what lies there, other rows, must not count.
      const body = added(m, n, k, transposeA, transposeB, { count: ENOUGH_TILES / 2, holes: [0, 1, 7, 34] });
      await compare(1e-5, body, card!);
      const { code } = card!.gpu.sources().at(-1)!;
      expect(code.match(/var t\d_\d = /g)).toHaveLength((rows * columns) / 4);
    },
  );

  test.each([
    [20, 68, 20, false, true],
    [132, 68, 20, true, false],
  ])("products of %i x %i over %i without subgroups", (m, n, k, transposeA, transposeB) =>
    compare(1e-5, added(m, n, k, transposeA, transposeB), plain!),
  );

  test("more workgroups than one dim of a launch has room for", () => {
    const count = 70_000;
    const all = Array.from({ length: count }, (_, i) => i);
    const layout = { m: 1, n: 3, k: 1, transposeA: false, transposeB: false, batchA: all, batchB: [...all].fill(0) };
    return compare(0, (kernels, make, out) => {
      const y = out([count, 1, 3]);
      kernels.matmul(make(noise(count), [count, 1, 1]), make(noise(3, 2), [1, 1, 3]), y, layout);
      return [y];
    });
  });

  test.each([
    [3, 33, 36, false, true, "float32"],
    [1, 20, 1030, false, false, "float32"],
    [2, 1540, 520, false, false, "float32"],
    [3, 24, 2052, false, true, "float32"],
    [4, 35, 20, true, true, "float32"],
    [2, 20, 2000, false, true, "float16"],
    [3, 18, 1000, false, true, "bfloat16"],
    [4, 7, 1004, false, true, "bfloat16"],
    [1, 36, 1028, false, false, "float16"],
    [2, 6, 1001, false, true, "float16"],
    // So few steps that a workgroup has fewer threads than its columns have parts.
    [4, 1540, 100, false, false, "float32"],
    [3, 21, 17, false, false, "bfloat16"],
  ] as const)("%i rows with %i x %i by slices of k (%s, %s, %s)", async (m, n, k, transposeA, transposeB, dtype) => {
    const tolerance = 3e-6 * Math.sqrt(k) + 1e-5; // sums of k terms that cancel
    await compare(tolerance, added(m, n, k, transposeA, transposeB, { stored: dtype }), card!);
    if (m * n < 100 && k < 2000 && dtype === "float32")
      await compare(tolerance, stacks(m, n, k, transposeA, transposeB), card!);
  });

  test("long products of few tiles are cut into parts, the same bits each time", async () => {
    const runs: number[][] = [];
    for (let run = 0; run < 2; run++) await compare(3e-4, gradients(20, 70, 2100, "b"), card!, runs);
    expect(runs.slice(2)).toEqual(runs.slice(0, 2));
    await compare(1e-3, added(8, 12, 8200, false, true));
  });

  test("irregular stacks go one by one, no terms give the bias", async () => {
    await compare(1e-5, (kernels, make, out) => {
      const [x, y] = [out([3, 5, 6]), out([5, 6])];
      const layout = { m: 5, n: 6, k: 4, transposeA: false, transposeB: false };
      kernels.matmul(make(noise(60), [3, 5, 4]), make(noise(72), [3, 4, 6]), x, {
        ...layout,
        batchA: [2, 0, 1],
        batchB: [1, 1, 0],
      });
      const none = { ...layout, k: 0, batchA: [0], batchB: [0], bias: make(noise(6)) };
      kernels.matmul(make([], [5, 0]), make([], [0, 6]), y, none);
      return [x, y];
    });
  });

  test("products of a stack of 150,000 small matrices", () =>
    compare(1e-6, (kernels, make, out) => {
      const count = 150_000;
      const all = Array.from({ length: count }, (_, i) => i);
      const [a, b, y] = [make(noise(count)), make(noise(count, 2)), out([count])];
      const layout = { m: 1, n: 1, k: 1, transposeA: false, transposeB: false };
      kernels.matmul(a, b, y, { ...layout, batchA: all, batchB: all });
      return [y];
    }));
});
