/** Gradients where numbers are not: what PyTorch gives. */
import * as t from "tenon";
import { beforeAll, describe, expect, test } from "vitest";
import { testDevices } from "../setup/devices.js";

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
