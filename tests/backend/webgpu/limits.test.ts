/** Adapters with the smallest limits that there may be: what is too large is refused by name before any upload. */

import * as t from "tenon";
import { createModel } from "tenon/models";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { backendOf } from "../../../src/backend/devices.js";
import type { WebGpuBackend } from "../../../src/backend/webgpu/backend.js";
import { Pool } from "../../../src/backend/webgpu/pool.js";
import { platform, setPlatform } from "../../../src/core/platform.js";
import { softwareGpu } from "../../setup/webgpu.js";
import { altered } from "./proxies.js";

const gpu = await softwareGpu();
const host = platform();

/** The limits that WebGPU guarantees. */
const guaranteed: Record<string, number> = {
  maxBufferSize: 2 ** 28,
  maxStorageBufferBindingSize: 2 ** 27,
  maxStorageBuffersPerShaderStage: 8,
  maxComputeWorkgroupStorageSize: 2 ** 14,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
};

const smallAdapter = async (options?: GPURequestAdapterOptions): Promise<GPUAdapter> => {
  const adapter = (await gpu!.requestAdapter(options))!;
  return altered(adapter, { limits: altered(adapter.limits, guaranteed) });
};

test("a tensor of bytes has no more elements than 32 bits count, whatever an adapter grants", () => {
  const names = ["maxBufferSize", "maxStorageBufferBindingSize", "maxStorageBuffersPerShaderStage"];
  const limits = Object.fromEntries(names.map((name) => [name, name.endsWith("Stage") ? 16 : 2 ** 40]));
  const { largest } = new Pool(
    { limits } as unknown as GPUDevice,
    () => {},
    () => {},
  );
  expect(largest).toBe(2 ** 32 - 256);
});

describe.skipIf(!gpu)("a device with the limits that every adapter has", () => {
  beforeAll(async () => {
    setPlatform(altered(host, { gpu: async () => ({ gpu: altered(gpu!, { requestAdapter: smallAdapter }) }) }));
    await t.init({ device: "webgpu" });
  });
  afterAll(async () => {
    setPlatform(host);
    await t.init({ device: "cpu" });
  });
  const device = () => (backendOf("webgpu") as WebGpuBackend).gpu;
  /** The embedding of GPT-2 XL: more than one buffer may have. */
  const gpt2 = { model_type: "gpt2", vocab_size: 50257, n_positions: 16, n_layer: 1, n_head: 2, n_embd: 1600 };
  const refusal = /needs 306\.7 MiB, got a limit of 256\.0 MiB per tensor of this adapter\. Use a smaller/;

  test("it has those limits, and says so", () => {
    expect(device().device.limits.maxStorageBufferBindingSize).toBe(2 ** 27);
    // One buffer, but for the bytes that a read takes along.
    expect(t.capabilities().maxMemory).toBe(2 ** 28 - 256);
  });

  test("the embedding of GPT-2 124M is above the limit of one binding, and is used to its last row", async () => {
    const table = t.full([50257, 768], 0.25);
    const ids = t.tensor([0, 43690, 43691, 50256], { dtype: "int32" });
    const [rows, logits] = [t.embedding(ids, table), t.linear(t.full([1, 768], 2), table)];
    const [picked, made] = await Promise.all([rows.data(), logits.data()]);
    expect([picked.length, ...new Set(picked)]).toEqual([4 * 768, 0.25]);
    expect([made.length, ...new Set(made)]).toEqual([50257, 2 * 768 * 0.25]);
    for (const tensor of [table, ids, rows, logits]) tensor.dispose();
  });

  test("a tensor above the limit is refused by dtype and shape", () => {
    const created = device().pool.created;
    expect(() => t.zeros([50257, 1600])).toThrow(/^webgpu: a float32 tensor \[50257, 1600\] needs 306\.7 MiB/);
    expect(() => t.zeros([50257, 1600])).toThrow(refusal);
    expect(() => t.add(t.zeros([50257, 1]), t.zeros([1, 1600]))).toThrow(refusal);
    expect(device().pool.created).toBeLessThanOrEqual(created + 2);
    expect(t.zeros([2 ** 25]).size).toBe(2 ** 25);
  });

  test("so is a weight, by its name, and a new model's parameter, before anything is uploaded", async () => {
    const { uploads } = device().counters;
    const weight = { dtype: "F32", shape: [50257, 1600], data: new Float32Array(0) };
    const given = createModel(gpt2, { "transformer.wte.weight": weight }, { device: "webgpu" });
    await expect(given).rejects.toThrow(
      /^webgpu: transformer\.wte\.weight \[50257, 1600\] needs 306\.7 MiB, got a limit/,
    );
    await expect(createModel(gpt2, undefined, { device: "webgpu" })).rejects.toThrow(refusal);
    expect(device().counters.uploads).toBe(uploads);
  });

  test("an operation on more tensors than a kernel may bind is refused at the call", async () => {
    const sumOf = (count: number) =>
      t.defineOp({
        name: `test.sumOf${count}`,
        doc: "the sum of its inputs",
        inputs: Array.from({ length: count }, (_, i) => `x${i}`),
        expr: (inputs) => inputs.reduce((a, b) => t.expr.add(a, b)),
      });
    const x = t.full([20], 2);
    const seven = sumOf(7)(...new Array<t.Tensor>(7).fill(x)) as t.Tensor;
    expect([...(await seven.data())]).toEqual(new Array(20).fill(14));
    expect(() => sumOf(8)(...new Array<t.Tensor>(8).fill(x))).toThrow(
      "webgpu: test.sumOf8 needs 9 bindings for its tensors, got 8 of this adapter. Compute it in several operations,",
    );
    for (const tensor of [x, seven]) tensor.dispose();
  });

  test("what fits learns as everywhere", async () => {
    const small = { ...gpt2, vocab_size: 65, n_embd: 16, embd_pdrop: 0, attn_pdrop: 0, resid_pdrop: 0 };
    const losses: number[][] = [];
    for (const where of ["cpu", "webgpu"] as const) {
      const model = await createModel(small, undefined, { seed: 3, device: where });
      const own: number[] = [];
      for (let step = 0; step < 3; step++) own.push((await model.trainStep({ ids: [[1, 2, 3, 4, 5, 6, 7]] })).loss);
      losses.push(own);
      model.dispose();
    }
    for (const [i, loss] of losses[0].entries()) expect(Math.abs(loss - losses[1][i])).toBeLessThan(1e-4);
  });
});
