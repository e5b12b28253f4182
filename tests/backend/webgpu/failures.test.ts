/** What goes wrong on the device: typed errors at the next await, with names and the next step, after which all goes on. */

import * as t from "tenon";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { backendOf } from "../../../src/backend/devices.js";
import type { WebGpuBackend } from "../../../src/backend/webgpu/backend.js";
import { pieceOf } from "../../../src/backend/webgpu/bindings.js";
import { platform, setPlatform } from "../../../src/core/platform.js";
import { Repeated } from "../../../src/tensor/repeated.js";
import { softwareGpu } from "../../setup/webgpu.js";
import { altered } from "./proxies.js";

const gpu = await softwareGpu();
const host = platform();
const MEBIBYTE = 2 ** 20;

/** Nor has it memory for buffers to read through, while this is set. */
let unreadable = false;

/** A device without memory for buffers above a MiB: it answers like one, and gives a buffer that may not be used. */
function poor(device: GPUDevice): GPUDevice {
  const scopes: { filter: GPUErrorFilter; refused?: true }[] = [];
  return altered(device, {
    createBuffer(descriptor: GPUBufferDescriptor) {
      const refused = descriptor.size > MEBIBYTE || (unreadable && (descriptor.usage & GPUBufferUsage.MAP_READ) > 0);
      const scope = scopes.findLast(({ filter }) => filter === "out-of-memory");
      if (!refused) return device.createBuffer(descriptor);
      if (scope) scope.refused = true;
      device.pushErrorScope("validation");
      const invalid = device.createBuffer({ ...descriptor, usage: 0 });
      device.popErrorScope();
      return invalid;
    },
    pushErrorScope(filter: GPUErrorFilter) {
      scopes.push({ filter });
      device.pushErrorScope(filter);
    },
    async popErrorScope() {
      const { refused } = scopes.pop()!;
      const error = await device.popErrorScope();
      return refused ? new GPUOutOfMemoryError("there is no more") : error;
    },
  });
}

describe.skipIf(!gpu)("on the device", () => {
  beforeAll(async () => {
    const requestAdapter = async (options?: GPURequestAdapterOptions) => {
      const adapter = (await gpu!.requestAdapter(options))!;
      return altered(adapter, {
        requestDevice: async (d: GPUDeviceDescriptor) => poor(await adapter.requestDevice(d)),
      });
    };
    setPlatform(altered(host, { gpu: async () => ({ gpu: { requestAdapter } as GPU }) }));
    await t.init({ device: "webgpu" });
  });
  afterAll(async () => {
    setPlatform(host);
    await t.init({ device: "cpu" });
  });
  const goesOn = async () => expect([...(await t.add(t.ones([2]), 1).data())]).toEqual([2, 2]);

  test("no memory: a MemoryBudgetError with the size and the next step", async () => {
    const { pool } = (backendOf("webgpu") as WebGpuBackend).gpu;
    const { pooled } = pool.memory();
    const large = t.tidy(() => t.add(t.zeros([300_000]), 1));
    const read = large.data();
    await expect(read).rejects.toBeInstanceOf(t.MemoryBudgetError);
    await expect(read).rejects.toThrow(
      /^zeros: an allocation needs 1\.\d MiB, got none from the graphics card\. Free tensors, use a smaller batch/,
    );
    large.dispose();
    await goesOn();
    // What the card refused is no memory for others; it is asked again.
    expect(pool.memory().pooled).toBeLessThan(pooled + MEBIBYTE);
    const { created } = pool;
    const [early, late] = [0, 1].map(() => t.tidy(() => t.add(t.zeros([300_000]), 1)));
    early.dispose(); // before the card has answered
    await expect(late.data()).rejects.toBeInstanceOf(t.MemoryBudgetError);
    late.dispose();
    await goesOn();
    expect(pool.created).toBeGreaterThan(created);
    expect(pool.memory().pooled).toBeLessThan(pooled + MEBIBYTE);
  });

  test("no memory to read through: the same", async () => {
    const x = t.tidy(() => t.add(t.ones([1000]), 1));
    unreadable = true;
    const read = x.data();
    unreadable = false;
    await expect(read).rejects.toBeInstanceOf(t.MemoryBudgetError);
    await expect(read).rejects.toThrow(
      /^webgpu: an allocation needs [45](\.\d)? KiB, got none from the graphics card\. Free/,
    );
    x.dispose();
    await goesOn();
  });

  test("no memory for what is to be repeated: the card is asked again", async () => {
    const repeated = new Repeated(backendOf("webgpu"));
    for (let i = 0; i < 4; i++) {
      const [result] = repeated.run([], () => [t.zeros([300_000]).add(1).sum()]);
      await expect(result.item()).rejects.toBeInstanceOf(t.MemoryBudgetError);
      result.dispose();
    }
    repeated.dispose();
    await goesOn();
  });

  test.each([
    ["embedding", (bad: t.Tensor) => t.embedding(bad, t.ones([4, 2])), "embedding"],
    ["gather", (bad: t.Tensor) => t.gather(t.ones([3]), 0, bad), "gather"],
    ["scatterAdd", (bad: t.Tensor) => t.scatterAdd(t.zeros([3]), 0, bad, t.ones([2])), "scatterAdd"],
    ["crossEntropy", (bad: t.Tensor) => t.crossEntropy(t.ones([2, 3]), bad), "crossEntropy"],
  ])("an index out of range of %s is told at the next await, by name and place", async (_, run, name) => {
    for (const wrong of [77, -3]) {
      const bad = t.tensor([0, wrong], { dtype: "int32" });
      // Whoever tries again with the same indices is told again.
      for (let time = 0; time < 2; time++) {
        const out = t.tidy(() => run(bad));
        const elsewhere = t.ones([2]);
        await expect(elsewhere.data()).rejects.toThrow(
          new RegExp(`^${name}: needs index from 0 to \\d, got ${wrong} at position 1\\.`),
        );
        for (const tensor of [out, elsewhere]) tensor.dispose();
        await goesOn();
      }
      bad.dispose();
    }
  });

  test("errors go to the reads whose values they may have spoilt: not to earlier ones, and to each of several", async () => {
    const table = t.ones([3, 2]);
    const bad = (index: number) => t.tidy(() => t.indexSelect(table, 0, t.tensor([0, index], { dtype: "int32" })));
    const outcome = (read: Promise<unknown>) =>
      read.then(
        () => "values",
        (error: Error) => error.message,
      );
    // Nobody waits for the first of these.
    const x = t.ones([300, 300]);
    const square = t.tidy(() => t.matmul(x, x));
    const abandoned = outcome(square.data());
    const one = bad(5);
    const first = outcome(one.data());
    const two = bad(6);
    const second = outcome(two.data());
    expect(await first).toContain("got 5 at position 1");
    expect(await second).toContain("got 6 at position 1");
    expect(await abandoned).toBe("values");
    // What was computed beside them, and not asked for by then, is told at its own read.
    const between = t.tidy(() => bad(4).add(1));
    expect(await outcome(between.data())).toContain("got 4 at position 1");
    await goesOn();
    // More than the device lists.
    const many = Array.from({ length: 70 }, (_, i) => bad(100 + i));
    expect(await outcome(many[69].data())).toMatch(/needs index from 0 to 2, got 1\d\d at position 1/);
    await goesOn();
    for (const tensor of [table, x, square, one, two, between, ...many]) tensor.dispose();
  });

  test("an error after a generation that was left is not lost to the tokens that nobody takes", async () => {
    const config = { model_type: "gpt2", n_layer: 1, n_embd: 8, n_head: 2, vocab_size: 9, n_positions: 32 };
    const model = await t.createModel(config, undefined, { seed: 1, device: "webgpu" });
    for (let i = 0; i < 3; i++) {
      let taken = 0;
      for await (const _ of model.stream([1, 2, 3], { temperature: 0, maxTokens: 20, ignoreEos: true }))
        if (++taken === 5) break;
      const bad = t.tidy(() => t.indexSelect(t.ones([3, 2]), 0, t.tensor([7], { dtype: "int32" })));
      await expect(bad.data()).rejects.toThrow(/got 7 at position 0/);
      bad.dispose();
      await goesOn();
    }
    model.dispose();
  });

  test("a gradient cannot leave it within backward(): refused, with what would do", async () => {
    const x = t.tensor([2], { device: "cpu", requiresGrad: true });
    const loss = t.tidy(() => x.to({ device: "webgpu" }).square().sum());
    expect(() => loss.backward()).toThrow(
      'backward: a gradient on webgpu cannot go back to cpu. Train the copy: x.detach().to({ device: "webgpu" }), then',
    );
    const copy = x.detach().to({ device: "webgpu" });
    copy.requiresGrad = true;
    t.tidy(() => copy.square().sum().backward());
    expect(await copy.grad!.toArray()).toEqual([4]);
    for (const tensor of [x, loss, copy.grad!, copy]) tensor.dispose();
    await goesOn();
  });

  test("a batch that is refused names its operations, each once", async () => {
    const x = t.ones([100]);
    const early = t.square(x);
    await early.data();
    pieceOf(x).slot!.buffer.destroy();
    const late = t.tidy(() => t.add(t.square(x), t.exp(t.square(x))));
    await expect(late.data()).rejects.toThrow(/^webgpu: a batch of square \(2 times\), exp and add failed: /);
    // The buffer goes back to the pool as it is, and this is the last test.
    for (const tensor of [x, early, late]) tensor.dispose();
    await goesOn();
  });
});
