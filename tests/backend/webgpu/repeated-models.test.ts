/** Tokens and training steps that the device repeats by itself have the bits of those that are asked for op by op. */
import * as t from "tenon";
import { createModel, type Gpt2 } from "tenon/models";
import { Linear } from "tenon/nn";
import { AdamW, SGD } from "tenon/optim";
import { describe, expect, test, vi } from "vitest";
import type { TrainingConfig } from "../../../src/runs/config.js";
import type { LanguageData } from "../../../src/runs/language-data.js";
import { LanguageTask } from "../../../src/runs/language-task.js";
import { trainStep } from "../../../src/runs/loop.js";
import { getOp } from "../../../src/tensor/op.js";
import { Parameter } from "../../../src/tensor/tensor.js";
import { openWebGpu } from "./device.js";

const backend = await openWebGpu();

const listed = async (tensor: t.Tensor) => Array.from(await tensor.data());

/** Runs something while somebody looks on, so that nothing is repeated. */
async function observed<T>(run: () => Promise<T>): Promise<T> {
  const stop = t.intercept((_, next) => next());
  try {
    return await run();
  } finally {
    stop();
  }
}

const config = { model_type: "gpt2", vocab_size: 67, n_positions: 24, n_embd: 24, n_layer: 2, n_head: 2 };
const made = (more = {}) =>
  createModel({ ...config, ...more }, undefined, { seed: 3, device: "webgpu" }) as Promise<Gpt2>;

/** Settings are not to be written to, but may be all the same. */
const set = (module: object, settings: object) => void Object.assign(module, settings);

describe.skipIf(!backend)("tokens that the device repeats", () => {
  test.each([
    ["greedy, past the end of the context", { temperature: 0, maxTokens: 40 }],
    ["sampled", { temperature: 1, seed: 5, maxTokens: 12, repetitionPenalty: 1.3 }],
  ])("are those of one pass after the other: %s", async (_, options) => {
    const model = await made();
    const prompts = [[1, 2, 3], [4, 5, 6], [7]];
    const passes = vi.spyOn(model, "nextLogits");
    const [some, others] = await Promise.all([model.generate(prompts, options), model.generate(prompts, options)]);
    expect(passes.mock.calls.length).toBeLessThan(30);
    passes.mockClear();
    const one = await observed(() => model.generate(prompts, options));
    expect(passes.mock.calls.length).toBeGreaterThan(2 * options.maxTokens - 2);
    expect(some.map(({ tokens, logprobs }) => ({ tokens, logprobs }))).toEqual(
      one.map(({ tokens, logprobs }) => ({ tokens, logprobs })),
    );
    expect(others.map(({ tokens }) => tokens)).toEqual(one.map(({ tokens }) => tokens));
    model.dispose();
  });

  test("give their memory back when nobody can ask for the next one", async () => {
    const model = await made();
    const { pool } = backend!.gpu;
    const begin = async () => {
      const stream = model.stream([1, 2], { maxTokens: 12 })[Symbol.asyncIterator]();
      for (let n = 0; n < 5; n++) await stream.next();
    };
    const { live } = t.memory();
    await begin();
    const { created } = pool;
    expect(t.memory().live).toBeGreaterThan(live);
    for (let i = 0; i < 20 && t.memory().live > live; i++) {
      globalThis.gc!();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(t.memory().live).toBe(live);
    await begin();
    expect(pool.created - created).toBeLessThan(5);
    model.dispose();
  });

  test("follow what takes the place of weights and modules in the middle of a stream", async () => {
    const write = async () => {
      const model = await made();
      const { h } = model.transformer;
      const replaced = [model.transformer.ln_f.weight!, h[0]];
      const tokens: number[] = [];
      for await (const { id } of model.stream([1, 2], { maxTokens: 16, seed: 1 })) {
        tokens.push(id);
        if (tokens.length === 5) model.transformer.ln_f.weight = new Parameter(t.arange(24).sin());
        if (tokens.length === 9) h[0] = h[1];
        if (tokens.length === 12) set(model.transformer.ln_f, { eps: 10 });
      }
      for (const part of replaced) part.dispose();
      model.dispose();
      return tokens;
    };
    expect(await write()).toEqual(await observed(write));
  });

  test("modules of users, and a forward put in the place of another, run for every token", async () => {
    const model = await made();
    const plain = await model.generate([1, 2], { maxTokens: 8, temperature: 0 });
    const seen: number[] = [];
    class Counting extends Linear {
      override forward(x: t.Tensor): t.Tensor {
        seen.push(x.shape[1]);
        return super.forward(x);
      }
    }
    const old = model.getSubmodule("transformer.h.1.mlp.c_fc") as Linear;
    const own = new Counting(24, 96, { inOut: true, device: "webgpu" });
    own.loadStateDict(old.stateDict());
    model.setSubmodule("transformer.h.1.mlp.c_fc", own);
    expect((await model.generate([1, 2], { maxTokens: 8, temperature: 0 })).tokens).toEqual(plain.tokens);
    expect(seen).toEqual([2, 1, 1, 1, 1, 1, 1, 1]);
    model.setSubmodule("transformer.h.1.mlp.c_fc", old);
    own.dispose();
    const { forward } = old;
    let calls = 0;
    old.forward = (x) => {
      calls++;
      return forward(x);
    };
    expect((await model.generate([1, 2], { maxTokens: 8, temperature: 0 })).tokens).toEqual(plain.tokens);
    expect(calls).toBe(8);
    model.dispose();
  });
});

describe.skipIf(!backend)("training steps that the device repeats", () => {
  const batch = (step: number, width = 9) => ({
    ids: [0, 1].map((row) => Array.from({ length: width }, (_, i) => (step * 31 + row * 17 + i * 7) % 67)),
  });
  /** Losses, norms, and a gradient after the last step. */
  async function trained(steps: (model: Gpt2, step: (n: number) => Promise<void>) => Promise<void>, more = {}) {
    t.manualSeed(11);
    const model = await made(more);
    let calls = 0;
    const { hidden } = model;
    model.hidden = (...args) => {
      calls++;
      return hidden.apply(model, args);
    };
    const told: number[] = [];
    await steps(model, async (n) => {
      const { loss, gradNorm } = await model.trainStep(batch(n), { clipNorm: 1, learningRate: 0.01 });
      told.push(loss, gradNorm);
    });
    const weight = model.getSubmodule("transformer.h.0.mlp.c_fc") as Linear;
    const grad = weight.weight.grad ? await listed(weight.weight.grad) : [];
    const result = { told, grad, values: await listed(weight.weight), calls };
    model.dispose();
    return result;
  }
  async function both(...args: Parameters<typeof trained>): Promise<number> {
    const { calls, ...repeated } = await trained(...args);
    const { calls: each, ...one } = await observed(() => trained(...args));
    expect(repeated).toEqual(one);
    expect(repeated.told.every(Number.isFinite)).toBe(true);
    return each - calls;
  }
  const several = async (step: (n: number) => Promise<void>, from = 0, to = 5) => {
    for (let n = from; n < to; n++) await step(n);
  };

  test("have the bits of steps op by op, with dropout anew in each", async () => {
    const dropout = { embd_pdrop: 0.2, attn_pdrop: 0.1, resid_pdrop: 0.3 };
    expect(await both((_, step) => several(step, 0, 6), dropout)).toBeGreaterThan(1);
  });

  test("hold on to the ids, the loss and the gradients alone, also with dropout", async () => {
    const live = async () => {
      const model = await made({ embd_pdrop: 0.2, attn_pdrop: 0.1, resid_pdrop: 0.3 });
      for (let n = 0; n < 4; n++) await model.trainStep(batch(n));
      const { live } = t.memory();
      model.dispose();
      return live - t.memory().live;
    };
    expect(await live()).toBe((await observed(live)) + 4 * (2 * 9 + 1));
  });

  test("follow what users change in between: frozen layers, gradients, other batches, generated text", async () => {
    const changes = both(async (model, step) => {
      await several(step);
      for (const parameter of model.transformer.h[1].parameters()) parameter.requiresGrad = false;
      await several(step, 5, 8);
      model.zeroGrad();
      for (const parameter of model.transformer.h[1].parameters()) parameter.requiresGrad = true;
      await step(8);
      for (const parameter of model.parameters()) parameter.grad = t.zerosLike(parameter);
      await model.trainStep(batch(9, 5));
      await model.generate([1, 2, 3], { maxTokens: 6, temperature: 0 });
      const labels = batch(10).ids.map((row) => row.map((id, i) => (i < 3 ? -100 : id)));
      for (let n = 0; n < 4; n++) await model.trainStep({ ids: batch(n).ids, labels });
      await several(step, 11, 15);
      set(model.transformer.ln_f, { eps: 10 });
      await several(step, 15, 19);
    });
    expect(await changes).toBeGreaterThan(4);
  });

  test("with an optimizer and a loss of one's own beside them", async () => {
    await both(async (model, step) => {
      const optimizer = new SGD(model.parameters(), { lr: 0.1 });
      for (let n = 0; n < 4; n++) {
        await step(n);
        t.tidy(() => model.loss(batch(n).ids).backward()); // adds to the gradients of the step
        optimizer.step();
      }
      optimizer.dispose();
    });
  });

  test("leave gradients alone that somebody holds on to", async () => {
    const changes = both(async (model, step) => {
      const { weight } = model.getSubmodule("transformer.h.0.mlp.c_fc") as Linear;
      for (let n = 0; n < 4; n++) {
        await step(n);
        const [mine, values] = [weight.grad!.detach(), await listed(weight.grad!)];
        await step(n + 4);
        expect(await listed(mine)).toEqual(values);
        mine.dispose();
      }
      await several(step, 8, 12);
    });
    expect(await changes).toBeGreaterThan(4);
  });

  test("of a run keep no gradients beside the sum of several batches", async () => {
    const run = async () => {
      t.manualSeed(11);
      const model = await made();
      const next = async () => ({ ids: Int32Array.from(batch(told.length).ids.flat()), shape: [2, 9] });
      const config = { training: { accumulate: 3, batchSize: 2 } } as TrainingConfig;
      const task = new LanguageTask(model, { source: { next } } as unknown as LanguageData, config);
      const optimizer = new AdamW(model.parameters(), { lr: 0.1 });
      const told: unknown[] = [];
      for (let n = 0; n < 4; n++) told.push(await trainStep({ task, optimizer }, { accumulate: 3, clipNorm: 1 }));
      const { live } = t.memory();
      for (const made of [optimizer, model]) made.dispose();
      return [live - t.memory().live, ...told];
    };
    expect(await run()).toEqual(await observed(run));
  });

  test("take the kernel that a user gives an op in between", async () => {
    await both(async (_, step) => {
      await several(step);
      t.registerKernel("gelu", "webgpu", (_, [out], __, kernels) => kernels.fill(out, 0), { override: true });
      await several(step, 5, 9).finally(() => getOp("gelu").kernels.clear());
    });
  });

  test("asked for all at once, each rehearses, and they follow each other", async () => {
    await both(async (_, step) => {
      await Promise.all([0, 1, 2].map(step));
      await several(step, 3, 6);
    });
  });

  test("a bad id of a tensor is told, and the next step is as before", async () => {
    const model = await made();
    const ids = (bad: number) => t.tensor([[1, 2, bad, 4, 5, 6, 7]], { dtype: "int32", device: "webgpu" });
    for (const id of [3, 3, 3, 99, 3]) {
      const given = ids(id);
      const step = model.trainStep({ ids: given });
      if (id > 66) await expect(step).rejects.toThrow("got 99 at position 2");
      else expect((await step).loss).toBeGreaterThan(0);
      expect(await listed(given)).toEqual([1, 2, id, 4, 5, 6, 7]);
      given.dispose();
    }
    model.dispose();
  });
});
