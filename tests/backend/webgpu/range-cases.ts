/** Calls of kernels on tensors above the limit of one binding, and devices that bind them whole or by ranges. */

import type { Kernels, Operand } from "../../../src/backend/kernels.js";
import { findAdapter, openDevice } from "../../../src/backend/webgpu/adapter.js";
import { backendOn, type WebGpuBackend } from "../../../src/backend/webgpu/backend.js";
import { Gpu } from "../../../src/backend/webgpu/gpu.js";
import { byteSize, type DType } from "../../../src/core/dtype.js";
import * as expr from "../../../src/core/expr.js";
import { softwareGpu } from "../../setup/webgpu.js";
import { noise, operand } from "../operands.js";
import { withBindingLimit } from "./proxies.js";

/** Bytes of one binding: 1,024 numbers. */
export const LIMIT = 4096;

/** A device with such kernels; none on a machine without a software GPU. */
export async function open(only: Gpu["only"], limit?: number): Promise<WebGpuBackend | undefined> {
  const gpu = await softwareGpu();
  if (!gpu) return undefined;
  const found = await findAdapter(gpu);
  if ("reason" in found) throw new Error(found.reason);
  const device = await openDevice(found);
  return backendOn(new Gpu(limit ? withBindingLimit(device, limit) : device, only), found);
}

type Make = (shape: readonly number[], seed?: number, dtype?: DType) => Operand;
type Body = (kernels: Kernels, make: Make, indices: (count: number, below: number) => Operand) => Operand[];

/** Bytes of everything that a body gives, on a device. */
export async function bytesOn(backend: WebGpuBackend, body: Body): Promise<Uint8Array[]> {
  const made: Operand[] = [];
  const note = (o: Operand) => {
    made.push(o);
    return o;
  };
  const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
  const indices = (count: number, below: number) => Array.from({ length: count }, (_, i) => (i * 37) % below);
  try {
    const outputs = body(
      backend.kernels,
      (shape, seed = 0, dtype = "float32") => note(operand(backend, noise(size(shape), seed), shape, dtype)),
      (count, below) => note(operand(backend, indices(count, below), [count], "int32")),
    );
    return await Promise.all(outputs.map((o) => backend.read(o.storage.handle, byteSize(o.dtype, o.size))));
  } finally {
    for (const { storage } of made) storage.release();
  }
}

const rows = { rows: 9, size: 260, eps: 1e-5, ignoreIndex: -100 };
const wide = [rows.rows, rows.size];
const product = { accumulate: false, batchA: [0], batchB: [0], transposeA: false, transposeB: false };
export const table: [string, Body, limit?: number][] = [
  [
    "rows of a table, and sums at them",
    (k, make, indices) => {
      const [ids, out, half] = [indices(50, 130), make([50, 12], 1), make([50, 12], 2)];
      const split = { outer: 1, size: 130, inner: 12, count: 50 };
      k.indexSelect(make([130, 12], 3), ids, out, split);
      k.indexSelect(make([260, 12], 4, "float16"), ids, half, { ...split, size: 260 });
      const [sums, each] = [make([130, 12], 5), make([130, 12], 6)];
      k.indexAdd(ids, make([50, 12], 7), sums, split);
      k.scatterAdd(indices(600, 130), make([50, 12], 8), each, split);
      const own = make([50, 12], 9);
      k.gather(make([130, 12], 3), indices(600, 130), own, split);
      return [out, half, sums, each, own];
    },
  ],
  ...([1, 9] as const).map((m): [string, Body] => [
    `products of ${m} rows, by and into tensors above the limit`,
    (k, make) => {
      const made: Operand[] = [];
      const n = 131;
      for (const transposeB of [false, true])
        for (const dtype of ["float32", transposeB ? "bfloat16" : "float16"] as const) {
          // 16 and 17 steps, so that a and b are read by vectors and by numbers.
          for (const steps of dtype === "float32" ? [16, 17] : [16]) {
            const out = make([m, n], 1);
            const [a, b] = [make([m, steps], 2), make([n, steps], 3, dtype)];
            const layout = { ...product, m, n, k: steps, transposeB, accumulate: steps === 17 };
            k.matmul(a, b, out, { ...layout, bias: make([n], 4) });
            made.push(out);
          }
        }
      // The gradients of a head: by the input and by the weight.
      const [dx, dw, sums] = [make([m, 16], 5), make([n, 16], 6), make([n], 7)];
      k.matmul(make([m, n], 8), make([n, 16], 9), dx, { ...product, m, n: 16, k: n });
      const layout = { ...product, m: n, n: 16, k: m, transposeA: true };
      k.matmulAndSums!(make([m, n], 8), make([m, 16], 9), dw, sums, layout, "a");
      return [...made, dx, dw, sums];
    },
  ]),
  [
    "a product of few results over many steps, in parts",
    (k, make) => {
      const out = make([5, 5], 1);
      k.matmul(make([5, 8200], 2), make([8200, 5], 3), out, { ...product, m: 5, n: 5, k: 8200 });
      return [out];
    },
    11 * LIMIT,
  ],
  [
    "cross entropy, of logits and of a linear map",
    (k, make, indices) => {
      const labels = indices(9, 260);
      const v = Array.from({ length: 4 }, () => make([9], 1));
      const [x, w, grad] = [make([9, 12], 2), make([260, 12], 3), make([9], 4)];
      const [dLogits, dX, dW] = [make(wide, 5), make([9, 12], 6), make([260, 12], 7)];
      k.crossEntropy(make(wide, 8), labels, v[0], v[1], rows);
      k.crossEntropyBackward(make(wide, 8), labels, v[1], grad, dLogits, rows);
      const shape = { ...rows, width: 12 };
      k.linearCrossEntropy(x, w, labels, v[2], v[3], shape);
      k.linearCrossEntropyBackward(x, w, labels, v[3], grad, dX, dW, shape);
      return [...v, dLogits, dX, dW];
    },
  ],
  [
    "rows: softmax and norms",
    (k, make) => {
      const [y, log, dy, norm, rms, v, s] = [0, 1, 2, 3, 4, 5, 6].map((i) => make(wide, i));
      k.softmax(v, y, { ...rows, log: false });
      k.softmax(v, log, { ...rows, log: true });
      k.softmaxBackward(y, s, dy, { ...rows, log: false });
      const [w, b, mean, rstd] = [make([260], 7), make([260], 8), make([9]), make([9])];
      k.layerNorm(v, w, b, norm, mean, rstd, rows);
      k.rmsNorm(v, w, rms, rstd, rows);
      return [y, log, dy, norm, rms, mean, rstd];
    },
  ],
  [
    "elementwise programs, in every way that an input comes, in place, and in small dtypes",
    (k, make) => {
      const [a, b, c] = [0, 1, 2].map((i) => expr.input(i));
      const out = make([130, 30], 1);
      const program = expr.program(expr.madd(a, b, expr.mul(c, expr.scalar(0))));
      k.elementwise(program, [make([130, 30], 2), make([30], 3), make([130, 1], 4)], [out], [0.5]);
      k.elementwise(program, [out, make([1], 5), out], [out], [1.5]);
      const [half, byte] = [make([130, 30], 6, "float16"), make([130, 30], 7, "uint8")];
      k.elementwise(expr.program(expr.mul(a, b)), [out, make([130, 30], 8, "bfloat16")], [half], []);
      k.elementwise(expr.program(expr.toI32(a)), [out], [byte], []);
      k.elementwise(expr.program(a), [make([5, 780], 9)], [make([2, 5, 780], 10)], []);
      return [out, half, byte];
    },
  ],
  [
    "filling, copying, reducing, random numbers",
    (k, make) => {
      const [filled, copied, picked, dropped, total] = [1, 2, 3, 4, 5].map((seed) => make([70, 30], seed));
      k.fill(filled, 7);
      const places = { inputOffset: 0, outputOffset: 0 };
      k.stridedCopy(make([30, 70], 6), copied, {
        ...{ shape: [70, 30], inputStrides: [1, 70], outputStrides: [30, 1], ...places },
      });
      k.stridedCopy(make([70, 30], 7), picked, {
        ...{ shape: [35, 28], inputStrides: [60, 1], outputStrides: [30, 1], inputOffset: 32, outputOffset: 900 },
      });
      k.dropout(make([70, 30], 8), dropped, { key0: 1, key1: 2, call: 3 }, 2 ** 31, 2);
      k.cumsum(make([70, 30], 9), total, { outer: 1, size: 70, inner: 30 });
      const [sum, most] = [make([30], 10), { ...make([70], 11), dtype: "int32" } as const];
      k.reduce("sum", picked, sum, { outer: 1, size: 70, inner: 30 });
      k.argReduce("argmax", picked, most, { outer: 70, size: 30, inner: 1 });
      const squares = make([], 12);
      k.sumOfSquares!(
        [make([9], 1), make([2000], 2), make([1100], 3), ...[4, 5, 6, 7].map((i) => make([1500], i))],
        squares,
      );
      return [filled, copied, picked, dropped, total, sum, most, squares];
    },
  ],
  [
    "an optimizer's step of large and small tensors",
    (k, make) => {
      const [p, g, m] = [0, 1, 2].map((i) => expr.input(i));
      const moment = expr.madd(expr.mul(g, expr.input(3)), expr.scalar(0), m);
      const step = expr.program(expr.madd(moment, expr.scalar(1), p), moment);
      const calls = [5, 3000, 700, 260, 1025, 64].map((size, i) => {
        const [parameter, grad, buffer] = [make([size], i), make([size], 10 + i), make([size], 20 + i)];
        return { inputs: [parameter, grad, buffer], outputs: [parameter, buffer], scalars: [0.9, -0.1] };
      });
      for (let i = 0; i < 2; i++) k.elementwiseMany!(step, calls, [make([], 30)]);
      return calls.flatMap(({ outputs }) => outputs);
    },
  ],
];
