/** The graphics card goes away in the middle of a run: a typed error, and the run goes on from its last checkpoint. */

import { DeviceError, init } from "tenon";
import { loadRun, MemoryStore, train } from "tenon/runs";
import { afterAll, describe, expect, test } from "vitest";
import { backendOf } from "../../src/backend/devices.js";
import type { WebGpuBackend } from "../../src/backend/webgpu/backend.js";
import { openWebGpu } from "../backend/webgpu/device.js";

const backend = await openWebGpu();
afterAll(() => init({ device: "cpu" }));

const config = {
  data: { corpus: "tales", length: 4000 },
  model: { model_type: "gpt2", n_layer: 1, n_head: 2, n_embd: 16 },
  training: { steps: 12, batchSize: 2, blockSize: 16, evalEvery: 6, checkpointEvery: 4, sampleEvery: 0, dropout: 0.1 },
  device: "webgpu" as const,
};

const destroy = () => (backendOf("webgpu") as WebGpuBackend).gpu.device.destroy();

/** A store in which the device goes away, once, while a file is written. */
class Breaking extends MemoryStore {
  constructor(private breaksAt: string) {
    super();
  }
  override async write(path: string, content: Parameters<MemoryStore["write"]>[1]): Promise<void> {
    if (this.breaksAt && path.endsWith(this.breaksAt)) {
      this.breaksAt = "";
      destroy();
    }
    await super.write(path, content);
  }
}

describe.skipIf(!backend)("a device lost in the middle of a run", () => {
  const undisturbed = train(config, { store: new MemoryStore() });
  undisturbed.result.catch(() => undefined);

  test.each([
    ["between two steps", new MemoryStore(), 7, 4],
    ["while a step computes", new MemoryStore(), 10, 8],
    ["while a checkpoint is written", new Breaking("step-000008/optimizer.safetensors"), undefined, 4],
  ])("%s", async (when, store, lostAt, checkpoint) => {
    const { weightsHash } = await undisturbed;
    const run = train(config, { store });
    let executionId = "";
    const follow = async () => {
      for await (const event of run) {
        if (event.type === "start") executionId = event.executionId;
        if (event.type !== "step" || event.step !== lostAt) continue;
        if (when === "between two steps") destroy();
        else setTimeout(destroy);
      }
      await run;
    };
    const error = await follow().catch((error) => error);
    expect(error).toBeInstanceOf(DeviceError);
    expect(error.message).toMatch(
      /^webgpu: the device was lost \(.+\)\. Go on from the checkpoint of step \d+: train\(/,
    );
    expect(error.message).toContain(`step ${checkpoint}: train(config, { resume: "${executionId}" })`);
    expect((await loadRun(executionId, { store })).manifest.status).toBe("failed");

    const resumed = train(config, { store, resume: executionId });
    const steps: number[] = [];
    for await (const event of resumed) if (event.type === "step") steps.push(event.step);
    expect(steps[0]).toBe(checkpoint + 1);
    const result = await resumed;
    expect(result).toMatchObject({ executionId, steps: 12, device: "webgpu", weightsHash });
    const { manifest } = await loadRun(executionId, { store });
    expect(manifest).toMatchObject({ status: "done", finalWeights: weightsHash, resumedAt: [checkpoint] });
  });
});
