/**
 * Tensors above the limit of one binding are bound by ranges: every kernel gives the bits that it gives without, in a
 * training run and a cached decode as well. What needs more bindings than there are is refused by name.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as t from "tenon";
import { loadModel } from "tenon/models";
import { train } from "tenon/runs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { byRanges } from "../../../src/backend/webgpu/ranges.js";
import { softwareKernels } from "../../../src/backend/webgpu/software/kernels.js";
import { platform, setPlatform } from "../../../src/core/platform.js";
import { softwareGpu } from "../../setup/webgpu.js";
import { noise } from "../operands.js";
import { openWithLimit } from "./device.js";
import { bytesOn, LIMIT, open, table } from "./range-cases.js";

const gpu = await softwareGpu();
const only = { software: softwareKernels };
const [whole, cut] = [await open(only), await open(only, LIMIT)];
afterAll(() => {
  whole?.destroy();
  cut?.destroy();
});

describe.skipIf(!gpu)("kernels on tensors above the limit of one binding give the bits of one binding", () => {
  test.each(table)("%s", async (_, body, limit) => {
    const other = limit === undefined ? undefined : await open(only, limit);
    const [expected, got] = [await bytesOn(whole!, body), await bytesOn(other ?? cut!, body)];
    other?.destroy();
    for (const [i, bytes] of got.entries()) expect(Buffer.compare(bytes, expected[i]), `output ${i}`).toBe(0);
  });
});

test("the text of a kernel reaches its buffers by ranges, also in an index and in a sum", () => {
  const text = byRanges(
    "x[x[i].y + a[2]] += x[3]; let v = x[n] == y[1];",
    { name: "x", type: "vec2u", writes: true },
    2,
    64,
  );
  expect(text).toContain(
    "x_range_put(u32(x_range_get(u32(i)).y + a[2]), x_range_get(u32(x_range_get(u32(i)).y + a[2])) + (x_range_get(u32(3)))); let v = x_range_get(u32(n)) == y[1];",
  );
  expect(text).toContain("if (i < 8u) { return x_range0[i]; }\n  return x_range1[i - 8u];");
});

test.skipIf(!gpu)("a kernel that is refused in the middle keeps nothing of what it took", async () => {
  const { pool, device } = cut!.gpu;
  const { live } = pool.memory();
  const shape = [100, 92];
  const refused = bytesOn(cut!, (k, make, indices) => {
    k.indexAdd(indices(100, 100), make(shape, 1), make(shape, 2), { outer: 1, size: 100, inner: 92, count: 100 });
    return [];
  });
  await expect(refused).rejects.toThrow(
    `webgpu: indexAdd needs 20 bindings to reach a float32 tensor [100, 92] of 35.9 KiB in parts of 4.0 KiB, the limit of ` +
      `one binding, got ${device.limits.maxStorageBuffersPerShaderStage} of this adapter.`,
  );
  expect(pool.memory().live).toBe(live);
  // Elements of 16 bits at odd places share a word with others.
  const odd = bytesOn(cut!, (k, make) => {
    const place = { inputOffset: 0, inputStrides: [1], outputOffset: 1, outputStrides: [1] };
    k.stridedCopy(make([9], 1, "float16"), make([3000], 2, "float16"), { shape: [9], ...place });
    return [];
  });
  await expect(odd).rejects.toThrow(
    "webgpu: stridedCopy cannot write single elements of a float16 tensor [3000] of 5.9 KiB in parts of 4.0 KiB",
  );
});

describe.skipIf(!gpu)("a GPT whose embedding is above the limit", () => {
  const host = platform();
  const out = mkdtempSync(join(tmpdir(), "tenon-ranges-"));
  const use = (limit?: number) => openWithLimit(host, gpu!, limit);
  beforeAll(() => t.init({ device: "webgpu" }));
  afterAll(async () => {
    rmSync(out, { recursive: true });
    setPlatform(host);
    await t.init({ device: "cpu" });
  });

  test("trains, is saved, loaded, resumed and writes, with the bits of one binding", async () => {
    const config = {
      data: { corpus: "tales", length: 3000 },
      tokenizer: "byte",
      model: { model_type: "gpt2", n_layer: 1, n_head: 2, n_embd: 16 },
      training: {
        ...{ steps: 6, batchSize: 2, blockSize: 8, dropout: 0.1, clipNorm: 1, learningRate: 1e-2 },
        ...{ evalEvery: 6, sampleEvery: 0, checkpointEvery: 3 },
      },
      device: "webgpu",
    } as const;
    const outcomes: unknown[] = [];
    for (const limit of [undefined, LIMIT]) {
      const { gpu } = await use(limit);
      const run = train({ ...config, out });
      for await (const event of run) if (limit && event.type === "step" && event.step === 4) void run.stop();
      const { executionId, runDir } = await run;
      const { weightsHash } = limit ? await train({ ...config, out }, { resume: executionId }) : await run;
      const model = await loadModel(`${runDir}/checkpoints/step-000006`, { device: "webgpu" });
      const embedding = [...model.parameters()][0];
      expect(embedding.size * 4 > gpu.pool.range).toBe(limit !== undefined);
      const { text } = await model.generate("One", { maxTokens: 12, temperature: 0.8, seed: 1 });
      outcomes.push({ weightsHash, text });
      model.dispose();
    }
    expect(outcomes[1]).toEqual(outcomes[0]);
  });

  test("what no binding reaches is refused by name, and everything stays usable", async () => {
    const { gpu } = await use(LIMIT);
    const { maxStorageBuffersPerShaderStage: bindings } = gpu.device.limits;
    const most = (bindings - 3) * LIMIT;
    const { uploads } = gpu.counters;
    const { live } = t.memory();
    expect(() => t.zeros([most + 4])).toThrow(/^webgpu: a float32 tensor \[\d+\] needs .+, got a limit of/);
    const rows = (seed: number) => t.tidy(() => t.tensor(noise(most / 4, seed)).reshape([bindings - 3, LIMIT / 4]));
    const [a, b] = [rows(2), rows(3)];
    expect(() => t.softmax(a, { dim: 1 })).toThrow(
      `webgpu: softmax needs ${2 * (bindings - 3)} bindings to reach a float32 tensor [${bindings - 3}, 1024] of ` +
        `${4 * (bindings - 3)}.0 KiB in parts of 4.0 KiB, the limit of one binding, got ${bindings} of this adapter.`,
    );
    expect(gpu.counters.uploads - uploads).toBe(2);
    // What goes through in step needs no more bindings than tensors.
    const sum = t.add(a, b);
    expect((await sum.data())[most / 4 - 1]).toBe(
      Math.fround(noise(most / 4, 2)[most / 4 - 1] + noise(most / 4, 3)[most / 4 - 1]),
    );
    for (const tensor of [a, b, sum]) tensor.dispose();
    expect(t.memory().live).toBe(live);
  });
});
