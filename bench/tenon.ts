/**
 * Tenon's own rows of the benchmarks: `node .cache/bench-tenon.mjs '{"suite":"gemm",…}'`; run.mjs bundles and calls it,
 * each time in a fresh process. Prints one JSON line.
 */
import { Storage } from "../src/backend/storage.js";
import { createCpuBackend } from "../src/backend/wasm/backend.js";
import { sizeOf } from "../src/core/shape.js";
import "../src/node/platform.js";
import * as tenon from "../src/index.js";
import { Gpt2 } from "../src/models/gpt2.js";
import { deferInit } from "../src/nn/index.js";
import { AdamW } from "../src/optim/index.js";
import { gptConfig, rowsOf, type Shape, stepFlops } from "./gpt.js";
import { best, roof } from "./kernels/roof.js";

interface Job {
  suite: "gemm" | "train" | "decode";
  threads: number;
  numerics: "portable" | "fast";
  shapes?: [m: number, n: number, k: number][];
  model?: Shape;
  steps?: number;
}

const job = JSON.parse(process.argv[2]) as Job;
const suites = { gemm, train, decode };
console.log(JSON.stringify(await suites[job.suite](job)));
process.exit(0);

/** GFLOP/s of matrix products, and the roof of one thread. */
async function gemm({ threads, numerics, shapes = [] }: Job) {
  const backend = createCpuBackend({ threads, numerics });
  await backend.ready();
  const operand = (...shape: number[]) => {
    const size = sizeOf(shape);
    const made = { shape, dtype: "float32" as const, size, storage: Storage.allocate(backend, shape, "float32") };
    (backend.view!(made) as Float32Array).forEach((_, i, view) => {
      view[i] = ((i * 7919) % 1000) / 500 - 1;
    });
    return made;
  };
  const rates = shapes.map(([m, n, k]) => {
    const [a, b, out] = [operand(m, k), operand(k, n), operand(m, n)];
    const layout = { m, n, k, transposeA: false, transposeB: false, batchA: [0], batchB: [0] };
    const rate = (2 * m * n * k) / best(() => backend.kernels.matmul(a, b, out, layout)) / 1e9;
    for (const { storage } of [a, b, out]) storage.release();
    return rate;
  });
  return { rates, roof: roof(backend.engine), fused: backend.info.fusedMultiplyAdd, threads: backend.info.threads };
}

/** Tokens per second of forward, backward and AdamW. */
async function train({ threads, numerics, model, steps = 12 }: Job) {
  await tenon.init({ device: "cpu", threads, numerics });
  const shape = model!;
  const gpt = await tenon.createModel(gptConfig(shape), undefined, { seed: 1 });
  const { batch: B, context: T } = shape;
  const ids = Int32Array.from(rowsOf(shape).flat());
  const optimizer = new AdamW(gpt.namedParameters(), { lr: 1e-3 });
  let least = Number.POSITIVE_INFINITY;
  let loss = Number.NaN;
  for (let n = 0; n < steps; n++) {
    const start = performance.now();
    ({ loss } = await gpt.trainStep({ ids, shape: [B, T + 1] }, { optimizer }));
    if (n >= 2) least = Math.min(least, performance.now() - start);
  }
  const { threads: used } = tenon.capabilities();
  return {
    tokensPerSecond: (B * T) / (least / 1e3),
    gflops: stepFlops(shape) / least / 1e6,
    loss,
    peak: tenon.memory().peak,
    threads: used,
  };
}

/** Tokens per second of cached decoding, and the share of what streaming the weights once per token allows. */
async function decode({ threads, numerics, model, steps = 64 }: Job) {
  await tenon.init({ device: "cpu", threads, numerics });
  const gpt = deferInit(() => new Gpt2(gptConfig(model!)));
  for (const parameter of gpt.parameters()) {
    const values = tenon.rand(parameter.shape).sub(0.5).mul(0.05);
    (parameter.view() as Float32Array).set(values.view() as Float32Array);
    values.dispose();
  }
  const bytes = [...gpt.parameters()].reduce((sum, { size }) => sum + 4 * size, 0) - 4 * model!.context * model!.width;
  let least = Number.POSITIVE_INFINITY;
  let last = performance.now();
  let n = 0;
  for await (const _ of gpt.stream([1, 2, 3, 4, 5, 6, 7, 8], { maxTokens: steps, temperature: 0, ignoreEos: true })) {
    const now = performance.now();
    if (n++ > 2) least = Math.min(least, now - last);
    last = now;
  }
  // The bandwidth of our own sum over as many bytes.
  const words = Math.floor(bytes / 4);
  const weights = tenon.zeros([words]);
  const seconds = best(() => tenon.sum(weights).dispose());
  return {
    tokensPerSecond: 1e3 / least,
    bound: 1 / seconds,
    share: 1e3 / least / (1 / seconds),
    gigabytesPerSecond: bytes / seconds / 1e9,
    parameters: bytes / 4,
  };
}
