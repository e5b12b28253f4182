/** Every kernel on the graphics card beside the reference backend, on shapes around the edges of its tiles. */

import { afterAll, describe, expect, test } from "vitest";
import type { AttentionLayout, Backend, Kernels, Operand } from "../../../src/backend/backend.js";
import { createReferenceBackend } from "../../../src/backend/reference/backend.js";
import { findAdapter, openDevice } from "../../../src/backend/webgpu/adapter.js";
import { backendOn, type WebGpuBackend } from "../../../src/backend/webgpu/backend.js";
import { Gpu } from "../../../src/backend/webgpu/gpu.js";
import { LARGEST_HEAD } from "../../../src/backend/webgpu/kernels/attention.js";
import {
  linearCrossEntropy,
  linearCrossEntropyBackward,
} from "../../../src/backend/webgpu/kernels/linear-cross-entropy.js";
import { softwareKernels } from "../../../src/backend/webgpu/software/kernels.js";
import { byteSize, type DType, decode, dtypes, encode } from "../../../src/core/dtype.js";
import * as expr from "../../../src/core/expr.js";
import * as functions from "../../../src/core/functions.js";
import { contiguousStrides } from "../../../src/core/shape.js";
import { softwareGpu } from "../../setup/webgpu.js";
import { empty, noise, operand } from "../operands.js";

/**
 * A device of the test's own; `software: false` gives the kernels that real graphics cards get, `without` those of
 * devices that lack a feature.
 */
async function open(software: boolean, without: readonly GPUFeatureName[] = []): Promise<WebGpuBackend | null> {
  const entry = await softwareGpu();
  if (!entry) return null;
  const found = await findAdapter(entry);
  if ("reason" in found) throw new Error(found.reason);
  return backendOn(new Gpu(await openDevice(found, { without }), software ? { software: softwareKernels } : {}), found);
}

const reference = createReferenceBackend();
const gpu = await open(true);
const card = await open(false);
const plain = await open(true, ["subgroups", "shader-f16"]);
afterAll(() => {
  plain?.destroy();
  gpu?.destroy();
  card?.destroy();
});

async function valuesOf(backend: Backend, of: Operand): Promise<number[]> {
  const bytes = await backend.read(of.storage.handle, byteSize(of.dtype, of.size));
  return Array.from(new dtypes[of.dtype].array(bytes.buffer, 0, of.size), (stored) => decode(of.dtype, stored));
}

type Make = (values: Iterable<number>, shape?: readonly number[], dtype?: DType) => Operand;
type Body = (kernels: Kernels, make: Make, out: (shape: readonly number[], dtype?: DType) => Operand) => Operand[];

/** Runs a body on both backends; the results may differ by `tolerance`, relative to 1 or the larger value. */
async function compare(
  tolerance: number,
  body: Body,
  on: WebGpuBackend = gpu!,
  /** Takes what the graphics card gave. */
  keep: number[][] = [],
): Promise<void> {
  const results = [];
  for (const backend of [reference, on]) {
    const made: Operand[] = [];
    const note = (o: Operand) => {
      made.push(o);
      return o;
    };
    const outputs = body(
      backend.kernels,
      (values, shape, dtype) => note(operand(backend, values, shape, dtype)),
      (shape, dtype) => note(empty(backend, shape, dtype)),
    );
    results.push(await Promise.all(outputs.map((output) => valuesOf(backend, output))));
    for (const { storage } of made) storage.release();
  }
  const [expected, got] = results;
  keep.push(...got);
  expected.forEach((list, o) => {
    for (let i = 0; i < list.length; i++) {
      const [e, g] = [list[i], got[o][i]];
      if (Object.is(e, g) || e === g) continue;
      const error = Math.abs(e - g) / Math.max(1, Math.abs(e));
      if (!(error <= tolerance)) expect.fail(`output ${o}, element ${i}: expected ${e}, got ${g}`);
    }
  });
}

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
      { holes = [], stored = "float32" }: { holes?: readonly number[]; stored?: DType } = {},
    ): Body =>
    (kernels, make) => {
      const left = noise(2 * m * k, 1);
      const right = noise(3 * n * k, 2).map((value) => decode(stored, encode(stored, value)));
      for (const row of holes) for (let i = 0; i < k; i++) left[m * k + (transposeA ? i * m + row : row * k + i)] = NaN;
      for (const column of holes)
        for (let i = 0; i < k; i++) right[2 * n * k + (transposeB ? column * k + i : i * n + column)] = NaN;
      const a = make(left, [2, m * k]);
      const b = make(right, [3, n * k], kernels === reference.kernels ? "float32" : stored);
      const [bias, y] = [make(noise(n, 3)), make(noise(m * n, 4), [m, n])];
      const layout = { m, n, k, transposeA, transposeB, batchA: [1], batchB: [2], accumulate: true };
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
    for (const [transposeA, transposeB] of flags) {
      // How a kernel loads and how it stores are texts that do not know of each other; large tiles take long to compile.
      const large = m * n >= 128 * 128;
      if (!large || transposeA === transposeB) await compare(1e-5, stacks(m, n, k, transposeA, transposeB));
      if (!large || transposeA !== transposeB) await compare(1e-5, added(m, n, k, transposeA, transposeB));
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

  // A software adapter takes seconds to compile one of these; the null adapter compiles all of them (shaders.test.ts).
  test.each([
    [66, 130, 33, false, true],
    [68, 132, 36, true, false],
  ])("products of %i x %i over %i through workgroup memory", (m, n, k, transposeA, transposeB) =>
    compare(1e-5, added(m, n, k, transposeA, transposeB), card!),
  );

  test.each([
    [66, 130, 33, false, true],
    [68, 132, 36, true, false],
  ])("products of %i x %i over %i keep NaN where it is", (m, n, k, transposeA, transposeB) =>
    // Kernels read beyond the edges of matrices; what lies there, other rows, must not count.
    compare(1e-5, added(m, n, k, transposeA, transposeB, { holes: [0, 1, 7, 65] }), card!),
  );

  test.each([
    [128, 68, 20, false, true],
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
    [4, 24, 2052, false, true, "float32"],
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
    if (m * n < 200 && dtype === "float32") await compare(tolerance, stacks(m, n, k, transposeA, transposeB), card!);
  });

  test("long products of few tiles are cut into parts, the same bits each time", async () => {
    const runs: number[][] = [];
    for (let run = 0; run < 2; run++) await compare(3e-4, gradients(20, 70, 2100, "b"), card!, runs);
    expect(runs.slice(2)).toEqual(runs.slice(0, 2));
    await compare(1e-3, added(8, 12, 8200, false, true));
  });

  test.each([
    [1200, 1300],
    [500, 1000],
    [500, 900],
    [40, 8100],
  ])("stacks of %i x %i fill a card with larger tiles", (m, n) =>
    compare(
      1e-5,
      (kernels, make, out) => {
        const k = 36;
        const y = out([2, m, n]);
        const layout = { m, n, k, transposeA: false, transposeB: false, batchA: [0, 0], batchB: [0, 0] };
        kernels.matmul(make(noise(m * k), [m, k]), make(noise(k * n), [k, n]), y, layout);
        return [y];
      },
      card!,
    ),
  );

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

  test.each([7, 700, 5003])("minus infinity and NaN in softmax and cross entropy of rows of %i", async (size) => {
    const filled = [Number.NEGATIVE_INFINITY, Number.NaN];
    const rows = filled.length * 3;
    // Nothing but one of them; one of them up to the last element; one of them in the middle.
    const values = filled.flatMap((odd) => [
      ...Array<number>(size).fill(odd),
      ...Array.from({ length: size }, (_, i) => (i < size - 1 ? odd : 2)),
      ...noise(size).map((x, i) => (i === size >> 1 ? odd : x)),
    ]);
    const body: Body = (kernels, make, out) => {
      const x = make(values, [rows, size]);
      const [soft, log, losses, lse] = [out(x.shape), out(x.shape), out([rows]), out([rows])];
      kernels.softmax(x, soft, { rows, size, log: false });
      kernels.softmax(x, log, { rows, size, log: true });
      const labels = make(Array<number>(rows).fill(size - 1), [rows], "int32");
      kernels.crossEntropy(x, labels, losses, lse, { rows, size, ignoreIndex: -100 });
      return [soft, log, losses, lse];
    };
    for (const on of [gpu!, card!]) await compare(2e-5, body, on);
  });

  test.each([
    [1, 1],
    [3, 7],
    [5, 64],
    [2, 300],
    [130, 12],
    [2, 768],
    [3, 1001],
    [2, 5003],
  ])("softmax, norms and cross entropy of %i rows of %i", async (rows, size) => {
    const body: Body = (kernels, make, out) => {
      const shape = [rows, size];
      const [x, g, w, b] = [
        make(noise(rows * size), shape),
        make(noise(rows * size, 2), shape),
        make(noise(size, 3)),
        make(noise(size, 4)),
      ];
      const o = Array.from({ length: 9 }, () => out(shape));
      const v = Array.from({ length: 6 }, () => out([rows]));
      const s = Array.from({ length: 4 }, () => out([size]));
      kernels.softmax(x, o[0], { rows, size, log: false });
      kernels.softmax(x, o[1], { rows, size, log: true });
      kernels.softmaxBackward(o[0], g, o[2], { rows, size, log: false });
      kernels.softmaxBackward(o[1], g, o[3], { rows, size, log: true });
      // With one column the variance is 0: a large epsilon keeps rounding from being all there is.
      kernels.layerNorm(x, w, b, o[4], v[0], v[1], { rows, size, eps: 0.1 });
      kernels.layerNormBackward(g, x, w, v[0], v[1], o[5], s[0], s[1], { rows, size });
      kernels.rmsNorm(x, undefined, o[6], v[2], { rows, size, eps: 0.1 });
      kernels.rmsNormBackward(g, x, w, v[2], o[7], s[2], { rows, size });
      const labels = make(
        Array.from({ length: rows }, (_, i) => (i % 3 === 1 ? -100 : (i * 7) % size)),
        [rows],
        "int32",
      );
      kernels.crossEntropy(x, labels, v[3], v[4], { rows, size, ignoreIndex: -100 });
      const grads = make(noise(rows, 6));
      kernels.crossEntropyBackward(x, labels, v[4], grads, o[8], { rows, size, ignoreIndex: -100 });
      return [...o, ...v.slice(0, 5), ...s.slice(0, 3)];
    };
    const runs: number[][][] = [[], [], [], []];
    for (const [run, on] of [gpu!, gpu!, plain!, card!].entries()) await compare(2e-5, body, on, runs[run]);
    expect(runs[1]).toEqual(runs[0]);
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

  test.each<[number, number, number, DType]>([
    [70, 33, 2 ** 24, "float32"],
    [70, 33, 33 * 65, "float32"],
    [5, 33, 70, "float32"],
    [0, 5, 5, "float32"],
    [70, 33, 2 ** 24, "float16"],
    [70, 33, 33 * 65, "bfloat16"],
    [5, 33, 70, "float16"],
  ])(
    "cross entropy of a linear map, %i rows of %i classes, blocks of %i logits, factors of %s",
    (rows, size, mostLogits, dtype) =>
      compare(2e-5, (kernels, make, out) => {
        const shape = { rows, size, width: 7, ignoreIndex: -100 };
        // The reference has the numbers of the 16 bits in 32.
        const factor = (count: number, seed: number) => {
          const values = noise(count * 7, seed).map((value) => decode(dtype, encode(dtype, value)));
          return make(values, [count, 7], kernels === reference.kernels ? "float32" : dtype);
        };
        const [x, weight, grad] = [factor(rows, 1), factor(size, 2), noise(rows, 3)];
        const classes = Array.from({ length: rows }, (_, i) => (i % 3 === 1 ? -100 : (i * 5) % size));
        const labels = make(classes, [rows], "int32");
        const [losses, lse, dX, dWeight] = [out([rows]), out([rows]), out([rows, 7]), out([size, 7])];
        const { linearCrossEntropy: forward, linearCrossEntropyBackward: backward } =
          kernels === reference.kernels
            ? kernels
            : {
                linearCrossEntropy: (...args: Parameters<typeof kernels.linearCrossEntropy>) =>
                  linearCrossEntropy(gpu!.gpu, ...args, mostLogits),
                linearCrossEntropyBackward: (...args: Parameters<typeof kernels.linearCrossEntropyBackward>) =>
                  linearCrossEntropyBackward(gpu!.gpu, ...args, mostLogits),
              };
        forward(x, weight, labels, losses, lse, shape);
        backward(x, weight, labels, lse, make(grad), dX, dWeight, shape);
        return [losses, lse, dX, dWeight];
      }),
  );

  test.each([
    { batch: 2, heads: 4, kvHeads: 2, queries: 17, keys: 17, dim: 8, causal: true },
    { batch: 1, heads: 2, kvHeads: 2, queries: 5, keys: 70, dim: 8, causal: true },
    { batch: 1, heads: 1, kvHeads: 1, queries: 40, keys: 33, dim: 7, causal: false },
    { batch: 2, heads: 2, kvHeads: 1, queries: 70, keys: 101, dim: 64, causal: true, card: true },
    { batch: 1, heads: 1, kvHeads: 1, queries: 3, keys: 20, dim: 85, causal: true },
    { batch: 1, heads: 2, kvHeads: 2, queries: 40, keys: 33, dim: 5, causal: false, card: true, forward: true },
    { batch: 2, heads: 3, kvHeads: 3, queries: 1, keys: 150, dim: 8, causal: true },
    { batch: 1, heads: 2, kvHeads: 1, queries: 1, keys: 600, dim: 7, causal: true },
    { batch: 2, heads: 2, kvHeads: 1, queries: 1, keys: 601, dim: 7, causal: true, card: true, forward: true },
    { batch: 1, heads: 4, kvHeads: 2, queries: 1, keys: 900, dim: 64, causal: true, card: true, forward: true },
    { batch: 1, heads: 1, kvHeads: 1, queries: 1, keys: 9, dim: 264, causal: true, forward: true },
  ])("attention $queries x $keys, $dim wide, $heads over $kvHeads heads", ({ card: onCard, forward, ...c }) =>
    compare(
      2e-5,
      (kernels, make, out) => {
        const { batch, heads, kvHeads, queries, keys, dim } = c;
        const place = (count: number, rows: number) => ({
          offset: 0,
          batch: count * rows * dim,
          head: dim,
          row: count * dim,
        });
        const [own, other] = [place(heads, queries), place(kvHeads, keys)];
        const layout: AttentionLayout = { ...c, scale: 0.3, q: own, k: other, v: other, out: own };
        const [large, small] = [batch * heads * queries * dim, batch * kvHeads * keys * dim];
        const [q, k, v, g] = [make(noise(large)), make(noise(small, 2)), make(noise(small, 3)), make(noise(large, 4))];
        const lse = out([batch * heads * queries]);
        const [y, dq, dk, dv] = [out([large]), out([large]), out([small]), out([small])];
        kernels.attention(q, k, v, y, lse, layout);
        if (forward) return [y, lse];
        kernels.attentionBackward(q, k, v, y, lse, g, dq, dk, dv, layout);
        return [y, lse, dq, dk, dv];
      },
      onCard ? card! : gpu!,
    ),
  );

  test("NaN and infinity among keys and values of a single query are seen, also in a part that counts for nothing", async () => {
    const [keys, dim] = [600, 8];
    const place = { offset: 0, batch: 0, head: 0, row: dim };
    const shape = { batch: 1, heads: 1, kvHeads: 1, queries: 1, keys, dim, scale: 1, causal: true };
    const layout = { ...shape, q: place, k: place, v: place, out: place };
    // The scores of the first keys are 0, of the others 400.
    const rising = Array.from({ length: keys * dim }, (_, i): number => (i < 256 * dim ? 0 : 50));
    const withNaN = rising.with(9 * dim, NaN);
    const infinite = [...noise(keys * dim, 3)].with((keys - 1) * dim, Infinity);
    const body: Body = (kernels, make, out) =>
      [withNaN, rising].flatMap((k) => {
        const [y, lse] = [out([dim]), out([1])];
        kernels.attention(make(Array<number>(dim).fill(1)), make(k), make(infinite), y, lse, layout);
        return [y, lse];
      });
    for (const on of [gpu!, card!]) await compare(2e-5, body, on);
  });

  test("a head that no kernel has room for is refused with the largest that one has", () => {
    const place = { offset: 0, batch: 0, head: 0, row: LARGEST_HEAD + 1 };
    const shape = {
      batch: 1,
      heads: 1,
      kvHeads: 1,
      queries: 2,
      keys: 2,
      dim: LARGEST_HEAD + 1,
      scale: 1,
      causal: true,
    };
    const x = operand(gpu!, noise(2 * shape.dim));
    const layout = { ...shape, q: place, k: place, v: place, out: place };
    expect(() => gpu!.kernels.attention(x, x, x, x, x, layout)).toThrow(
      "attention: needs a head size up to 512 on webgpu, got 513. Use more heads, or the cpu device.",
    );
    x.storage.release();
  });

  test("subgroups are used where the device has them, and a decode without them gives the same within rounding", async () => {
    expect(gpu!.gpu.device.features.has("subgroups")).toBe(
      ((await findAdapter((await softwareGpu())!)) as { adapter: GPUAdapter }).adapter.features.has("subgroups"),
    );
    expect(plain!.gpu.device.features.has("subgroups")).toBe(false);
    const place = { offset: 0, batch: 400 * 8, head: 8, row: 8 };
    const shape = { batch: 1, heads: 1, kvHeads: 1, queries: 1, keys: 400, dim: 8, scale: 0.3, causal: true };
    await compare(
      2e-5,
      (kernels, make, out) => {
        const [y, lse] = [out([8]), out([1])];
        const [q, k, v] = [make(noise(8)), make(noise(3200, 2)), make(noise(3200, 3))];
        kernels.attention(q, k, v, y, lse, { ...shape, q: place, k: place, v: place, out: place });
        return [y, lse];
      },
      plain!,
    );
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
      const [[first], [second]] = await Promise.all(sums.map((sum) => valuesOf(on, sum)));
      expect(Math.abs(first / expected - 1)).toBeLessThan(1e-5);
      expect(second).toBe(first);
      for (const { storage } of [...tensors, ...sums]) storage.release();
    }
  });

  test("random words, uniforms and dropout are those of the CPU, bit for bit", () =>
    compare(0, (kernels, make, out) => {
      const call = { key0: 0xdeadbeef, key1: 0x12345678, call: 7 };
      const [words, uniforms, x] = [out([1001], "int32"), out([1001]), make(noise(1001))];
      kernels.randomBits(words, call);
      kernels.randomUniform(uniforms, call);
      const kept = [0, 1, 2 ** 31, 3e9, 2 ** 32].map((threshold) => {
        const y = out([1001]);
        kernels.dropout(x, y, call, threshold, 2);
        return y;
      });
      return [words, uniforms, ...kept];
    }));
});
