/**
 * What batching must not show: values, changes in place, frees and errors come in program order; errors of the device
 * reject the next await by name; nothing grows; two runs give the same bits.
 */

import * as t from "tenon";
import { createModel } from "tenon/models";
import { AdamW } from "tenon/optim";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { setMemoryBudget } from "../../../src/backend/storage.js";
import { constant_ } from "../../../src/nn/init.js";
import { rehearse } from "../../../src/nn/rehearse.js";
import { tidy } from "../../../src/tensor/scope.js";
import { openWebGpu } from "./device.js";

const backend = await openWebGpu();
afterAll(() => t.init({ device: "cpu" }));

const config = {
  ...{ model_type: "gpt2", vocab_size: 67, n_positions: 32, n_layer: 1, n_head: 2, n_embd: 24 },
  ...{ embd_pdrop: 0, attn_pdrop: 0, resid_pdrop: 0 },
};
const batch = (step: number) => ({
  ids: Array.from({ length: 3 }, (_, i) => Array.from({ length: 9 }, (_, j) => (i * 7 + j * 3 + step) % 65)),
});

describe.skipIf(!backend)("one table for every device: operations happen in program order", () => {
  describe.each(["reference", "cpu", "webgpu"] as const)("%s", (device) => {
    beforeAll(() => t.init({ device }));

    test("a value read between operations is that of its time, also when it changes later", async () => {
      const x = t.tensor([1, 2, 3]);
      const early = x.data();
      const update = new AdamW([x], { lr: 1, weightDecay: 0 });
      x.requiresGrad = true;
      update.step([t.tensor([1, -1, 1])]);
      const late = x.data();
      expect([...(await early)]).toEqual([1, 2, 3]);
      for (const [i, value] of (await late).entries()) expect(value).toBeCloseTo([0, 3, 2][i], 5);
      update.dispose();
    });

    test("memory that is freed and taken again keeps what is computed from it", async () => {
      let sum = t.zeros([300]);
      for (let i = 0; i < 50; i++) {
        const x = t.full([300], i);
        const next = t.add(sum, t.mul(x, 2));
        x.dispose();
        sum.dispose();
        sum = next;
      }
      expect((await sum.data())[299]).toBe(2 * ((49 * 50) / 2));
    });

    test("an upload into memory that recorded operations still read waits for them", async () => {
      const values: t.Tensor[] = [];
      for (let i = 0; i < 20; i++) {
        const x = t.tensor(new Float32Array(200).fill(i));
        values.push(t.sum(x));
        x.dispose();
      }
      const read = await Promise.all(values.map((value) => value.item()));
      expect(read).toEqual(read.map((_, i) => i * 200));
    });

    test("an exception leaves everything as it was", async () => {
      const x = t.tensor([1, 2, 3]);
      const y = t.mul(x, 2);
      expect(() => t.add(y, t.tensor([1, 2]))).toThrow(t.ShapeError);
      expect([...(await t.add(y, 1).data())]).toEqual([3, 5, 7]);
    });

    test("an index out of range reaches the caller by name, and the device goes on", async () => {
      const table = t.tensor([1, 2, 3, 4]).reshape([2, 2]);
      const row = async (index: number) => {
        // An error that arrives later keeps what was on the stack alive for a while: free it here.
        const ids = t.tensor([0, index, 9 * index], { dtype: "int32" });
        let out: t.Tensor | undefined;
        try {
          out = t.embedding(ids, table);
          return Array.from(await out.data());
        } finally {
          ids.dispose();
          out?.dispose();
        }
      };
      await expect(row(5)).rejects.toThrow("embedding: needs index from 0 to 1, got 5 at position 1.");
      expect(await row(0)).toEqual([1, 2, 1, 2, 1, 2]);
      table.dispose();
    });
  });
});

/** Before all others that train: what is compiled here once, theirs has too. */
describe.skipIf(!backend)("pipelines ahead of use", () => {
  const device = backend!;
  beforeAll(() => t.init({ device: "webgpu" }));
  const own = { ...config, embd_pdrop: 0.1 };

  test("a first training step and a first text hold up nobody for pipelines", async () => {
    device.gpu.forgetKernels();
    const model = await createModel(own, undefined, { seed: 3 });
    const made = () => device.gpu.pipelines.atOnce;
    let before = made();
    // Products of two to four rows have kernels of their own, which a prompt so short makes when it comes.
    await model.generate([1, 2, 3, 4, 5], { maxTokens: 3, temperature: 0 });
    expect(made() - before).toBe(0);
    before = made();
    await model.trainStep(batch(0), { clipNorm: 1 });
    // The optimizer's own: its state cannot be rehearsed.
    expect(made() - before).toBeLessThanOrEqual(2);
    before = made();
    await model.trainStep(batch(1), { clipNorm: 1 });
    expect(made() - before).toBe(0);
    model.dispose();
  });

  test("what is rehearsed computes nothing, draws nothing and keeps nothing", async () => {
    const losses: number[][] = [];
    for (const rehearsed of [true, false]) {
      t.manualSeed(7);
      const model = await createModel(own, undefined, { seed: 3 });
      const { live, peak } = t.memory();
      const dispatches = device.gpu.counters.dispatches;
      if (rehearsed) await rehearse(model, () => model.loss(batch(0).ids).backward());
      expect(t.memory()).toMatchObject({ live, peak });
      expect(device.gpu.counters.dispatches).toBe(dispatches);
      expect([...model.parameters()].every(({ grad }) => grad === undefined)).toBe(true);
      const mine: number[] = [];
      for (let step = 0; step < 3; step++) mine.push((await model.trainStep(batch(step))).loss);
      losses.push(mine);
      model.dispose();
    }
    expect(losses[1]).toEqual(losses[0]);
  });

  test("what is written in place while something is rehearsed is as it was", async () => {
    const count = t.tensor([3]);
    await device.rehearse!(() => void constant_(count, 8));
    expect(await count.item()).toBe(3);
    count.dispose();
  });

  test("indices that were only rehearsed are checked in earnest", async () => {
    const bad = t.tensor([0, 9, 1, 1, 1], { dtype: "int32" });
    const weight = t.ones([4, 2]);
    const run = () => t.embedding(bad, weight);
    await device.rehearse!(() => run().dispose());
    const out = run();
    await expect(out.data()).rejects.toThrow("embedding: needs index from 0 to 3, got 9 at position 1.");
    for (const tensor of [bad, weight, out]) tensor.dispose();
  });

  test("an error in what is rehearsed shows itself when it is done in earnest", async () => {
    const model = await createModel(own, undefined, { seed: 3 });
    await rehearse(model, () => model.forward([[1, 2, 99]]));
    expect(() => model.forward([[1, 2, 99]])).toThrow(/99/);
    model.dispose();
  });
});

describe.skipIf(!backend)("the command stream", () => {
  beforeAll(() => t.init({ device: "webgpu" }));

  test("leaving the device is asynchronous, with gradients on the way", async () => {
    const x = t.tensor([1, 2], { requiresGrad: true });
    expect(() => x.to({ device: "cpu" })).toThrow('Use await x.toDevice("cpu")');
    const y = await t.mul(x, 3).toDevice("cpu");
    expect(y.device).toBe("cpu");
    t.sum(t.mul(y, y)).backward();
    expect([...(await x.grad!.data())]).toEqual([18, 36]);
  });

  test("an index out of range writes nothing elsewhere", async () => {
    const tensors = [t.full([64], 7), t.zeros([4, 2]), t.tensor([-1, 99], { dtype: "int32" }), t.ones([1, 2])];
    const [kept, grads, index, ones] = tensors;
    const sums = tidy(() => t.scatterAdd(grads, 0, index.reshape([1, 2]), ones));
    await expect(sums.data()).rejects.toThrow("scatterAdd: needs index from 0 to 3, got -1 at position 0");
    expect(Math.max(...(await kept.data()))).toBe(7);
    for (const tensor of [...tensors, sums]) tensor.dispose();
  });

  test("errors of the device reject the next await and name the operations of the batch", async () => {
    const { gpu } = backend!;
    const kernel = gpu.kernel("broken", () => ({
      ...{ name: "broken", buffers: [{ name: "x", type: "f32", writes: true }], params: {} },
      code: "@compute @workgroup_size(1) fn main() { x[0] = nonsense; }",
    }));
    const x = t.zeros([64]);
    gpu.run(kernel, [x], [], 1);
    await expect(x.data()).rejects.toThrow(/webgpu: the kernel of broken was refused/);
    expect((await t.ones([2]).data())[1]).toBe(1);
  });

  test("the budget holds for the graphics card too", () => {
    setMemoryBudget(t.memory().live + 1000);
    try {
      expect(() => t.zeros([1000])).toThrow(t.MemoryBudgetError);
    } finally {
      setMemoryBudget(undefined);
    }
  });

  test("training: the losses of the CPU, few commands, no growth, the same bits twice", async () => {
    const losses: Record<string, number[]> = {};
    const weights: number[][] = [];
    const { gpu } = backend!;
    let warmBuffers = 0;
    let warmPooled = 0;
    let dispatches = 0;
    for (const run of ["cpu", "webgpu", "webgpu again"]) {
      const device = run === "cpu" ? "cpu" : "webgpu";
      const model = await createModel(config, undefined, { seed: 3, device });
      losses[run] = [];
      for (let step = 0; step < 10; step++) {
        const before = { ...gpu.counters };
        losses[run].push((await model.trainStep(batch(step), { learningRate: 3e-3, clipNorm: 1 })).loss);
        dispatches = gpu.counters.dispatches - before.dispatches;
        // The loss comes back with all that is known of the step; ids and labels go up; a submit for every 32 launches.
        if (device === "webgpu" && step > 3)
          for (const [kind, count] of Object.entries({ reads: 1, uploads: 2, submits: Math.ceil(dispatches / 32) }))
            expect(gpu.counters[kind as "reads"] - before[kind as "reads"], kind).toBe(count);
        if (step === 3) {
          warmBuffers = gpu.pool.created;
          warmPooled = gpu.pool.memory().pooled;
        }
      }
      if (device === "webgpu") {
        expect(gpu.pool.created).toBe(warmBuffers);
        expect(gpu.pool.memory().pooled).toBeLessThanOrEqual(warmPooled);
        weights.push(Array.from(await [...model.parameters()][0].data()));
        console.log(`a training step of ${config.n_layer} layer: ${dispatches} dispatches`);
      }
      model.dispose();
    }
    for (const [i, loss] of losses["cpu"].entries()) expect(Math.abs(loss - losses["webgpu"][i])).toBeLessThan(1e-4);
    expect(losses["webgpu"].at(-1)!).toBeLessThan(losses["webgpu"][0] - 0.3);
    expect(losses["webgpu again"]).toEqual(losses["webgpu"]);
    expect(weights[1]).toEqual(weights[0]);
  });

  test("greedy generation with a cache gives the tokens of the CPU", async () => {
    const tokens: number[][] = [];
    for (const device of ["cpu", "webgpu"] as const) {
      const model = await createModel(config, undefined, { seed: 5, device });
      const { tokens: made } = await model.generate([1, 2, 3], { maxTokens: 12, temperature: 0 });
      tokens.push([...made]);
      model.dispose();
    }
    expect(tokens[1]).toEqual(tokens[0]);
  });

  test("tokens computed before this side has read the last are those of the CPU: windows, ends, weights that change", async () => {
    const results: unknown[] = [];
    for (const device of ["cpu", "webgpu"] as const) {
      const model = await createModel({ ...config, n_positions: 8 }, undefined, { seed: 6, device });
      const { live } = t.memory();
      const { tokens } = await model.generate([1, 2, 3], { maxTokens: 20, temperature: 0 });
      model.config.eos_token_id = tokens[2];
      const [first, second] = await model.generate(
        [
          [1, 2, 3],
          [4, 5, 6],
        ],
        { maxTokens: 9, temperature: 0 },
      );
      model.config.eos_token_id = null;
      const streamed: number[] = [];
      const columns = Array.from({ length: config.n_embd }, (_, i) => (i % 3) - 1);
      const largest = [...model.parameters()].find(({ ndim }) => ndim === 2)!;
      for await (const { id } of model.stream([1, 2, 3], { maxTokens: 7, temperature: 0 })) {
        streamed.push(id);
        if (streamed.length === 1)
          tidy(() => t.noGrad(() => void largest.copy_(largest.mul(t.tensor(columns, { device })))));
      }
      results.push({
        tokens,
        first: first.tokens,
        ends: [first.finishReason, second.finishReason],
        second: second.tokens,
        streamed,
      });
      for await (const _ of model.stream([1, 2, 3], { temperature: 0 })) break;
      expect(t.memory().live).toBe(live);
      model.dispose();
    }
    expect(results[1]).toEqual(results[0]);
    const [{ first, tokens, streamed }] = results as { first: number[]; tokens: number[]; streamed: number[] }[];
    expect(first.length).toBeLessThan(9);
    expect(streamed[0]).toBe(tokens[0]);
    expect(streamed[1]).not.toBe(tokens[1]);
    expect(streamed).not.toEqual(tokens.slice(0, 7));
  });

  test("a thousand small steps grow nothing", async () => {
    const { gpu } = backend!;
    const w = t.full([20, 20], 0.01);
    const step = () => tidy(() => t.sum(t.softmax(t.matmul(w, t.mul(w, 1.5)))));
    for (let i = 0; i < 1000; i++) {
      const value = step();
      if (i % 50 === 49) expect(Math.abs((await value.item()) - 20)).toBeLessThan(1e-3);
      value.dispose();
      if (i === 100) gpu.pool.created = 0;
    }
    expect(gpu.pool.created).toBe(0);
    w.dispose();
  });

  test("buffers that nobody asks for any more go back to the device", async () => {
    const { pool } = backend!.gpu;
    const large = t.ones([100_000]);
    await large.data();
    large.dispose();
    expect(pool.memory().pooled).toBeGreaterThanOrEqual(400_000);
    const one = t.ones([1]);
    const before = pool.memory().pooled;
    for (let batch = 0; batch < 330; batch++) await t.tidy(() => t.add(one, batch)).data();
    expect(before - pool.memory().pooled).toBeGreaterThanOrEqual(400_000);
    one.dispose();
  });
});

describe.skipIf(!backend)("in the end", () => {
  beforeAll(() => t.init({ device: "webgpu" }));

  test("a lost device says so everywhere, and init opens another", async () => {
    const lost = backend!;
    const x = t.ones([4]);
    lost.gpu.device.destroy();
    await expect(x.data()).rejects.toThrow(/webgpu: the device was lost/);
    expect(() => t.add(x, 1)).toThrow(/go on from the last checkpoint; tensors of before are gone\./);
    await t.init({ device: "webgpu" });
    const onCpu = t.ones([4], { device: "cpu" });
    expect(() => t.add(onCpu, t.ones([4]))).toThrow('Move one: await b.toDevice("cpu").');
    x.dispose();
    onCpu.dispose();
    expect([...(await t.add(t.ones([2]), 1).data())]).toEqual([2, 2]);
  });
});

test("auto never takes a software adapter, and says why", async () => {
  const caps = await t.init({ device: "auto" });
  if (caps.device === "webgpu") expect(caps.devices.webgpu!.details["software"]).toBe(false);
  else expect(caps.reason).toMatch(/no WebGPU graphics card \(.+\); the CPU is used/);
  expect((await t.init({ device: "auto", deterministic: true })).reason).toMatch(/same bits everywhere/);
});
