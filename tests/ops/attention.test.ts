/** Attention with a cache: rows that come one after the other, or several at once, get the bits of all of them together. */

import * as t from "tenon";
import { beforeAll, describe, expect, test } from "vitest";
import { cachedAttention } from "../../src/ops/cache.js";
import { noise } from "../backend/operands.js";

describe.each(["reference", "cpu"] as const)("cachedAttention on %s", (device) => {
  beforeAll(() => t.init({ device }));

  test.each([[[1, 1, 1, 1, 1, 1, 1]], [[3, 4]], [[1, 5, 1]]])("rows that come by %j", async (steps) => {
    const [batch, heads, dim, rows] = [2, 3, 5, 7];
    const width = heads * dim;
    const qkv = t.tensor(noise(batch * rows * 3 * width)).reshape([batch, rows, 3 * width]);
    const cache = t.zeros([batch, rows + 2, 2 * width]);
    let position = 0;
    const parts = steps.map((count) => {
      const part = cachedAttention(t.narrow(qkv, 1, position, count), cache, { heads, before: { length: position } });
      position += count;
      return part;
    });
    const together = t.packedAttention(qkv, { heads });
    expect(await t.cat(parts, { dim: 1 }).toArray()).toEqual(await together.toArray());
    const [written, free] = [t.narrow(cache, 1, 0, rows), t.narrow(cache, 1, rows, 2)];
    expect(await written.toArray()).toEqual(await t.narrow(qkv, 2, width, 2 * width).toArray());
    expect(await free.toArray()).toEqual(await t.zeros([batch, 2, 2 * width]).toArray());
  });
});

describe.each(["reference", "cpu"] as const)("a query without keys on %s", (device) => {
  beforeAll(() => t.init({ device }));

  const leaf = (shape: number[], seed: number) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const x = t.tensor(noise(size, seed)).reshape(shape).detach();
    x.requiresGrad = true;
    return x;
  };
  const [q, k, v] = [
    [1, 2, 3, 4],
    [1, 2, 2, 4],
    [1, 2, 2, 4],
  ];
  const infinite = Number.NEGATIVE_INFINITY;
  const none = [false, false];
  // The first query sees no key; the others see those of the same row of the second column.
  const masks: [string, () => object][] = [
    ["bool", () => ({ attnMask: t.tensor([none, [true, false], [true, true]]) })],
    [
      "added",
      () => ({
        attnMask: t.tensor([
          [infinite, infinite],
          [0, infinite],
          [0, 0],
        ]),
      }),
    ],
    ["of a causal mask", () => ({ isCausal: true })],
    [
      "of both masks",
      () => ({
        isCausal: true,
        attnMask: t.tensor([
          [true, true],
          [true, true],
          [true, true],
        ]),
      }),
    ],
  ];

  test.each(masks)("gives 0 and finite gradients: %s", async (_, options) => {
    const [a, b, c] = [leaf(q, 1), leaf(k, 2), leaf(v, 3)];
    const whole = t.scaledDotProductAttention(a, b, c, options());
    whole.square().sum().backward();
    // The queries that have keys alone, which mask nothing but one key.
    const [x, y, z] = [leaf(q, 1), leaf(k, 2), leaf(v, 3)];
    const some = t.scaledDotProductAttention(x.narrow(2, 1, 2), y, z, { isCausal: true });
    some.square().sum().backward();
    expect(await whole.narrow(2, 0, 1).toArray()).toEqual(await t.zeros([1, 2, 1, 4]).toArray());
    const near = async (got: t.Tensor, want: t.Tensor) => {
      const [a, b] = [await got.data(), await want.data()];
      for (const [i, value] of a.entries()) expect(value).toBeCloseTo(b[i], 5);
    };
    await near(whole.narrow(2, 1, 2), some);
    for (const [got, want] of [
      [a, x],
      [b, y],
      [c, z],
    ])
      await near(got.grad!, want.grad!);
    expect([...(await a.grad!.data())].every(Number.isFinite)).toBe(true);
  });

  test("where there are no keys at all", async () => {
    const empty = t.zeros([1, 2, 0, 4]);
    for (const isCausal of [false, true])
      expect(await t.scaledDotProductAttention(leaf(q, 1), empty, empty, { isCausal }).toArray()).toEqual(
        await t.zeros(q).toArray(),
      );
  });
});
