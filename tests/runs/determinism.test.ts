import { DeterminismError, init, setWarningListener } from "tenon";
import { loadRun, MemoryStore, train } from "tenon/runs";
import { afterEach, describe, expect, test } from "vitest";
import { determinism, setDeterminism } from "../../src/core/determinism.js";

const small = {
  data: { corpus: "tales", length: 3000 },
  model: { model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 8 },
  training: { steps: 2, batchSize: 2, blockSize: 8, evalEvery: 2, sampleEvery: 0, dropout: 0.1 },
} as const;

const manifestOf = async (config: object) => {
  const store = new MemoryStore();
  const { executionId } = await train({ ...small, ...config }, { store });
  return (await loadRun(executionId, { store })).manifest;
};

afterEach(async () => {
  setDeterminism("warn");
  await init({ device: "cpu", numerics: "portable" });
});

describe("a config with deterministic", () => {
  test("true: is granted and written down; everything random in a run has its seed", async () => {
    const manifest = await manifestOf({ deterministic: true });
    expect(manifest.asked).toMatchObject({ device: "auto", deterministic: true });
    expect(manifest).toMatchObject({ device: "cpu", numerics: "portable", determinism: { promise: "bits" } });
    expect(determinism()).toBe("warn");
  });

  test.each([
    [{ device: "webgpu" }, 'refuses device "webgpu"'],
    [{ device: "cpu", numerics: "fast" }, 'refuses numerics "fast"'],
  ])("true refuses %j, before anything is written", async (config, message) => {
    const store = new MemoryStore();
    const run = train({ ...small, ...config, deterministic: true } as never, { store });
    await expect(run.result).rejects.toThrow(message);
    await expect(run.result).rejects.toBeInstanceOf(DeterminismError);
    expect(await store.list("")).toEqual([]);
  });

  test("left out: what the process asked for stays in force; false is a choice", async () => {
    await init({ device: "cpu", deterministic: true });
    await expect(manifestOf({ device: "cpu", numerics: "fast" })).rejects.toThrow('refuses numerics "fast"');
    const manifest = await manifestOf({ device: "cpu", numerics: "fast", deterministic: false });
    expect(manifest.asked).toMatchObject({ numerics: "fast", deterministic: false });
    // Where the engine fuses nothing, fast numerics are the portable ones, and the promise is the better one.
    expect(manifest.determinism.promise).toBe(manifest.numerics === "fast" ? "device" : "bits");
    expect(determinism()).toBe(true);
  });

  test("and the mode takes no part in what a run is", async () => {
    const listener = setWarningListener(undefined);
    try {
      const ids = [];
      for (const deterministic of [true, "warn", false]) ids.push((await manifestOf({ deterministic })).runId);
      expect(new Set(ids).size).toBe(1);
    } finally {
      setWarningListener(listener);
    }
  });
});
