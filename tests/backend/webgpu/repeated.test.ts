/** Computations that the device repeats by itself give the bits of those that are asked for op by op. */
import * as t from "tenon";
import { createModel, type Gpt2 } from "tenon/models";
import { Linear } from "tenon/nn";
import { AdamW, SGD } from "tenon/optim";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { TrainingConfig } from "../../../src/runs/config.js";
import type { LanguageData } from "../../../src/runs/language-data.js";
import { LanguageTask } from "../../../src/runs/language-task.js";
import { trainStep } from "../../../src/runs/loop.js";
import { getOp } from "../../../src/tensor/op.js";
import { live, Repeated, writeInts } from "../../../src/tensor/repeated.js";
import { Parameter } from "../../../src/tensor/tensor.js";
import { openWebGpu } from "./device.js";

const backend = await openWebGpu();

const ints = (...values: number[]) => t.tensor(values, { dtype: "int32" });
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

describe.skipIf(!backend)("a computation that is run again and again", () => {
  const facts = ["the same"];
  let repeated = new Repeated(backend!);
  afterEach(() => {
    repeated.dispose();
    repeated = new Repeated(backend!);
  });

  test("is computed twice; later runs follow tensors that change, and live parts", async () => {
    const weight = t.tensor([1, 2, 3, 4, 5, 6, 7, 8]);
    let index = 0;
    const compute = vi.fn(() =>
      t.tidy(() => {
        const at = t.tensor([0], { dtype: "int32" });
        writeInts(at, () => [index]);
        // Constants of the computation, and scalars.
        return [
          t
            .embedding(at, weight.reshape([8, 1]))
            .add(t.arange(5))
            .mul(2),
        ];
      }),
    );
    for (index = 0; index < 6; index++) {
      const [result] = repeated.run(facts, compute);
      expect(await listed(result)).toEqual([0, 1, 2, 3, 4].map((n) => 2 * (n + (index < 4 ? 1 + index : 0))));
      result.dispose();
      // What others do in between takes and fills the memory that is free.
      const others = [5, 20, 80].map((n) => t.full([n], 99).add(1));
      expect(await others[2].sum().item()).toBe(8000);
      for (const other of others) other.dispose();
      if (index === 3) t.noGrad(() => t.copy_(weight, t.zeros([8])));
    }
    expect(compute).toHaveBeenCalledTimes(2);
    weight.dispose();
  });

  test("other facts compute it anew, none as well, and so does memory that has gone", async () => {
    let x = t.tensor([1, 2]);
    const compute = vi.fn(() => t.tidy(() => [x.mul(3)]));
    const run = async (given: readonly unknown[] | undefined) => {
      const [result] = repeated.run(given, compute);
      const values = await listed(result);
      result.dispose();
      return [compute.mock.calls.length, ...values];
    };
    for (const calls of [1, 2, 2]) expect(await run(["a", 1])).toEqual([calls, 3, 6]);
    for (const calls of [3, 4, 4]) expect(await run(["a", 2])).toEqual([calls, 3, 6]);
    expect(await run(undefined)).toEqual([5, 3, 6]);
    expect(await run(["a", 2])).toEqual([5, 3, 6]);
    x.dispose();
    x = t.tensor([5, 6]);
    for (const calls of [6, 6]) expect(await run(["a", 2])).toEqual([calls, 15, 18]);
    // One that is known on this side only, and changes there.
    x.dispose();
    x = t.tensor([7]);
    for (const calls of [7, 7]) expect(await run(["a", 2])).toEqual([calls, 21]);
    x.dispose();
  });

  test("what a live part reads of a constant is the constant, each time", async () => {
    const compute = () =>
      t.tidy(() => {
        const [constant, out] = [t.full([1], 3), t.zeros([1])];
        live([constant, out], ([from, to]) => {
          const places = { inputOffset: 0, inputStrides: [1], outputOffset: 0, outputStrides: [1] };
          backend!.kernels.stridedCopy(from, to, { shape: [1], ...places });
          backend!.kernels.fill(from, 9);
        });
        return [out.add(1)];
      });
    for (let i = 0; i < 4; i++) {
      const [result] = repeated.run(facts, compute);
      expect(await result.item()).toBe(4);
      result.dispose();
    }
  });

  test("a bad index is told when it comes, and no later", async () => {
    const table = t.tensor([[1], [2], [3]]);
    let index = 0;
    const compute = () =>
      t.tidy(() => {
        const at = ints(0, 0, 0, 0, 0);
        writeInts(at, () => [0, 0, index, 0, 0]);
        return [t.embedding(at, table)];
      });
    for (const [given, message] of [
      [1, undefined],
      [2, undefined],
      [7, "embedding: needs index from 0 to 2, got 7 at position 2."],
      [2, undefined],
      [-4, "embedding: needs index from 0 to 2, got -4 at position 2."],
      [0, undefined],
    ] as const) {
      index = given;
      const [result] = repeated.run(facts, compute);
      if (message) await expect(result.data()).rejects.toThrow(message);
      else expect(await listed(result)).toEqual([1, 1, 1 + given, 1, 1]);
      result.dispose();
    }
    table.dispose();
  });

  test("indices that were checked before are checked each time", async () => {
    const [table, at] = [t.tensor([[1], [2], [3]]), ints(0, 1, 2, 1, 0)];
    for (const index of [1, 1, 1, 9]) {
      t.noGrad(() => t.copy_(at, ints(0, 1, index, 1, 0)));
      t.embedding(at, table).dispose();
      if (index === 9) await expect(at.data()).rejects.toThrow("got 9 at position 2");
      const [result] = repeated.run(facts, () => [t.embedding(at, table)]);
      if (index === 9) await expect(result.data()).rejects.toThrow("got 9 at position 2");
      else expect(await listed(result)).toEqual([1, 2, 1 + index, 2, 1]);
      result.dispose();
    }
    for (const tensor of [table, at]) tensor.dispose();
  });

  test("holds on to its memory until it is disposed; an error in the middle leaves nothing behind", async () => {
    const x = t.tensor(new Float32Array(1000).fill(1));
    const before = t.memory().live;
    const compute = () => t.tidy(() => [x.add(1).exp().log().sum()]);
    const run = async () => {
      const [result] = repeated.run(facts, compute);
      expect(await result.item()).toBeCloseTo(2000, 1);
      result.dispose();
    };
    for (let i = 0; i < 4; i++) await run();
    const { created } = backend!.gpu.pool;
    for (let i = 0; i < 100; i++) await run();
    expect(backend!.gpu.pool.created).toBe(created);
    repeated.dispose();
    expect(t.memory().live).toBe(before);
    const broken = () =>
      t.tidy(() => {
        const y = x.add(1);
        if (broken.fails) throw new Error("in the middle");
        return [y];
      });
    broken.fails = false;
    repeated.run(facts, broken)[0].dispose();
    broken.fails = true;
    expect(() => repeated.run(facts, broken)).toThrow("in the middle");
    repeated.dispose();
    expect(t.memory().live).toBe(before);
    x.dispose();
  });

  test("its buffers leave when nobody asked for it for a long time", async () => {
    const { gpu } = backend!;
    const x = t.ones([2000]);
    const run = async () => {
      const [result] = repeated.run(facts, () => [x.add(1).mul(3).sum()]);
      expect(await result.item()).toBe(12000);
      result.dispose();
    };
    for (let i = 0; i < 3; i++) await run();
    const { pooled } = backend!.memory();
    for (let i = 0; i < 400; i++) {
      x.add(i).dispose();
      gpu.flush();
    }
    expect(backend!.memory().pooled).toBeLessThan(pooled);
    const { created } = gpu.pool;
    for (let i = 0; i < 5; i++) await run();
    expect(gpu.pool.created - created).toBeLessThan(4);
    x.dispose();
  });

  test("what takes much memory on the side is not held on to", async () => {
    const compute = vi.fn(() => [t.ones([2 ** 26 + 1]).narrow(0, 0, 2)]);
    for (const calls of [1, 2, 3]) {
      const [result] = repeated.run(facts, compute);
      expect(await listed(result)).toEqual([1, 1]);
      result.dispose();
      expect(compute).toHaveBeenCalledTimes(calls);
    }
  });
});

const config = { model_type: "gpt2", vocab_size: 67, n_positions: 24, n_embd: 24, n_layer: 2, n_head: 2 };
const made = (more = {}) =>
  createModel({ ...config, ...more }, undefined, { seed: 3, device: "webgpu" }) as Promise<Gpt2>;

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
