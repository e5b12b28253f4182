/**
 * Operands of products in 16 bits: read as they lie on the graphics card, widened before the call elsewhere; sums in
 * float32. Where the card multiplies float16 by itself, fragments.test.ts has the results.
 */

import * as t from "tenon";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dispatch } from "../../../src/tensor/dispatch.js";
import { getOp } from "../../../src/tensor/op.js";
import { noise } from "../operands.js";
import { openWebGpu } from "./device.js";

const backend = await openWebGpu();
afterAll(() => t.init({ device: "cpu" }));

/** Runs a body with a weight of a dtype; all that it makes is freed. */
async function results(dtype: t.DType, body: (weight: t.Tensor) => t.Tensor[], rows: number, columns: number) {
  const exact = t.tensor(noise(rows * columns, 7)).reshape([rows, columns]);
  const stored = exact.to({ dtype });
  // The values of the 16 bits, in 32.
  const widened = stored.to({ dtype: "float32" });
  const lists: number[][][] = [];
  for (const weight of [stored, widened]) {
    const out = body(weight);
    lists.push(await Promise.all(out.map(async (x) => Array.from(await x.data()))));
    for (const x of out) x.dispose();
  }
  for (const x of [exact, stored, widened]) x.dispose();
  return lists;
}

describe.each(["reference", "cpu", "webgpu"] as const)("on %s", (device) => {
  beforeAll(() => t.init({ device }));

  const shapes = [
    [1, 36, 64],
    [3, 33, 17],
    [9, 20, 12],
    [140, 132, 8],
  ];
  test.skipIf(device === "webgpu" && !backend).each(shapes)("products of %i rows with %i x %i", async (m, n, k) => {
    const x = t.tensor(noise(m * k)).reshape([m, k]);
    const y = t.tensor(noise(m * n)).reshape([m, n]);
    const z = t.tensor(noise(k * 6, 5)).reshape([k, 6]);
    const bias = t.tensor(noise(n, 3));
    for (const dtype of ["float16", "bfloat16"] as const) {
      const [stored, widened] = await results(
        dtype,
        (w) => [t.linear(x, w, bias), t.linear(y, w, undefined, { inOut: true }), t.matmul(y, w), t.matmul(w, z)],
        n,
        k,
      );
      expect(stored).toEqual(widened);
      if (dtype === "float16" && device === "webgpu" && backend!.gpu.only.fragments) continue;
      const right = z.to({ dtype });
      const exact = right.to({ dtype: "float32" });
      const [both, neither] = await results(
        dtype,
        (w) => [t.matmul(w, w.dtype === dtype ? right : exact), t.linear(w, w, bias)],
        n,
        k,
      );
      expect(both).toEqual(neither);
      for (const tensor of [right, exact]) tensor.dispose();
    }
    for (const tensor of [x, y, z, bias]) tensor.dispose();
  });

  test.skipIf(device === "webgpu" && !backend)(
    "rows of a table, cross entropy, and gradients that pass a stored weight",
    async () => {
      const ids = t.tensor([3, 0, 4, 4], { dtype: "int32" });
      const x = t.tensor(noise(4 * 7)).reshape([4, 7]);
      x.requiresGrad = true;
      for (const dtype of ["float16", "bfloat16"] as const) {
        const [stored, widened] = await results(
          dtype,
          (table) => {
            const y = t.linear(x, table);
            const [dx] = t.grad(
              t.tidy(() => t.sum(t.square(y))),
              [x],
            );
            y.dispose();
            const losses = t.linearCrossEntropy(x, table, ids, { reduction: "none" });
            const [blocks] = dispatch(getOp("linearCrossEntropyRows"), [x, table, ids]);
            const [dBlocks] = t.grad(t.sum(blocks), [x]);
            return [t.embedding(ids, table), dx, losses, blocks, dBlocks];
          },
          5,
          7,
        );
        expect(stored).toEqual(widened);
        expect(stored[0].length).toBe(28);
        expect(stored[3]).toEqual(stored[2]);
      }
      ids.dispose();
      x.dispose();
    },
  );
});

test.skipIf(!backend)(
  "nothing but weights and factors of products may have 16 bits, and the message says what to do",
  () => {
    const half = t.ones([2, 2]).to({ dtype: "float16" });
    const one = t.ones([2, 2]);
    expect(() => t.softmax(half)).toThrow(/softmax: has no arithmetic in float16/);
    expect(() => t.add(half, one)).toThrow(t.DTypeError);
    for (const x of [half, one]) x.dispose();
  },
);
