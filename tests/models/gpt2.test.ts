import * as t from "tenon";
import { readSafetensors } from "tenon/artifacts";
import { AdamW } from "tenon/optim";
import { afterAll, describe, expect, test } from "vitest";
import { openWebGpu } from "../backend/webgpu/device.js";
import { largestError } from "../ops/fixture-cases.js";
import { readFixture, readJson } from "../setup/fixture.js";

interface Reference {
  prompt: number[];
  greedy: number[];
  adamw: { lr: number; betas: [number, number]; eps: number; weight_decay: number; clip_norm: number };
  losses_after: number[];
}

const folder = "hf/gpt2";
const files = async () => ({
  "config.json": await readFixture(`${folder}/config.json`),
  "model.safetensors": await readFixture(`${folder}/model.safetensors`),
  "generation_config.json": await readFixture(`${folder}/generation_config.json`),
});
const reference = await readJson<Reference>(`${folder}/reference.json`);
const expected = readSafetensors(await readFixture(`${folder}/reference.safetensors`)).tensors;
const rows = (name: string) => {
  const { shape, data } = expected[name];
  return Array.from({ length: shape[0] }, (_, i) =>
    Array.from(data.subarray(i * shape[1], (i + 1) * shape[1]) as ArrayLike<number | bigint>, Number),
  );
};

const devices = ["reference", "cpu", ...((await openWebGpu()) ? (["webgpu"] as const) : [])] as const;
afterAll(() => t.init({ device: "cpu" }));

describe.each(devices)("GPT-2 on %s equals transformers", (device) => {
  test("logits, loss, every gradient, a step, and 20 more losses", async () => {
    const model = await t.loadModel(await files(), { device });
    const ids = rows("input_ids");
    const labels = rows("labels");
    const logits = model.forward(ids);
    expect(largestError(await logits.data(), expected.logits.data as Float32Array)).toBeLessThan(1e-5);

    const { lr, betas, eps, weight_decay, clip_norm } = reference.adamw;
    const optimizer = new AdamW(model.namedParameters(), { lr, betas, eps, weightDecay: weight_decay });
    const loss = model.loss(ids, labels);
    expect(largestError(await loss.data(), expected.loss.data as Float32Array)).toBeLessThan(1e-5);
    loss.backward();
    for (const [name, parameter] of model.namedParameters()) {
      expect(
        largestError(await parameter.grad!.data(), expected[`grad.${name}`].data as Float32Array),
        `grad ${name}`,
      ).toBeLessThan(1e-4);
    }
    model.zeroGrad();
    const step = await model.trainStep({ ids, labels }, { optimizer, clipNorm: clip_norm });
    expect(largestError([step.gradNorm], expected.grad_norm.data as Float32Array)).toBeLessThan(1e-4);
    for (const [name, parameter] of model.namedParameters()) {
      const after = await parameter.data();
      const [wanted, grads] = [`after_step.${name}`, `grad.${name}`].map((key) => expected[key].data as Float32Array);
      // The first step of Adam is about the sign of a gradient, which rounding decides where there is hardly one.
      const sure = (_: unknown, i: number) => Math.abs(grads[i]) > 1e-6;
      expect(largestError(after.filter(sure), wanted.filter(sure)), `after ${name}`).toBeLessThan(1e-4);
      expect(largestError(after, wanted), `after ${name}, all`).toBeLessThan(2 * lr);
    }
    for (const [i, value] of reference.losses_after.entries()) {
      const { loss } = await model.trainStep({ ids, labels }, { optimizer, clipNorm: clip_norm });
      expect(Math.abs(loss - value) / value, `loss ${i}`).toBeLessThan(1e-4);
    }
    optimizer.dispose();
    model.dispose();
  });

  test("30 greedy tokens, with a cache", async () => {
    const model = await t.loadModel(await files(), { device });
    const { tokens } = await model.generate(reference.prompt, { temperature: 0, maxTokens: 30, ignoreEos: true });
    expect([...reference.prompt, ...tokens]).toEqual(reference.greedy);
    model.dispose();
  });
});
