/** A process that writes a run without end, to be killed: `node killed-writer.mjs FOLDER`. Bundled by kill.test.ts. */
import { readCheckpointFile } from "../../src/artifacts/checkpoint.js";
import { FileStore } from "../../src/node/file-store.js";
import "../../src/node/platform.js";
import { RunRecorder } from "../../src/runs/recorder.js";
import { sampleManifest } from "./sample.js";

const { runId, executionId, fingerprint, configHash, finalWeights, status, ...draft } = sampleManifest();
const store = new FileStore(process.argv[2]);
const weightsAt = (step: number) => new Float32Array(100_000).fill(step);

let recorder: RunRecorder;
let step = 0;
try {
  const resumed = await RunRecorder.resume(store, runId);
  recorder = resumed.recorder;
  step = resumed.state.step;
  const bytes = await readCheckpointFile(resumed.checkpoint, "weights.bin");
  if (new Float32Array(bytes.buffer)[99_999] !== step) throw new Error(`weights of another step than ${step}`);
} catch (error) {
  if (!/holds no run|no complete checkpoint|no such file/.test((error as Error).message)) throw error;
  await store.remove(executionId);
  recorder = await RunRecorder.start(store, draft);
}
console.log(`from ${step}`);
for (;;) {
  step++;
  recorder.metrics.log({ loss: 1 / step }, step);
  const weights = weightsAt(step);
  const state = { random: { seed: 1, calls: {} }, source: step, optimizer: null, loop: null };
  await recorder.checkpoint(step, { "weights.bin": new Uint8Array(weights.buffer) }, state);
}
