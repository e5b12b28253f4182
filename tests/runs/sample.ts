/** A small run on disk, for tests of what reads runs. */

import { checkpointName, hashFile, writeCheckpoint } from "../../src/artifacts/checkpoint.js";
import { MANIFEST, type RunManifest, writeManifest } from "../../src/artifacts/manifest.js";
import { safetensorsChunks, weightsHash } from "../../src/artifacts/safetensors-write.js";
import { type RunStore, writeText } from "../../src/core/store.js";
import { resolveConfig } from "../../src/runs/config.js";
import { configHash, hashedConfig, runFingerprint, runIdOf } from "../../src/runs/identity.js";
import { MetricsLog } from "../../src/runs/metrics.js";

export interface SampleOptions {
  seed?: number;
  learningRate?: number;
  execution?: number;
  result?: Record<string, unknown>;
}

export function sampleManifest({
  seed = 1337,
  learningRate = 1e-3,
  execution = 1,
  result,
}: SampleOptions = {}): RunManifest {
  const config = hashedConfig(resolveConfig({ data: { text: "a.txt" }, seed, training: { learningRate } }), {
    device: "cpu",
    numerics: "portable",
    dataHash: "d".repeat(64),
  });
  const identity = {
    configHash: configHash(config),
    initialWeights: "a".repeat(64),
    tokenizer: "c".repeat(64),
    data: "d".repeat(64),
    packageVersion: "0.1.0",
  };
  const fingerprint = runFingerprint(identity);
  const runId = runIdOf(fingerprint);
  return {
    runId,
    executionId: `${runId}-${execution}`,
    fingerprint,
    package: { name: "tenon", version: "0.1.0" },
    config,
    configHash: identity.configHash,
    tokenizerHash: identity.tokenizer,
    data: {
      fingerprint: identity.data,
      sources: [{ name: "a.txt", size: 100, sha256: "e".repeat(64) }],
      split: { train: 0.9, val: 0.1 },
    },
    initialWeights: identity.initialWeights,
    finalWeights: null,
    seed,
    numerics: "portable",
    precision: "float32",
    device: "cpu",
    asked: { device: "auto", numerics: "portable", deterministic: "warn" },
    environment: { host: "node", threads: 2, simd: true },
    determinism: { promise: "bits", statement: "Equal bits on every machine." },
    status: "running",
    ...(result ? { result } : {}),
  };
}

/** Writes a finished run of four steps with one checkpoint; returns its folder. */
export async function writeSampleRun(store: RunStore, options: SampleOptions = {}): Promise<string> {
  const manifest = sampleManifest(options);
  const folder = manifest.executionId;
  const weights = { w: { dtype: "F32", shape: [2], data: new Float32Array([manifest.seed, 1]) } } as const;
  await writeText(store, `${folder}/config.json`, JSON.stringify({ data: { text: "a.txt" }, seed: manifest.seed }));
  const log = await MetricsLog.open(store, folder);
  for (let step = 1; step <= 4; step++) {
    log.log({ loss: 4 / step + manifest.seed / 1e6, learningRate: 1e-3 }, step);
    log.timing(step, { tokensPerSecond: 100 * step });
  }
  log.log("valLoss", 1.25 + manifest.seed / 1e6, 4);
  log.sample(4, "once upon a time");
  await log.close();
  const step = 4;
  await writeCheckpoint(store, `${folder}/checkpoints/${checkpointName(step)}`, step, {
    "config.json": '{"model_type":"gpt2"}',
    "model.safetensors": safetensorsChunks(weights),
  });
  const files: Record<string, { size: number; sha256: string }> = {};
  for (const name of ["config.json", "metrics.jsonl", "samples.jsonl", "timing.jsonl"]) {
    files[name] = await hashFile(store, `${folder}/${name}`);
  }
  const finalWeights = await weightsHash(weights);
  const valLoss = 1.25 + manifest.seed / 1e6;
  const result = options.result ?? { steps: 4, trainLoss: 1, valLoss, weightsHash: finalWeights };
  await writeText(
    store,
    `${folder}/${MANIFEST}`,
    writeManifest({ ...manifest, finalWeights, status: "done", files, result, wallClock: { seconds: 12.5 } }),
  );
  return folder;
}
