/** The norm of gradients, and clipping by it. */

import { afterAll, beforeAll, expect, test } from "vitest";
import { init as start } from "../../src/backend/devices.js";
import { Linear } from "../../src/nn/index.js";
import { clipCoefficient, clipGradNorm_, decayGroups, gradNorm } from "../../src/optim/index.js";
import { ones, tensor } from "../../src/tensor/create.js";
import { Parameter } from "../../src/tensor/tensor.js";
import "../../src/tensor/transfer.js";

beforeAll(() => start({ device: "reference" }));
afterAll(() => start({ device: "auto" }));

test("scales to the norm, and leaves smaller gradients alone", async () => {
  const [a, b] = [new Parameter(ones([2])), new Parameter(ones([1]))];
  a.grad = tensor([3, 0]);
  b.grad = tensor([4]);
  const grads = async () => [...(await a.grad!.data()), ...(await b.grad!.data())];
  expect(await gradNorm([a, b]).item()).toBe(5);
  expect(await clipGradNorm_([a, b], 10).item()).toBe(5);
  expect(await grads()).toEqual([3, 0, 4]);
  await clipGradNorm_([a, b], 1).item();
  for (const [i, want] of [0.6, 0, 0.8].entries()) expect((await grads())[i]).toBeCloseTo(want, 6);
  const none = new Parameter(ones([1]));
  expect(await gradNorm([a, none]).item()).toBeCloseTo(0.6, 6);
});

test("NaN stays NaN", async () => {
  expect(await clipCoefficient(tensor([Number.NaN]).reshape([]), 1).item()).toBeNaN();
});

test("what is no list of tensors is refused, not passed over; nor are groups made of it", () => {
  const layer = new Linear(1, 1);
  const refused = (f: () => unknown, message: string) => expect(f).toThrow(message);
  const any = (value: unknown) => value as any;
  for (const [name, run] of [
    ["gradNorm", gradNorm],
    ["clipGradNorm_", (parameters: any) => clipGradNorm_(parameters, 1)],
  ] as const) {
    refused(() => run(any(layer.namedParameters())), `${name}: needs tensors as parameters, got an array. For example`);
    refused(() => run(any(layer.weight)), `${name}: needs a list of parameters, got a Parameter. For example`);
  }
  refused(() => clipGradNorm_(layer.parameters(), any(undefined)), "clipGradNorm_: needs a largest norm above 0, got");
  refused(() => decayGroups(any(layer), 0.1), "decayGroups: needs a list of parameters, got a Linear.");
  refused(
    () => decayGroups(any(layer.parameters()), 0.1),
    "decayGroups: needs parameters with their names, got a Parameter. For example model.namedParameters().",
  );
});
