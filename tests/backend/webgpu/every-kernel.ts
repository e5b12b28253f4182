/** Calls that together ask for every kernel in every dtype and variant. What they give means nothing. */

import type { AttentionLayout, Operand } from "../../../src/backend/kernels.js";
import type { WebGpuBackend } from "../../../src/backend/webgpu/backend.js";
import type { Gpu } from "../../../src/backend/webgpu/gpu.js";
import { LARGEST_HEAD } from "../../../src/backend/webgpu/kernels/attention.js";
import { wgsl } from "../../../src/backend/webgpu/shader.js";
import { type DType, dtypes } from "../../../src/core/dtype.js";
import * as expr from "../../../src/core/expr.js";
import * as functions from "../../../src/core/functions.js";

type EveryKernel = readonly [
  name: string,
  calls: (device: WebGpuBackend, out: (...shape: number[]) => Operand) => void,
];

const all = Object.keys(dtypes) as DType[];
const lane = (dtype: DType): expr.LaneType =>
  dtypes[dtype].kind === "float" ? "f32" : dtype === "bool" ? "bool" : "i32";

export const everyKernel: readonly EveryKernel[] = [
  [
    "elementwise programs of every operation, dtype and kind of broadcast",
    (device, out) => {
      const f = expr.input(0);
      const i = expr.input(0, "i32");
      const b = expr.input(0, "bool");
      const floats = [
        ...[expr.neg, expr.abs, expr.sqrt, expr.floor, expr.ceil, expr.trunc, expr.nearest].map((op) => op(f)),
        ...Object.values(functions).flatMap((op) => (op.length === 1 ? [(op as (x: expr.Expr) => expr.Expr)(f)] : [])),
        functions.pow(f, expr.constant(Number.NaN)),
        expr.madd(f, Number.NEGATIVE_INFINITY, -0),
        expr.mul(f, expr.scalar(0)),
        expr.toF32(expr.xor(expr.ge(f, 1), expr.le(f, 2))),
        expr.bitsToF32(expr.or(expr.bitsToI32(f), expr.constant(-2147483648, "i32"))),
      ];
      const ints = [
        expr.neg(i),
        expr.shl(i, 3),
        expr.shr(i, 3),
        expr.shrU(i, 3),
        expr.min(i, 3),
        expr.toI32(expr.toF32(i)),
      ];
      const bools = [expr.not(b), expr.and(b, b), expr.select(b, b, expr.not(b))];
      const run = (value: expr.Expr, from: DType, into: DType, shape: number[], last = 5) => {
        const [x, y] = [
          { ...out(...shape), dtype: from },
          { ...out(4, 6, last), dtype: into },
        ];
        device.kernels.elementwise(expr.program(value), [x], [y], [1]);
      };
      for (const shape of [[4, 6, 5], [1], [5], [6, 1], [4, 1, 5]]) {
        for (const from of all) {
          const same = expr.input(0, lane(from));
          run(expr.toF32(same), from, "float32", shape);
          if (lane(from) === "f32") run(same, from, from, shape);
        }
      }
      // Four lanes have neighbours of a repeated tensor, or one element.
      for (const shape of [[8], [6, 1], [4, 1, 8]])
        for (const from of all) run(expr.toF32(expr.input(0, lane(from))), from, "float32", shape, 8);
      for (const value of floats) run(value, "float32", "float32", [4, 6, 5]);
      for (const value of ints) run(value, "int32", "uint8", [4, 6, 5]);
      for (const value of bools) run(value, "bool", "bool", [4, 6, 5]);
    },
  ],

  [
    "copies, reductions, indexing, rows, random numbers",
    (device, out) => {
      const { kernels: k } = device;
      const i32 = (...shape: number[]): Operand => ({ ...out(...shape), dtype: "int32" });
      for (const dtype of all) {
        const typed = (...shape: number[]): Operand => ({ ...out(...shape), dtype });
        k.fill(typed(9), 1);
        for (let rank = 1; rank <= 6; rank++) {
          const shape = new Array(rank).fill(2);
          const strides = shape.map((_, d) => 3 ** (rank - d));
          const copy = { shape, inputOffset: 0, inputStrides: strides, outputOffset: 1, outputStrides: strides };
          k.stridedCopy(typed(3000), typed(3000), copy);
        }
        if (device.storedWeights!.includes(dtype))
          k.indexSelect(typed(5, 3), i32(7), out(7, 3), { outer: 1, size: 5, inner: 3, count: 7 });
        k.gather(typed(2, 5, 3), i32(2, 7, 3), typed(2, 7, 3), { outer: 2, size: 5, inner: 3, count: 7 });
        k.indexSelect(typed(2, 5, 4), i32(7), typed(2, 7, 4), { outer: 2, size: 5, inner: 4, count: 7 });
      }
      for (const dtype of ["float32", "int32"] as const) {
        const typed = (...shape: number[]): Operand => ({ ...out(...shape), dtype });
        for (const split of [
          { outer: 2, size: 500, inner: 1 },
          { outer: 2, size: 1500, inner: 3 },
          { outer: 2, size: 2100, inner: 1 },
        ]) {
          const x = typed(2, 1500, 3);
          for (const kind of ["sum", "prod", "max", "min"] as const) k.reduce(kind, x, typed(6), split);
          for (const kind of ["argmax", "argmin"] as const) k.argReduce(kind, x, i32(6), split);
          k.cumsum(x, typed(2, 1500, 3), split);
          for (const descending of [true, false]) k.sort(x, typed(6), i32(6), split, { descending, count: 1 });
        }
        for (const inner of [3, 4]) {
          const split = { outer: 2, size: 5, inner, count: 7 };
          k.indexAdd(i32(7), typed(2, 7, inner), typed(2, 5, inner), split);
          k.scatterAdd(i32(2, 7, inner), typed(2, 7, inner), typed(2, 5, inner), split);
        }
      }
      for (const size of [70, 128, 1001, 5000]) {
        const rows = { rows: 9, size, eps: 1e-5, ignoreIndex: -100 };
        const wide = () => out(9, size);
        for (const log of [true, false]) {
          k.softmax(wide(), wide(), { ...rows, log });
          k.softmaxBackward(wide(), wide(), wide(), { ...rows, log });
        }
        for (const w of [undefined, out(size)]) {
          for (const b of [undefined, out(size)]) {
            k.layerNorm(wide(), w, b, wide(), out(9), out(9), rows);
            k.layerNormBackward(wide(), wide(), w, out(9), out(9), wide(), w, b, rows);
          }
          k.rmsNorm(wide(), w, wide(), out(9), rows);
          k.rmsNormBackward(wide(), wide(), w, out(9), wide(), w, rows);
        }
        k.crossEntropy(wide(), i32(9), out(9), out(9), rows);
        k.crossEntropyBackward(wide(), i32(9), out(9), out(9), wide(), rows);
      }
      const call = { key0: 1, key1: 2, call: 3 };
      k.randomUniform(out(9), call);
      k.dropout(out(9), out(9), call, 5, 2);
    },
  ],

  [
    "updates of many tensors, with as many bindings as each device allows",
    (device, out) => {
      const [p, g, m, scale] = [0, 1, 2, 3].map((i) => expr.input(i));
      const moment = expr.madd(expr.mul(g, scale), expr.scalar(0), m);
      const momentum = expr.program(expr.madd(moment, expr.scalar(1), p), moment);
      const double = expr.program(expr.mul(expr.input(0), 2));
      for (const size of [5, 5000]) {
        const calls = Array.from({ length: 15 }, () => {
          const [parameter, grad, buffer] = [out(size), out(size), out(size)];
          return { inputs: [parameter, grad, buffer], outputs: [parameter, buffer], scalars: [1, 2] };
        });
        device.kernels.elementwiseMany!(momentum, calls, [out()]);
        const alone = calls.map(({ inputs: [, grad] }) => ({ inputs: [grad], outputs: [grad], scalars: [] }));
        device.kernels.elementwiseMany!(double, alone, []);
      }
    },
  ],

  [
    "matrix products in every layout, few rows, small and large tiles",
    (device, out) => {
      const flags = [false, true];
      for (const [m, n, k] of [
        [1, 16, 8],
        [3, 15, 7],
        [4, 20, 2048],
        [1, 1540, 520],
        [64, 64, 64],
        [65, 66, 67],
        [129, 130, 131],
        [2048, 1024, 4],
      ]) {
        const [a, b, y, bias] = [out(m, k), out(k, n), out(m, n), out(n)];
        for (const transposeA of flags)
          for (const transposeB of flags)
            for (const accumulate of flags)
              for (const biased of flags) {
                const layout = { m, n, k, transposeA, transposeB, accumulate, batchA: [0], batchB: [0] };
                device.kernels.matmul(a, b, y, biased ? { ...layout, bias } : layout);
                for (const dtype of device.storedWeights!) {
                  if (!biased) continue;
                  device.kernels.matmul(a, { ...b, dtype }, y, { ...layout, bias });
                  device.kernels.matmul({ ...a, dtype }, { ...b, dtype }, y, { ...layout, bias });
                }
              }
      }
      for (const [m, n, k] of [
        [8, 12, 20],
        [9, 13, 20],
        [200, 300, 20],
        [64, 64, 9000],
        [65, 65, 9000],
      ])
        for (const of of ["a", "b"] as const) {
          const layout = { m, n, k, transposeA: true, transposeB: false, batchA: [0], batchB: [0] };
          const sums = out(of === "a" ? m : n);
          device.kernels.matmulAndSums!(out(k, m), out(k, n), out(m, n), sums, layout, of);
          device.kernels.matmul(out(k, m), out(k, n), out(m, n), { ...layout, bias: out(n), accumulate: true });
        }
      device.kernels.matmul(out(3, 0), out(0, 4), out(3, 4), {
        ...{ m: 3, n: 4, k: 0, transposeA: false, transposeB: false, batchA: [0], batchB: [0] },
        bias: out(4),
      });
    },
  ],

  [
    "matrix products with an activation, or added to another tensor",
    (device, out) => {
      const [x, y] = [expr.input(0), expr.input(1)];
      const activation = expr.program(expr.mul(x, functions.sigmoid(expr.mul(x, expr.scalar(0)))));
      const sum = expr.program(expr.add(y, x));
      for (const [m, n, k] of [
        [1, 16, 8],
        [4, 20, 2048],
        [1, 1540, 520],
        [64, 64, 64],
        [2048, 1024, 4],
      ])
        for (const bias of [undefined, out(n)]) {
          const [a, b, made, other, finished] = [out(m, k), out(k, n), out(m, n), out(m, n), out(m, n)];
          const layout = { m, n, k, transposeA: false, transposeB: false, batchA: [0], batchB: [0] };
          const product = () => device.kernels.matmul(a, b, made, bias ? { ...layout, bias } : layout);
          product();
          device.kernels.elementwise(activation, [made], [finished], [1.702]);
          product();
          device.kernels.elementwise(sum, [made, other], [finished], []);
        }
    },
  ],

  [
    "products of a row that is normed first, with an activation",
    (device, out) => {
      const activation = expr.program(functions.sigmoid(expr.input(0)));
      for (const [n, k] of [
        [16, 8],
        [2304, 768],
        [1540, 2048],
      ])
        for (const vector of [undefined, out(k)]) {
          const [a, b, normed, made, finished] = [out(1, k), out(k, n), out(1, k), out(1, n), out(1, n)];
          const layout = { m: 1, n, k, transposeA: false, transposeB: false, batchA: [0], batchB: [0] };
          const options = { rows: 1, size: k, eps: 1e-5 };
          device.kernels.layerNorm(a, vector, vector, normed, out(1), out(1), options);
          device.kernels.matmul(normed, b, made, layout);
          device.kernels.elementwise(activation, [made], [finished], []);
        }
    },
  ],

  ...[1, 6, 8, 20, 32, 64, 80, 96, 128, 160, 256, LARGEST_HEAD].map(
    (dim): EveryKernel => [
      `attention of heads ${dim} wide`,
      (device, out) => {
        for (const gap of [0, 1]) {
          const place = { offset: 0, batch: 40 * dim, head: 10 * dim + gap, row: dim + gap };
          const shape = { batch: 1, heads: 2, kvHeads: 1, queries: 5, keys: 7, dim, scale: 1, causal: true };
          const layout: AttentionLayout = { ...shape, q: place, k: place, v: place, out: place };
          const t = () => out(100 * dim);
          const lse = out(10);
          device.kernels.attention(t(), t(), t(), t(), lse, layout);
          for (const keys of [7, 1000]) {
            device.kernels.attention(t(), t(), t(), t(), lse, { ...layout, queries: 1, keys });
            device.kernels.cachedAttention!(t(), t(), t(), lse, { ...layout, queries: 1, keys });
          }
          device.kernels.attentionBackward(t(), t(), t(), t(), lse, t(), t(), t(), t(), layout);
          // Gradients side by side in one tensor, as those of packed q, k and v.
          const packed = t();
          device.kernels.attentionBackward(t(), t(), t(), t(), lse, t(), packed, packed, packed, layout);
        }
      },
    ],
  ),
];

/** What a device's compiler has against the kernels used so far, with each buffer bound by two ranges. */
export async function refusedByRanges(gpu: Gpu): Promise<string[]> {
  const modules = gpu.sources().map((source) => {
    const own = source.buffers.map((_, i) => i);
    const counts = source.buffers.map(({ inStep, type }) => (inStep || type.startsWith("atomic") ? 1 : 2));
    const code = wgsl(source, own, gpu.abilities, { counts, bytes: 4096 });
    return { name: source.name, module: gpu.device.createShaderModule({ code }) };
  });
  const refused: string[] = [];
  for (const { name, module } of modules) {
    const { messages } = await module.getCompilationInfo();
    refused.push(...messages.filter(({ type }) => type === "error").map(({ message }) => `${name}: ${message}`));
  }
  return refused;
}
