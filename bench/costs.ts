/** What a training step and a token cost on webgpu: dispatches, submits, and the time in which this side records. */

import { backendOf } from "../src/backend/devices.js";
import type { WebGpuBackend } from "../src/backend/webgpu/backend.js";
import { createModel, init, type LanguageModel, type Tensor, tidy } from "../src/index.js";
import { BatchGradients } from "../src/models/batch-gradients.js";
import { AdamW, clipCoefficient, gradNorm } from "../src/optim/index.js";
import { gptConfig, rowsOf, type Shape } from "./gpt.js";

export const gpu = () => (backendOf("webgpu") as WebGpuBackend).gpu;

/** Dispatches and submits of some work. */
export async function counted(work: () => unknown): Promise<{ dispatches: number; submits: number }> {
  const before = { ...gpu().counters };
  await work();
  const { dispatches, submits } = gpu().counters;
  return { dispatches: dispatches - before.dispatches, submits: submits - before.submits };
}

/** Dispatches of one token that is decoded with a cache. */
export async function decodeDispatches(model: LanguageModel, prompt: number[] = [1, 2, 3]): Promise<number> {
  const tokens = async (maxTokens: number) =>
    (await counted(() => model.generate(prompt, { maxTokens, temperature: 0, ignoreEos: true }))).dispatches;
  return (await tokens(6)) - (await tokens(5));
}

const update = (model: LanguageModel, optimizer: AdamW): void =>
  optimizer.step(undefined, { scale: clipCoefficient(gradNorm(model.parameters()), 1) });

/** Issues training steps as `trainStep` does, and does not wait for them. */
export function issuing(model: LanguageModel, optimizer: AdamW): (ids: number[][]) => Tensor {
  const gradients = new BatchGradients(model);
  return (ids) => {
    model.train();
    return tidy(() => {
      model.zeroGrad();
      const loss = gradients.backward({ ids, reduction: "mean" });
      update(model, optimizer);
      return loss;
    });
  };
}

/** Dispatches, submits and the share of a step in which this side records commands: of the fastest of `rounds`. */
export async function stepCosts(model: LanguageModel, optimizer: AdamW, ids: number[][], rounds = 1) {
  const takeStep = () => model.trainStep({ ids }, { optimizer, clipNorm: 1 });
  // From the third on the device repeats them.
  for (let i = 0; i < 4; i++) await takeStep();
  const whole = await counted(takeStep);
  const issue = issuing(model, optimizer);
  let best = { recording: 0, step: Number.POSITIVE_INFINITY };
  for (let round = -2; round < rounds; round++) {
    const start = performance.now();
    const loss = issue(ids);
    gpu().flush();
    const recorded = performance.now();
    await loss.item();
    const done = performance.now();
    loss.dispose();
    if (round >= 0 && done - start < best.step) best = { recording: recorded - start, step: done - start };
  }
  return { whole, ...best };
}

/** Dispatches of the parts of a step. */
export async function stepParts(model: LanguageModel, optimizer: AdamW, ids: number[][]) {
  model.train();
  model.zeroGrad();
  let loss: Tensor;
  const { dispatches: forward } = await counted(() => (loss = model.loss(ids)));
  const { dispatches: backward } = await counted(() => loss.backward());
  const { dispatches: last } = await counted(() => tidy(() => update(model, optimizer)));
  loss!.dispose();
  return { forward, backward, update: last };
}

/** Those of a new GPT, and the dispatches of a token. */
export async function costs(shape: Shape) {
  await init({ device: "webgpu" });
  const model = (await createModel(gptConfig(shape), undefined, { seed: 1 })) as LanguageModel;
  const optimizer = new AdamW(model.namedParameters(), { lr: 1e-3 });
  const step = await stepCosts(model, optimizer, rowsOf(shape));
  const parts = await stepParts(model, optimizer, rowsOf(shape));
  const decode = await decodeDispatches(model);
  model.dispose();
  return { ...step, parts, decode };
}
