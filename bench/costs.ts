/** What a training step and a token cost on webgpu: dispatches, submits, and the time in which this side records. */

import { backendOf } from "../src/backend/devices.js";
import type { WebGpuBackend } from "../src/backend/webgpu/backend.js";
import { createModel, init, type LanguageModel, type Tensor, tidy } from "../src/index.js";
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

/** Issues a training step, the one that `trainStep` takes, and does not wait for it; `after` hears of its parts. */
export function issueStep(
  model: LanguageModel,
  optimizer: AdamW,
  ids: number[][],
  after: (part: string) => void = () => {},
): Tensor {
  model.train();
  return tidy(() => {
    model.zeroGrad();
    const loss = model.loss(ids);
    after("forward");
    loss.backward();
    after("backward");
    optimizer.step(undefined, { scale: clipCoefficient(gradNorm(model.parameters()), 1) });
    after("update");
    return loss.detach();
  });
}

/** Dispatches, submits and the share of a step in which this side records commands: of the fastest of `rounds`. */
export async function stepCosts(model: LanguageModel, optimizer: AdamW, ids: number[][], rounds = 1) {
  const takeStep = () => model.trainStep({ ids }, { optimizer, clipNorm: 1 });
  await takeStep();
  await takeStep();
  const whole = await counted(takeStep);

  // The same by hand, so that its parts can be counted and timed; the first round counts for nothing.
  const parts: Record<string, number> = {};
  let best = { recording: 0, step: Number.POSITIVE_INFINITY };
  for (let round = 0; round <= rounds; round++) {
    let { dispatches } = gpu().counters;
    const start = performance.now();
    const loss = issueStep(model, optimizer, ids, (part) => {
      parts[part] = gpu().counters.dispatches - dispatches;
      dispatches = gpu().counters.dispatches;
    });
    gpu().flush();
    const recorded = performance.now();
    await loss.item();
    const done = performance.now();
    loss.dispose();
    if (round > 0 && done - start < best.step) best = { recording: recorded - start, step: done - start };
  }
  return { whole, parts, ...best };
}

/** Those of a new GPT, and the dispatches of a token. */
export async function costs(shape: Shape) {
  await init({ device: "webgpu" });
  const model = (await createModel(gptConfig(shape), undefined, { seed: 1 })) as LanguageModel;
  const optimizer = new AdamW(model.namedParameters(), { lr: 1e-3 });
  const step = await stepCosts(model, optimizer, rowsOf(shape));
  const decode = await decodeDispatches(model);
  model.dispose();
  return { ...step, decode };
}
