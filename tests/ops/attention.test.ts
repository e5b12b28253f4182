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
