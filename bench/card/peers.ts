/** Tenon beside other libraries on the same adapter, in one process and in turns. */

import { createModel, init, matmul, rand } from "../../src/index.js";
import { gptConfig, rowsOf, type Shape } from "../gpt.js";
import { least, ratio } from "../tables.mjs";
import { best, prepared, reasonOf, type Work } from "../turns.js";
import { openGpu } from "./open.js";
import { type Part, tell } from "./part.js";
import { say, show, table } from "./report.js";
import { babyGpt } from "./steps.js";

interface Library {
  /** A training step. */
  step(shape: Shape): Promise<Work>;
  /** `many` products of square matrices, and a wait for the last. */
  products(size: number, many: number): Promise<Work>;
}

const filled = (n: number) => Float32Array.from({ length: n }, (_, i) => ((i * 7919) % 1000) / 500 - 1);

const libraries: Record<string, () => Promise<Library>> = {
  async tenon() {
    await init({ device: "webgpu" });
    return {
      async step(shape) {
        const model = await createModel(gptConfig(shape), undefined, { seed: 1 });
        const ids = rowsOf(shape);
        return () => model.trainStep({ ids }, { learningRate: 1e-3, clipNorm: 1 });
      },
      async products(size, many) {
        const [a, b] = [rand([size, size]), rand([size, size])];
        return async () => {
          for (let i = 1; i < many; i++) matmul(a, b).dispose();
          const c = matmul(a, b);
          const one = c.narrow(0, 0, 1).narrow(1, 0, 1);
          await one.item();
          for (const each of [c, one]) each.dispose();
        };
      },
    };
  },
  async "jax-js"() {
    const jax = await import("@jax-js/jax");
    const { jaxStep } = await import("../peers/jax-step.mjs");
    await jax.init("webgpu");
    jax.defaultDevice("webgpu");
    return {
      step: async (shape) => jaxStep(jax, shape),
      async products(size, many) {
        const [a, b] = [0, 1].map(() => jax.numpy.array(filled(size * size), { shape: [size, size] }));
        const product = jax.jit((x: unknown, y: unknown) => jax.numpy.matmul(x, y));
        return async () => {
          for (let i = 1; i < many; i++) product(a.ref, b.ref).dispose();
          const c = product(a.ref, b.ref);
          await c.slice([0, 1], [0, 1]).data();
        };
      },
    };
  },
  async "tfjs-webgpu"() {
    const tf = await import("@tensorflow/tfjs");
    await import("@tensorflow/tfjs-backend-webgpu");
    const { tfjsStep } = await import("../peers/tfjs-step.mjs");
    if (!(await tf.setBackend("webgpu"))) throw new Error("it does not open Dawn's adapter");
    await tf.ready();
    if (tf.getBackend() !== "webgpu") throw new Error(`it computes on ${tf.getBackend()}`);
    return {
      step: async (shape) => tfjsStep(tf, shape),
      async products(size, many) {
        const [a, b] = [0, 1].map(() => tf.tensor(filled(size * size), [size, size]));
        return async () => {
          for (let i = 1; i < many; i++) tf.matMul(a, b).dispose();
          const c = tf.matMul(a, b);
          const one = tf.slice(c, [0, 0], [1, 1]);
          await one.data();
          for (const each of [c, one]) each.dispose();
        };
      },
    };
  },
};

/** Rejects where something takes so long that the others would not have their turn. */
function within<T>(seconds: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${seconds} s`)), 1000 * seconds);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

export const peers: Part = async (given) => {
  const { small } = given;
  await openGpu();
  const missing: string[] = [];
  const opened: Record<string, Library> = {};
  for (const [name, open] of Object.entries(libraries))
    try {
      opened[name] = await within(20, open());
    } catch (error) {
      missing.push(`${name}: absent, ${reasonOf(error)}`);
    }
  const names = Object.keys(opened);
  const row = table("best, ms", ...names, "tenon is faster than the best peer by");
  const compare = async (title: string, each: number, turns: number, make: (library: Library) => Promise<Work>) => {
    // Work that once was as fast as the others may hang later, or be lost with its device: then the rest go on without it.
    const makers = names.map((name) => [
      name,
      async () => {
        const work = await within(15, make(opened[name]));
        return () => within(15, work());
      },
    ]);
    const { works, missing: failed } = await prepared(Object.fromEntries(makers));
    const { tenon, ...others } = await best(works, turns, failed);
    for (const [name, reason] of Object.entries(failed)) missing.push(`${name}, ${title}: absent, ${reason}`);
    const times: Record<string, number | undefined> = { tenon, ...others };
    const cells = names.map((name) => (times[name] === undefined ? "absent" : show(times[name] / each)));
    row(title, ...cells, ratio(least(...Object.values(others)), tenon));
    return { tenon, others };
  };
  const shape = babyGpt(given);
  const step = await compare(`training step, ${shape.width}-wide GPT`, 1, small ? 1 : 40, ({ step }) => step(shape));
  for (const [name, time] of Object.entries(step.others))
    tell({ figures: { [`step beside ${name}`]: time / step.tenon } });
  const squares: [string, number, number][] = small
    ? [["1024", 64, 2]]
    : [
        ["1024", 1024, 100],
        ["2048", 2048, 30],
        ["4096", 4096, 10],
      ];
  for (const [goal, size, many] of squares) {
    const title = `product, ${size} x ${size} x ${size}`;
    const { tenon, others } = await compare(title, many, small ? 1 : 20, ({ products }) => products(size, many));
    const best = least(...Object.values(others));
    if (best) tell({ figures: { [`product ${goal} beside peers`]: best / tenon } });
  }
  say();
  for (const each of missing) say(`- ${each}`);
  say("- onnxruntime-web: absent, its build for Node has no WebGPU.");
};
