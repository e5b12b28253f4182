import { expect, test } from "vitest";
import { hashBytes } from "../../src/artifacts/pieces.js";
import { safetensorsChunks, weightsHash, writeSafetensors } from "../../src/artifacts/safetensors-write.js";
import { Sha256 } from "../../src/core/sha256.js";

const data = Float32Array.from({ length: 4 << 20 }, (_, i) => i * 0.5);
const weights = { w: { dtype: "F32", shape: [data.length], data } } as const;

test("the browser's digest, ours as a stream and ours at once agree on the weights", async () => {
  const file = writeSafetensors(weights);
  const ours = new Sha256().update(file).digest();
  expect(await weightsHash(weights)).toBe(ours);
  expect(await hashBytes(file)).toEqual({ size: file.length, sha256: ours });
  expect((await hashBytes(safetensorsChunks(weights))).sha256).toBe(ours);
});

test("hashing leaves the page free: other events have their turn after every two megabytes", async () => {
  let turns = 0;
  const channel = new MessageChannel();
  channel.port1.onmessage = () => {
    turns++;
    channel.port2.postMessage(0);
  };
  channel.port2.postMessage(0);
  await hashBytes(safetensorsChunks(weights));
  channel.port1.close();
  expect(turns).toBeGreaterThanOrEqual(data.byteLength / (2 << 20) - 1);
});
