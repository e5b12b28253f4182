/**
 * Tensors above the limit of one binding are bound by ranges: every kernel gives the bits that it gives without, in a
 * training run and a cached decode as well. What needs more bindings than there are is refused by name.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as t from "tenon";
import { loadModel } from "tenon/models";
import { train } from "tenon/runs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Kernels, Operand } from "../../../src/backend/backend.js";
import { findAdapter, openDevice } from "../../../src/backend/webgpu/adapter.js";
import { backendOn, type WebGpuBackend } from "../../../src/backend/webgpu/backend.js";
import { Gpu } from "../../../src/backend/webgpu/gpu.js";
import { byRanges } from "../../../src/backend/webgpu/ranges.js";
import { softwareKernels } from "../../../src/backend/webgpu/software/kernels.js";
import { byteSize, type DType } from "../../../src/core/dtype.js";
import * as expr from "../../../src/core/expr.js";
import { platform, setPlatform } from "../../../src/core/platform.js";
import { softwareGpu } from "../../setup/webgpu.js";
import { noise, operand } from "../operands.js";
import { openWithLimit } from "./device.js";
import { withBindingLimit } from "./proxies.js";

/** Bytes of one binding: 1,024 numbers. */
const LIMIT = 4096;

const gpu = await softwareGpu();
async function open(limit?: number): Promise<WebGpuBackend | undefined> {
  if (!gpu) return undefined;
  const found = await findAdapter(gpu);
  if ("reason" in found) throw new Error(found.reason);
  const device = await openDevice(found);
  return backendOn(new Gpu(limit ? withBindingLimit(device, limit) : device, { software: softwareKernels }), found);
}
const whole = await open();
const cut = await open(LIMIT);
afterAll(() => {
  whole?.destroy();
  cut?.destroy();
});

type Make = (shape: readonly number[], seed?: number, dtype?: DType) => Operand;
type Body = (kernels: Kernels, make: Make, indices: (count: number, below: number) => Operand) => Operand[];

/** Bytes of everything that a body gives, on a device. */
async function bytesOn(backend: WebGpuBackend, body: Body): Promise<Uint8Array[]> {
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
const table: [string, Body, limit?: number][] = [
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

describe.skipIf(!gpu)("kernels on tensors above the limit of one binding give the bits of one binding", () => {
  test.each(table)("%s", async (_, body, limit) => {
    const other = limit === undefined ? undefined : await open(limit);
    const [expected, got] = [await bytesOn(whole!, body), await bytesOn(other ?? cut!, body)];
    other?.destroy();
    for (const [i, bytes] of got.entries()) expect(Buffer.compare(bytes, expected[i]), `output ${i}`).toBe(0);
  });
});

test("the text of a kernel reaches its buffers by ranges, also in an index and in a sum", () => {
  const text = byRanges(
    "x[x[i].y + a[2]] += x[3]; let v = x[n] == y[1];",
    { name: "x", type: "vec2u", writes: true },
    2,
    64,
  );
  expect(text).toContain(
    "x_range_put(u32(x_range_get(u32(i)).y + a[2]), x_range_get(u32(x_range_get(u32(i)).y + a[2])) + (x_range_get(u32(3)))); let v = x_range_get(u32(n)) == y[1];",
  );
  expect(text).toContain("if (i < 8u) { return x_range0[i]; }\n  return x_range1[i - 8u];");
});

test.skipIf(!gpu)("a kernel that is refused in the middle keeps nothing of what it took", async () => {
  const { pool, device } = cut!.gpu;
  const { live } = pool.memory();
  const shape = [100, 92];
  const refused = bytesOn(cut!, (k, make, indices) => {
    k.indexAdd(indices(100, 100), make(shape, 1), make(shape, 2), { outer: 1, size: 100, inner: 92, count: 100 });
    return [];
  });
  await expect(refused).rejects.toThrow(
    `webgpu: indexAdd needs 20 bindings to reach a float32 tensor [100, 92] of 35.9 KiB in parts of 4.0 KiB, the limit of ` +
      `one binding, got ${device.limits.maxStorageBuffersPerShaderStage} of this adapter.`,
  );
  expect(pool.memory().live).toBe(live);
  // Elements of 16 bits at odd places share a word with others.
  const odd = bytesOn(cut!, (k, make) => {
    const place = { inputOffset: 0, inputStrides: [1], outputOffset: 1, outputStrides: [1] };
    k.stridedCopy(make([9], 1, "float16"), make([3000], 2, "float16"), { shape: [9], ...place });
    return [];
  });
  await expect(odd).rejects.toThrow(
    "webgpu: stridedCopy cannot write single elements of a float16 tensor [3000] of 5.9 KiB in parts of 4.0 KiB",
  );
});

describe.skipIf(!gpu)("a GPT whose embedding is above the limit", () => {
  const host = platform();
  const out = mkdtempSync(join(tmpdir(), "tenon-ranges-"));
  const use = (limit?: number) => openWithLimit(host, gpu!, limit);
  beforeAll(() => t.init({ device: "webgpu" }));
  afterAll(async () => {
    rmSync(out, { recursive: true });
    setPlatform(host);
    await t.init({ device: "cpu" });
  });

  test("trains, is saved, loaded, resumed and writes, with the bits of one binding", async () => {
    const config = {
      data: { corpus: "tales", length: 3000 },
      tokenizer: "byte",
      model: { model_type: "gpt2", n_layer: 1, n_head: 2, n_embd: 16 },
      training: {
        ...{ steps: 6, batchSize: 2, blockSize: 8, dropout: 0.1, clipNorm: 1, learningRate: 1e-2 },
        ...{ evalEvery: 6, sampleEvery: 0, checkpointEvery: 3 },
      },
      device: "webgpu",
    } as const;
    const outcomes: unknown[] = [];
    for (const limit of [undefined, LIMIT]) {
      const { gpu } = await use(limit);
      const run = train({ ...config, out });
      for await (const event of run) if (limit && event.type === "step" && event.step === 4) void run.stop();
      const { executionId, runDir } = await run;
      const { weightsHash } = limit ? await train({ ...config, out }, { resume: executionId }) : await run;
      const model = await loadModel(`${runDir}/checkpoints/step-000006`, { device: "webgpu" });
      const embedding = [...model.parameters()][0];
      expect(embedding.size * 4 > gpu.pool.range).toBe(limit !== undefined);
      const { text } = await model.generate("One", { maxTokens: 12, temperature: 0.8, seed: 1 });
      outcomes.push({ weightsHash, text });
      model.dispose();
    }
    expect(outcomes[1]).toEqual(outcomes[0]);
  });

  test("what no binding reaches is refused by name, and everything stays usable", async () => {
    const { gpu } = await use(LIMIT);
    const { maxStorageBuffersPerShaderStage: bindings } = gpu.device.limits;
    const most = (bindings - 3) * LIMIT;
    const { uploads } = gpu.counters;
    const { live } = t.memory();
    expect(() => t.zeros([most + 4])).toThrow(/^webgpu: a float32 tensor \[\d+\] needs .+, got a limit of/);
    const rows = (seed: number) => t.tidy(() => t.tensor(noise(most / 4, seed)).reshape([bindings - 3, LIMIT / 4]));
    const [a, b] = [rows(2), rows(3)];
    expect(() => t.softmax(a, { dim: 1 })).toThrow(
      `webgpu: softmax needs ${2 * (bindings - 3)} bindings to reach a float32 tensor [${bindings - 3}, 1024] of ` +
        `${4 * (bindings - 3)}.0 KiB in parts of 4.0 KiB, the limit of one binding, got ${bindings} of this adapter.`,
    );
    expect(gpu.counters.uploads - uploads).toBe(2);
    // What goes through in step needs no more bindings than tensors.
    const sum = t.add(a, b);
    expect((await sum.data())[most / 4 - 1]).toBe(
      Math.fround(noise(most / 4, 2)[most / 4 - 1] + noise(most / 4, 3)[most / 4 - 1]),
    );
    for (const tensor of [a, b, sum]) tensor.dispose();
    expect(t.memory().live).toBe(live);
  });
});
