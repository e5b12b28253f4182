/** Optimizers, clipping and initial values give the same bits on `cpu` as on `reference`. */

import { expect, test } from "vitest";
import type { DeviceName } from "../../src/backend/backend.js";
import { Generator, randomNormal } from "../../src/core/random.js";
import { Dropout, init, setGenerator } from "../../src/nn/index.js";
import * as optim from "../../src/optim/index.js";
import { Adam, AdamW, clipCoefficient, gradNorm, Muon, type Optimizer, SGD } from "../../src/optim/index.js";
import { fromData, ones } from "../../src/tensor/create.js";
import { Parameter } from "../../src/tensor/tensor.js";
import "../../src/tensor/transfer.js";

const shape = [37, 29];
const size = 37 * 29;
const values = (call: number) => randomNormal({ key0: 1, key1: 2, call }, size);

const optimizers: [string, (p: Parameter) => Optimizer<{ lr: number }>][] = [
  ["SGD", (p) => new SGD([p], { lr: 0.1, weightDecay: 0.1 })],
  ["SGD with momentum", (p) => new SGD([p], { lr: 0.1, momentum: 0.9, nesterov: true })],
  ["Adam", (p) => new Adam([p], { weightDecay: 0.1 })],
  ["AdamW", (p) => new AdamW([p])],
  ["Muon", (p) => new Muon([p])],
];

test("every optimizer is among them", () => {
  const classes = Object.values<any>(optim).filter((value) => Object(value).prototype instanceof optim.Optimizer);
  const named = new Set(optimizers.map(([name]) => name.split(" ")[0]));
  expect([...named].sort()).toEqual(classes.map(({ name }) => name).sort());
});

test.each(optimizers)("%s, with clipping", async (_, make) => {
  const run = async (device: DeviceName) => {
    const parameter = new Parameter(fromData(values(0), shape, { device }));
    const optimizer = make(parameter);
    for (let step = 1; step <= 4; step++) {
      parameter.grad = fromData(values(step), shape, { device });
      optimizer.step(undefined, { scale: clipCoefficient(gradNorm([parameter]), 5) });
      optimizer.zeroGrad();
    }
    const result = [...(await parameter.data())];
    optimizer.dispose();
    parameter.dispose();
    return result;
  };
  const reference = await run("reference");
  expect(reference.every(Number.isFinite)).toBe(true);
  expect(await run("cpu")).toEqual(reference);
});

test("initial values and dropout", async () => {
  const run = async (device: DeviceName) => {
    const weight = init.kaimingNormal_(ones(shape, { device }), { call: { key0: 3, key1: 4, call: 5 } });
    const dropout = new Dropout(0.3);
    setGenerator(dropout, new Generator(6));
    return [...(await dropout.forward(weight).data())];
  };
  expect(await run("cpu")).toEqual(await run("reference"));
});
