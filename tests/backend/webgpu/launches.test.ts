/** How few launches things take on the graphics card: a layer of GPT-2, and an optimizer's step, with the bits of many. */

import * as t from "tenon";
import { createModel } from "tenon/models";
import { AdamW, clipCoefficient, gradNorm, Muon, type Optimizer, SGD } from "tenon/optim";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as expr from "../../../src/core/expr.js";
import { platform, setPlatform } from "../../../src/core/platform.js";
import { Decoder } from "../../../src/models/decoder.js";
import { nullGpu, softwareGpu } from "../../setup/webgpu.js";
import { empty, noise, operand } from "../operands.js";
import { openWebGpu, openWithLimit } from "./device.js";

const backend = await openWebGpu();
const host = platform();
afterAll(async () => {
  setPlatform(host);
  await t.init({ device: "cpu" });
});

const sizes = [1, 3, 64, 257, 4096, 5000, 12, 300, 8, 1000, 63];

describe.skipIf(!backend)("many parameters", () => {
  beforeAll(() => t.init({ device: "webgpu" }));

  const optimizers: [string, (p: readonly t.Tensor[]) => Optimizer<{ lr: number }>][] = [
    [
      "AdamW of two groups",
      (p) =>
        new AdamW([
          { params: p.slice(0, 4), weightDecay: 0.1 },
          { params: p.slice(4), weightDecay: 0, lr: 0.02 },
        ]),
    ],
    ["SGD", (p) => new SGD(p, { lr: 0.1, weightDecay: 0.1 })],
    ["SGD with momentum", (p) => new SGD(p, { lr: 0.1, momentum: 0.9, nesterov: true })],
  ];

  test.each(optimizers)("%s: the bits of single updates, in a fraction of the launches", async (_, make) => {
    const { gpu, kernels } = backend!;
    const results: number[][][] = [];
    const launches: number[] = [];
    const together = kernels.elementwiseMany;
    for (const many of [together, undefined]) {
      Object.assign(kernels, { elementwiseMany: many });
      const parameters = sizes.map((size, i) => t.tensor(noise(size, i), { requiresGrad: true }));
      const optimizer = make(parameters);
      for (let step = 1; step <= 3; step++) {
        for (const [i, parameter] of parameters.entries()) parameter.grad = t.tensor(noise(sizes[i], 100 * step + i));
        const scale = clipCoefficient(gradNorm(parameters), 5);
        const before = gpu.counters.dispatches;
        optimizer.step(undefined, { scale });
        launches.push(gpu.counters.dispatches - before);
        optimizer.zeroGrad();
        scale.dispose();
      }
      results.push(await Promise.all(parameters.map(async (parameter) => Array.from(await parameter.data()))));
      optimizer.dispose();
      for (const parameter of parameters) parameter.dispose();
    }
    Object.assign(kernels, { elementwiseMany: together });
    expect(results[0]).toEqual(results[1]);
    const { maxStorageBuffersPerShaderStage: buffers } = gpu.device.limits;
    expect(launches[2]).toBeLessThanOrEqual(Math.ceil(sizes.length / (buffers - 4)));
    expect(launches[5]).toBe(sizes.length);
    console.log(`${sizes.length} parameters: ${launches[2]} launches (${buffers} buffers each)`);
  });

  test("Muon takes one launch for all momenta", async () => {
    const { gpu } = backend!;
    const parameters = [1, 2, 3].map((i) => t.tensor(noise(48, i)).reshape([6, 8]));
    for (const parameter of parameters) parameter.requiresGrad = true;
    const optimizer = new Muon(parameters, { nsSteps: 0 });
    const grads = parameters.map((_, i) => t.tensor(noise(48, 10 + i)).reshape([6, 8]));
    optimizer.step(grads);
    const before = gpu.counters.dispatches;
    optimizer.step(grads);
    const each = (gpu.counters.dispatches - before - 1) / parameters.length;
    expect(Number.isInteger(each)).toBe(true);
    optimizer.dispose();
    for (const tensor of [...parameters, ...grads]) tensor.dispose();
  });
});

describe.skipIf(!backend)("tensors on a shelf", () => {
  test("are read, written, used beside each other and freed like others", async () => {
    const { gpu, kernels } = backend!;
    const { pooled, live } = gpu.pool.memory();
    const read = async (of: t.Tensor | ReturnType<typeof operand>) =>
      Array.from(new Float32Array((await backend!.read(of.storage.handle, of.size * 4)).buffer));
    const double = expr.program(expr.mul(expr.input(0), expr.scalar(0)));
    const tensors = [5, 70, 200].map((size, i) => operand(backend!, noise(size, i)));
    kernels.elementwiseMany!(
      double,
      tensors.map((x) => ({ inputs: [x], outputs: [x], scalars: [2] })),
      [],
    );
    expect(await read(tensors[1])).toEqual(Array.from(noise(70, 1), (x) => 2 * x));
    // An upload into a place that recorded commands still use.
    kernels.elementwise(double, [tensors[0]], [tensors[0]], [0.5]);
    const copy = empty(backend!, [5]);
    kernels.elementwise(double, [tensors[0]], [copy], [1]);
    backend!.write(tensors[0].storage.handle, new Uint8Array(new Float32Array([1, 2, 3, 4, 5]).buffer));
    expect(await read(copy)).toEqual(Array.from(noise(5, 0)));
    expect(await read(tensors[0])).toEqual([1, 2, 3, 4, 5]);
    // One place is read and another written: they cannot stay in one buffer.
    const first = { ...tensors[2], shape: [5], size: 5 };
    kernels.elementwise(double, [first], [tensors[0]], [3]);
    expect(await read(tensors[0])).toEqual(Array.from(noise(200, 2).subarray(0, 5), (x) => Math.fround(6 * x)));
    expect(await read(tensors[1])).toEqual(Array.from(noise(70, 1), (x) => 2 * x));
    for (const { storage } of [...tensors, copy]) storage.release();
    expect(gpu.pool.memory().live).toBe(live);
    expect(gpu.pool.memory().pooled).toBeGreaterThanOrEqual(pooled);
  });

  test("are read by recorded commands before an upload takes the shelf that they leave", async () => {
    const { kernels } = backend!;
    // A shelf of a size that nothing else has.
    const tensors = [9001, 9003].map((size, i) => operand(backend!, noise(size, i)));
    const double = expr.program(expr.mul(expr.input(0), expr.scalar(0)));
    kernels.elementwiseMany!(
      double,
      tensors.map((x) => ({ inputs: [x], outputs: [x], scalars: [2] })),
      [],
    );
    await backend!.read(tensors[0].storage.handle, 4);
    const copy = empty(backend!, [9001]);
    kernels.elementwise(double, [tensors[0]], [copy], [1]);
    // The last to leave is one that those commands do not read.
    for (const { storage } of tensors) storage.release();
    const upload = operand(backend!, new Float32Array(18_100).fill(7));
    const got = new Float32Array((await backend!.read(copy.storage.handle, 4 * 9001)).buffer);
    expect(Array.from(got)).toEqual(Array.from(noise(9001, 0), (x) => 2 * x));
    for (const { storage } of [copy, upload]) storage.release();
  });
});

test.skipIf(!backend).each([
  ["a software adapter", async () => (await softwareGpu())!, { forward: 10, backward: 17, token: 10 }],
  // Dawn without a driver counts as one. It computes nothing: no logits are looked at.
  ["a graphics card", nullGpu, { forward: 7, backward: 17, token: 5 }],
] as const)(
  "a layer of GPT-2 on %s: forward, backward, a cached token, and what all parameters add to a step",
  async (_, adapter, most) => {
    const { gpu } = await openWithLimit(host, await adapter());
    const launches = async (run: () => unknown) => {
      const before = gpu.counters.dispatches;
      await run();
      return gpu.counters.dispatches - before;
    };
    const measured: Record<string, number>[] = [];
    for (const n_layer of [1, 2]) {
      const model = await createModel(
        {
          ...{ model_type: "gpt2", vocab_size: 65, n_positions: 16, n_layer, n_head: 2, n_embd: 16 },
          ...{ embd_pdrop: 0, attn_pdrop: 0, resid_pdrop: 0 },
        },
        undefined,
        { seed: 3, device: "webgpu" },
      );
      const ids = [[1, 2, 3, 4, 5, 6]];
      let loss: t.Tensor;
      const forward = await launches(() => (loss = model.loss(ids)));
      const backward = await launches(() => loss.backward());
      loss!.dispose();
      const optimizer = new AdamW(model.parameters());
      optimizer.step();
      const step = await launches(() => optimizer.step());
      optimizer.zeroGrad();
      optimizer.dispose();
      const text = (tokens: number) =>
        launches(() => {
          const decoder = new Decoder(model, 1, 16, true);
          decoder.next([1, 2, 3]).dispose();
          for (let i = 1; i < tokens; i++) decoder.next().dispose();
          gpu.flush();
          decoder.dispose();
        });
      const token = (await text(6)) - (await text(5));
      measured.push({ forward, backward, step, token });
      model.dispose();
    }
    const [one, two] = measured;
    const layer = Object.fromEntries(Object.keys(one).map((key) => [key, two[key] - one[key]]));
    expect(layer).toMatchObject(most);
    const { maxStorageBuffersPerShaderStage: buffers } = gpu.device.limits;
    expect(two["step"]).toBeLessThanOrEqual(Math.ceil(28 / (buffers - 3)));
  },
);
