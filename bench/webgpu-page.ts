/** What bench/webgpu.mjs runs in the page: Tenon and its peers in turns, on one WebGPU adapter. */

import { createModel, init, matmul, tensor } from "../src/index.js";
import { gpu } from "./costs.js";
import { gptConfig, rowsOf, type Shape } from "./gpt.js";
import { best, prepared, type Work } from "./turns.js";

export { costs } from "./costs.js";

// Peers of bench/ alone: their types are not among ours. tfjs and onnxruntime come by script tags.
const { tf, ort } = globalThis as unknown as { tf: any; ort: any };
const jaxName = "@jax-js/jax";
const peer = (name: string): Promise<any> => import(/* @vite-ignore */ `/peers/${name}.mjs`);

const filled = (n: number) => Float32Array.from({ length: n }, (_, i) => ((i * 7919) % 1000) / 500 - 1);

async function openJax(): Promise<any> {
  const jax = await import(/* @vite-ignore */ jaxName);
  await jax.init("webgpu");
  jax.defaultDevice("webgpu");
  return jax;
}

async function openTf(): Promise<void> {
  await tf.setBackend("webgpu");
  await tf.ready();
  if (tf.getBackend() !== "webgpu") throw new Error(`tfjs computes on ${tf.getBackend()}`);
}

/** Matrix products, with the reading of their result. */
const products: Record<string, (size: number) => Promise<Work>> = {
  async tenon(size) {
    await init({ device: "webgpu" });
    const [a, b] = [filled(size * size), filled(size * size)].map((x) => tensor(x).reshape([size, size]));
    return async () => {
      const c = matmul(a, b);
      await c.data();
      c.dispose();
    };
  },
  async "jax-js"(size) {
    const jax = await openJax();
    const [a, b] = [filled(size * size), filled(size * size)].map((x) => jax.numpy.array(x, { shape: [size, size] }));
    const product = jax.jit((x: unknown, y: unknown) => jax.numpy.matmul(x, y));
    return () => product(a.ref, b.ref).data();
  },
  async "tfjs-webgpu"(size) {
    await openTf();
    const [a, b] = [filled(size * size), filled(size * size)].map((x) => tf.tensor(x, [size, size]));
    return async () => {
      const c = tf.matMul(a, b);
      await c.data();
      c.dispose();
    };
  },
  async "onnxruntime-web"(size) {
    ort.env.wasm.wasmPaths = "/ort/";
    ort.env.logLevel = "error";
    const { onnxMatmul } = await peer("onnx-matmul");
    const session = await ort.InferenceSession.create(onnxMatmul(size, size, size), { executionProviders: ["webgpu"] });
    const feed = () => new ort.Tensor("float32", filled(size * size), [size, size]);
    const feeds = { A: feed(), B: feed() };
    return () => session.run(feeds);
  },
};

const steps: Record<string, (shape: Shape) => Promise<Work>> = {
  async tenon(shape) {
    await init({ device: "webgpu" });
    const model = await createModel(gptConfig(shape), undefined, { seed: 1 });
    const ids = rowsOf(shape);
    return () => model.trainStep({ ids }, { learningRate: 1e-3, clipNorm: 1 });
  },
  "jax-js": async (shape) => (await peer("jax-step")).jaxStep(await openJax(), shape),
  async "tfjs-webgpu"(shape) {
    await openTf();
    return (await peer("tfjs-step")).tfjsStep(tf, shape);
  },
};

async function compared<T>(makers: Record<string, (given: T) => Promise<Work>>, given: T, turns: number) {
  const bound = Object.entries(makers).map(([name, make]) => [name, () => make(given)]);
  const { works, missing } = await prepared(Object.fromEntries(bound));
  return { times: await best(works, turns, missing), missing };
}

export const runProducts = (size: number, turns: number) => compared(products, size, turns);
export const runSteps = (shape: Shape, turns: number) => compared(steps, shape, turns);

/** What a page waits for before its first step is done: device, weights, pipelines and the step. */
export async function firstStep(shape: Shape) {
  const start = performance.now();
  const step = await steps["tenon"](shape);
  const created = performance.now();
  await step();
  return { create: created - start, step: performance.now() - created, pipelines: gpu().pipelines.count };
}
