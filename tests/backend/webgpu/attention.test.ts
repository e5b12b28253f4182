/** Attention on the graphics card beside the reference backend, on shapes around the edges of its tiles. */

import { describe, expect, test } from "vitest";
import type { AttentionLayout } from "../../../src/backend/kernels.js";
import { findAdapter } from "../../../src/backend/webgpu/adapter.js";
import { LARGEST_HEAD } from "../../../src/backend/webgpu/kernels/attention.js";
import { softwareGpu } from "../../setup/webgpu.js";
import { noise, operand } from "../operands.js";
import { type Body, card, compare, gpu, plain } from "./beside.js";

describe.skipIf(!gpu)("attention beside the reference", () => {
  test.each([
    { batch: 2, heads: 4, kvHeads: 2, queries: 17, keys: 17, dim: 8, causal: true },
    { batch: 1, heads: 2, kvHeads: 2, queries: 5, keys: 70, dim: 8, causal: true },
    { batch: 1, heads: 1, kvHeads: 1, queries: 40, keys: 33, dim: 7, causal: false },
    { batch: 2, heads: 2, kvHeads: 1, queries: 70, keys: 101, dim: 64, causal: true, card: true },
    { batch: 1, heads: 1, kvHeads: 1, queries: 3, keys: 20, dim: 85, causal: true },
    { batch: 1, heads: 2, kvHeads: 2, queries: 40, keys: 33, dim: 5, causal: false, card: true, forward: true },
    { batch: 2, heads: 3, kvHeads: 3, queries: 1, keys: 150, dim: 8, causal: true },
    { batch: 1, heads: 2, kvHeads: 1, queries: 1, keys: 600, dim: 7, causal: true },
    { batch: 2, heads: 2, kvHeads: 1, queries: 1, keys: 601, dim: 7, causal: true, card: true, forward: true },
    { batch: 1, heads: 4, kvHeads: 2, queries: 1, keys: 900, dim: 64, causal: true, card: true, forward: true },
    { batch: 1, heads: 1, kvHeads: 1, queries: 1, keys: 9, dim: 264, causal: true, forward: true },
  ])("attention $queries x $keys, $dim wide, $heads over $kvHeads heads", ({ card: onCard, forward, ...c }) =>
    compare(
      2e-5,
      (kernels, make, out) => {
        const { batch, heads, kvHeads, queries, keys, dim } = c;
        const place = (count: number, rows: number) => ({
          offset: 0,
          batch: count * rows * dim,
          head: dim,
          row: count * dim,
        });
        const [own, other] = [place(heads, queries), place(kvHeads, keys)];
        const layout: AttentionLayout = { ...c, scale: 0.3, q: own, k: other, v: other, out: own };
        const [large, small] = [batch * heads * queries * dim, batch * kvHeads * keys * dim];
        const [q, k, v, g] = [make(noise(large)), make(noise(small, 2)), make(noise(small, 3)), make(noise(large, 4))];
        const lse = out([batch * heads * queries]);
        const [y, dq, dk, dv] = [out([large]), out([large]), out([small]), out([small])];
        kernels.attention(q, k, v, y, lse, layout);
        if (forward) return [y, lse];
        kernels.attentionBackward(q, k, v, y, lse, g, dq, dk, dv, layout);
        return [y, lse, dq, dk, dv];
      },
      onCard ? card! : gpu!,
    ),
  );

  test.each([
    { batch: 2, heads: 3, keys: 1, dim: 8 },
    { batch: 2, heads: 3, keys: 150, dim: 8 },
    { batch: 1, heads: 2, keys: 9, dim: 7 },
    { batch: 1, heads: 2, keys: 257, dim: 64, card: true },
    { batch: 2, heads: 1, keys: 513, dim: 7, card: true },
    { batch: 1, heads: 2, keys: 769, dim: 64, card: true },
    { batch: 1, heads: 1, keys: 5, dim: 264 },
  ])(
    "a row that is not in the cache yet: bits and cache as if it were copied first, $keys keys, $dim wide",
    async ({ card: onCard, ...c }) => {
      const { batch, heads, keys, dim } = c;
      const width = heads * dim;
      const rows = { batch: keys + 3, row: 2 * width };
      const cached = { batch: rows.batch * rows.row, head: dim, row: rows.row };
      const layout: AttentionLayout = {
        ...{ ...c, kvHeads: heads, queries: 1, scale: 0.3, causal: true },
        q: { offset: 0, batch: 3 * width, head: dim, row: 3 * width },
        ...{ k: { offset: 0, ...cached }, v: { offset: width, ...cached } },
        out: { offset: 0, batch: width, head: dim, row: width },
      };
      // What lies where the row goes must not count, whatever it is.
      const before = noise(batch * cached.batch, 2);
      for (let b = 0; b < batch; b++)
        before.fill(NaN, b * cached.batch + (keys - 1) * rows.row, b * cached.batch + keys * rows.row);
      const ways: number[][][] = [[], []];
      for (const [copied, kept] of ways.entries())
        await compare(
          2e-5,
          (kernels, make, out) => {
            const [qkv, cache] = [make(noise(batch * 3 * width)), make(before)];
            const [y, lse] = [out([batch * width]), out([batch * heads])];
            if (kernels.cachedAttention && !copied) kernels.cachedAttention(qkv, cache, y, lse, layout);
            else {
              const shape = [batch, 2 * width];
              const place = { inputOffset: width, outputOffset: (keys - 1) * rows.row };
              kernels.stridedCopy(qkv, cache, {
                ...{ shape, ...place },
                ...{ inputStrides: [3 * width, 1], outputStrides: [cached.batch, 1] },
              });
              kernels.attention(qkv, cache, cache, y, lse, layout);
            }
            return [y, lse, cache];
          },
          onCard ? card! : gpu!,
          kept,
        );
      expect(ways[0]).toEqual(ways[1]);
    },
  );

  test("NaN and infinity among keys and values of a single query are seen, also in a part that counts for nothing", async () => {
    const [keys, dim] = [600, 8];
    const place = { offset: 0, batch: 0, head: 0, row: dim };
    const shape = { batch: 1, heads: 1, kvHeads: 1, queries: 1, keys, dim, scale: 1, causal: true };
    const layout = { ...shape, q: place, k: place, v: place, out: place };
    // The scores of the first keys are 0, of the others 400.
    const rising = Array.from({ length: keys * dim }, (_, i): number => (i < 256 * dim ? 0 : 50));
    const withNaN = rising.with(9 * dim, NaN);
    const infinite = [...noise(keys * dim, 3)].with((keys - 1) * dim, Infinity);
    const body: Body = (kernels, make, out) =>
      [withNaN, rising].flatMap((k) => {
        const [y, lse] = [out([dim]), out([1])];
        kernels.attention(make(Array<number>(dim).fill(1)), make(k), make(infinite), y, lse, layout);
        return [y, lse];
      });
    for (const on of [gpu!, card!]) await compare(2e-5, body, on);
  });

  test("a head that no kernel has room for is refused with the largest that one has", () => {
    const place = { offset: 0, batch: 0, head: 0, row: LARGEST_HEAD + 1 };
    const shape = {
      batch: 1,
      heads: 1,
      kvHeads: 1,
      queries: 2,
      keys: 2,
      dim: LARGEST_HEAD + 1,
      scale: 1,
      causal: true,
    };
    const x = operand(gpu!, noise(2 * shape.dim));
    const layout = { ...shape, q: place, k: place, v: place, out: place };
    expect(() => gpu!.kernels.attention(x, x, x, x, x, layout)).toThrow(
      "attention: needs a head size up to 512 on webgpu, got 513. Use more heads, or the cpu device.",
    );
    x.storage.release();
  });

  test("subgroups are used where the device has them, and a decode without them gives the same within rounding", async () => {
    expect(gpu!.gpu.device.features.has("subgroups")).toBe(
      ((await findAdapter((await softwareGpu())!)) as { adapter: GPUAdapter }).adapter.features.has("subgroups"),
    );
    expect(plain!.gpu.device.features.has("subgroups")).toBe(false);
    const place = { offset: 0, batch: 400 * 8, head: 8, row: 8 };
    const shape = { batch: 1, heads: 1, kvHeads: 1, queries: 1, keys: 400, dim: 8, scale: 0.3, causal: true };
    await compare(
      2e-5,
      (kernels, make, out) => {
        const [y, lse] = [out([8]), out([1])];
        const [q, k, v] = [make(noise(8)), make(noise(3200, 2)), make(noise(3200, 3))];
        kernels.attention(q, k, v, y, lse, { ...shape, q: place, k: place, v: place, out: place });
        return [y, lse];
      },
      plain!,
    );
  });
});
