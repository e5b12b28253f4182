/** Rows of a batch do not know of each other: row i of a batch of three has the bits it has alone. Empty batches work. */
import * as t from "tenon";
import { beforeAll, describe, expect, test } from "vitest";
import { testDevices } from "../setup/devices.js";
import { type HostData, hostInputs, perExample, runSample, samples, upload } from "./samples.js";

const names = Object.keys(samples).filter(perExample);
/** Its bits are a function of the position in the batch, so only the first row is the same alone. */
const byPosition = new Set(["dropout"]);

/** Row `row` of the inputs that have a batch; the others whole. */
const rowOf = (name: string, inputs: readonly HostData[], row: number): HostData[] =>
  inputs.map((input, i) => {
    if (!samples[name].inputs[i].shape.includes("B")) return input;
    const size = input.data.length / input.shape[0];
    return { ...input, shape: [1, ...input.shape.slice(1)], data: input.data.slice(row * size, (row + 1) * size) };
  });

/** Results, and the gradients of the inputs with a batch, in the bits of float32 or int32. */
async function run(name: string, host: readonly HostData[], device: t.DeviceName): Promise<Uint8Array[]> {
  const inputs = host.map((input) => upload(input, device));
  inputs.forEach((x) => {
    x.requiresGrad = x.dtype === "float32";
  });
  const outputs = t.tidy(() => {
    const outputs = runSample(name, inputs);
    const losses = outputs.filter((out) => out.requiresGrad).map((out) => t.sum(t.square(out)));
    if (losses.length) losses.reduce((a, b) => t.add(a, b)).backward();
    return outputs;
  });
  const batched = inputs.filter((_, i) => samples[name].inputs[i].shape.includes("B"));
  const grads = batched.flatMap((x) => x.grad ?? []);
  const bytes = await Promise.all([...outputs, ...grads].map((x) => x.bytes()));
  for (const x of [...outputs, ...inputs.flatMap(({ grad }) => grad ?? []), ...inputs]) x.dispose();
  return bytes;
}

describe.each(testDevices)("on $name", ({ device, open }) => {
  beforeAll(open);

  test.each(names)("%s", async (name) => {
    const host = hostInputs(name, 3);
    const whole = await run(name, host, device);
    for (const row of byPosition.has(name) ? [0] : [0, 1, 2]) {
      const alone = await run(name, rowOf(name, host, row), device);
      alone.forEach((bytes, i) => {
        const part = whole[i].slice(row * bytes.length, (row + 1) * bytes.length);
        expect(part, `row ${row} of result or gradient ${i}`).toEqual(bytes);
      });
    }
  });

  test.each(names)("%s of an empty batch", async (name) => {
    const bytes = await run(name, hostInputs(name, 0), device);
    for (const result of bytes) expect(result.length).toBe(0);
  });
});
