/** Gradients are slopes; and where numbers are not, what PyTorch gives. */
import * as t from "tenon";
import { beforeAll, describe, expect, test } from "vitest";
import { randomNormal } from "../../src/core/random.js";
import { testDevices } from "../setup/devices.js";
import { hostInputs, runSample, samples, upload } from "./samples.js";

const { NaN: nan, POSITIVE_INFINITY: infinity } = Number;
type Case = [string, (a: t.Tensor, b: t.Tensor) => t.Tensor, number[], number[], number[], number[]?];

const cases: Case[] = [
  ["relu", (a) => t.relu(a), [nan, 1, -1, 0], [], [1, 1, 0, 0]],
  ["maximum", t.maximum, [nan, 1, 2, 3, 1], [1, nan, 2, 1, 3], [1, 1, 0.5, 1, 0], [1, 1, 0.5, 0, 1]],
  ["minimum", t.minimum, [nan, 1, 2, 3, 1], [1, nan, 2, 1, 3], [1, 1, 0.5, 0, 1], [1, 1, 0.5, 1, 0]],
  [
    "gelu's approximation",
    (a) => t.gelu(a, { approximate: "tanh" }),
    [1e14, -1e14, 1e20, -1e20, nan],
    [],
    [1, 0, 1, 0, nan],
  ],
  [
    "huberLoss",
    (a, b) => t.huberLoss(a, b, { delta: 2, reduction: "none" }),
    [infinity, -infinity, 0, 1e30, 1, 5, nan, infinity],
    [0, 0, infinity, 0, 0, 3, 0, infinity],
    [2, -2, -2, 2, 1, 2, nan, nan],
    [-2, 2, 2, -2, -1, -2, nan, nan],
  ],
];

describe.each(testDevices)("on $name", ({ open }) => {
  beforeAll(open);
  test.each(cases)("%s", async (_, call, a, b, wantA, wantB) => {
    const [x, y] = [a, b].map((values) => t.tensor(values, { requiresGrad: true }));
    t.tidy(() => call(x, y).sum().backward());
    expect([...(await x.grad!.data())].map((value) => value + 0)).toEqual(wantA);
    if (wantB) expect([...(await y.grad!.data())]).toEqual(wantB);
    for (const each of [x.grad, y.grad, x, y]) each?.dispose();
  });
});

describe("of every sample, the gradient along a direction is the difference of values across it", () => {
  beforeAll(testDevices[1].open);
  const STEP = 2e-3;
  const noise = (name: string, size: number) => randomNormal(new t.Generator(7).next(name), size);
  const dot = (a: ArrayLike<number>, b: Float32Array) => b.reduce((sum, x, i) => sum + x * a[i], 0);
  /** It writes into what is detached. */
  const flat = new Set(["copy_"]);

  test.each(Object.keys(samples))("%s", async (name) => {
    const host = hostInputs(name, 2);
    const floats = host.flatMap(({ dtype }, i) => (dtype === "float32" ? [i] : []));
    const along = host.map(({ data }, i) => noise(`${name}/${i}`, data.length));
    /** So far along the direction: results times fixed weights, and what their gradients say of a step. */
    const at = async (step: number) => {
      const inputs = host.map((input, i) => {
        if (!floats.includes(i)) return upload(input, "cpu");
        return upload({ ...input, data: input.data.map((x, k) => x + step * along[i][k]) }, "cpu");
      });
      for (const i of floats) inputs[i].requiresGrad = true;
      const outputs = t.tidy(() => {
        const outputs = runSample(name, inputs).filter(({ dtype }) => dtype === "float32");
        const losses = outputs.flatMap((out, i) =>
          out.requiresGrad ? [out.mul(t.fromData(noise(`${name}/of ${i}`, out.size), out.shape)).sum()] : [],
        );
        expect(losses.length, "results with a gradient").toBe(flat.has(name) || !floats.length ? 0 : outputs.length);
        if (losses.length > 0) losses.reduce((a, b) => a.add(b)).backward();
        return outputs;
      });
      let [value, slope] = [0, 0];
      if (!flat.has(name))
        for (const [i, out] of outputs.entries())
          value += dot((await out.data()) as Float32Array, noise(`${name}/of ${i}`, out.size));
      for (const i of floats) if (inputs[i].grad) slope += dot((await inputs[i].grad.data()) as Float32Array, along[i]);
      for (const x of [...outputs, ...inputs.flatMap(({ grad }) => grad ?? []), ...inputs]) x.dispose();
      return { value, slope };
    };
    const { slope } = await at(0);
    const difference = ((await at(STEP)).value - (await at(-STEP)).value) / (2 * STEP);
    expect(Math.abs(slope - difference), `${slope} and ${difference}`).toBeLessThan(
      0.01 * Math.max(1, Math.abs(slope)),
    );
  });
});
