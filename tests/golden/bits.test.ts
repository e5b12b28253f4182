/** The bits of every operation and of twenty training steps, as they were when `bits.json` was written. */
import * as t from "tenon";
import { beforeAll, describe, expect, test } from "vitest";
import { Sha256 } from "../../src/core/sha256.js";
import { dispatch } from "../../src/tensor/dispatch.js";
import { getOp } from "../../src/tensor/op.js";
import { hostInputs, runSample, samples, upload } from "../ops/samples.js";
import { testDevices } from "../setup/devices.js";
import { babySteps } from "./baby.js";

const rule =
  "results have changed, and replay of every older run breaks: if that is meant, say why in docs/decisions.md and run `npm run golden`, which also takes in operations that are new";

/** SHA-256 over results and gradients, in order. */
async function hashOf(name: string, device: t.DeviceName): Promise<string> {
  const inputs = hostInputs(name, 5).map((input) => upload(input, device));
  for (const x of inputs) x.requiresGrad = x.dtype === "float32";
  const outputs = t.tidy(() => {
    const outputs = runSample(name, inputs);
    const losses = outputs.filter((out) => out.requiresGrad).map((out) => t.sum(t.square(out)));
    if (losses.length) losses.reduce((a, b) => t.add(a, b)).backward();
    return outputs;
  });
  const grads = inputs.flatMap(({ grad }) => grad ?? []);
  const hash = new Sha256();
  for (const x of [...outputs, ...grads]) hash.update(await x.bytes());
  for (const x of [...outputs, ...grads, ...inputs]) x.dispose();
  return hash.digest();
}

async function randomHash(device: t.DeviceName): Promise<Record<string, string>> {
  const generator = new t.Generator(1);
  const made = {
    rand: t.rand([1000], { generator, device }),
    randn: t.randn([1000], { generator, device }),
    randint: t.randint(-5, 1000, [1000], { generator, device }),
  };
  const hashes: Record<string, string> = {};
  for (const [name, x] of Object.entries(made)) {
    hashes[name] = new Sha256().update(await x.bytes()).digest();
    x.dispose();
  }
  return hashes;
}

/** The kernel of linearCrossEntropy, which its small sample does not reach. */
async function blocksHash(device: t.DeviceName): Promise<Record<string, string>> {
  const generator = new t.Generator(2);
  const [x, weight] = [[3, 5], [5000, 5]].map((shape) => t.randn(shape, { generator, device, requiresGrad: true }));
  const labels = t.tensor([4999, -100, 4095], { dtype: "int32", device });
  const losses = t.tidy(() => {
    const [losses] = dispatch(getOp("linearCrossEntropyRows"), [x, weight, labels]);
    t.sum(t.square(losses)).backward();
    return losses;
  });
  const hash = new Sha256();
  for (const of of [losses, x.grad!, weight.grad!]) hash.update(await of.bytes());
  for (const of of [losses, x.grad!, weight.grad!, x, weight, labels]) of.dispose();
  return { "linearCrossEntropy by blocks": hash.digest() };
}

const found: Record<string, Record<string, string>> = {};

describe.each(testDevices)("on $name", ({ name, device, open }) => {
  beforeAll(open);
  test("the bits of every operation are those of the other devices", async () => {
    const hashes: Record<string, string> = {};
    for (const op of Object.keys(samples)) hashes[op] = await hashOf(op, device);
    found[name] = { ...hashes, ...(await randomHash(device)), ...(await blocksHash(device)) };
    expect(found[name]).toEqual(found["reference"]);
  });
});

test("and those of the golden file, as are twenty steps of the baby GPT", async () => {
  await testDevices[1].open();
  const bits = { ...found["reference"], "20 steps of the baby GPT": await babySteps() };
  await expect(`${JSON.stringify(bits, null, 2)}\n`, rule).toMatchFileSnapshot("bits.json");
});
