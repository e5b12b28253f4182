/**
 * Products of float16 by subgroup matrices, on an adapter that has them (Mesa's lavapipe since 26; no adapter of
 * `npm test`), against sums in float64.
 */

import { afterAll, describe, expect, test } from "vitest";
import type { MatmulLayout } from "../../../src/backend/kernels.js";
import { decode, encode } from "../../../src/core/dtype.js";
import { noise, operand } from "../operands.js";
import { openWebGpu } from "./device.js";

const backend = await openWebGpu();
const fragments = backend?.gpu.only.fragments?.size;
if (backend && !fragments)
  console.warn("skipping subgroup matrices: this adapter has none of float16 (lavapipe 26 has)");
afterAll(() => backend?.destroy());

/** What float16 keeps of these numbers. */
const halves = (values: Float32Array) => values.map((value) => decode("float16", encode("float16", value)));

/** The largest error of a product, as a share of the sum of the magnitudes of its terms; and the result itself. */
async function product(layout: MatmulLayout, biased: boolean) {
  const { m, n, k, transposeA, transposeB, batchA, batchB, accumulate } = layout;
  const device = backend!;
  const a = halves(noise((Math.max(...batchA) + 1) * m * k, 3));
  const b = halves(noise((Math.max(...batchB) + 1) * k * n, 4));
  const start = noise(batchA.length * m * n, 5);
  const bias = noise(n, 6);
  const operands = [
    operand(device, a, undefined, "float16"),
    operand(device, b, undefined, "float16"),
    operand(device, start),
    operand(device, bias),
  ];
  device.kernels.matmul(operands[0], operands[1], operands[2], { ...layout, ...(biased ? { bias: operands[3] } : {}) });
  const bytes = await device.read(operands[2].storage.handle, start.byteLength);
  const got = new Float32Array(bytes.buffer, bytes.byteOffset, start.length);
  for (const { storage } of operands) storage.release();
  let error = 0;
  for (let z = 0; z < batchA.length; z++)
    for (let r = 0; r < m; r++)
      for (let c = 0; c < n; c++) {
        const at = (z * m + r) * n + c;
        let sum = (accumulate ? start[at] : 0) + (biased ? bias[c] : 0);
        let size = Math.abs(sum);
        for (let s = 0; s < k; s++) {
          const term =
            a[batchA[z] * m * k + (transposeA ? s * m + r : r * k + s)] *
            b[batchB[z] * k * n + (transposeB ? c * k + s : s * n + c)];
          sum += term;
          size += Math.abs(term);
        }
        error = Math.max(error, Math.abs(got[at] - sum) / size);
      }
  return { error, bytes: bytes.slice() };
}

const one = { batchA: [0], batchB: [0], accumulate: false };

describe.skipIf(!fragments)("subgroup matrices", () => {
  const shapes = [
    [64, 64, 32],
    [5, 7, 9],
    [70, 66, 34],
    [65, 130, 100],
    [200, 36, 40],
  ];
  for (const transposeA of [false, true])
    for (const transposeB of [false, true])
      test.each(shapes)(
        `[%i, %i] of %i steps${transposeA ? ", a transposed" : ""}${transposeB ? ", b transposed" : ""}`,
        async (m, n, k) => {
          const layout = { ...one, m, n, k, transposeA, transposeB };
          const plain = await product(layout, false);
          expect(plain.error).toBeLessThan(1e-6);
          expect((await product(layout, false)).bytes).toEqual(plain.bytes);
          expect((await product({ ...layout, accumulate: true }, true)).error).toBeLessThan(1e-6);
          const used = backend!.gpu
            .sources()
            .filter(({ enables }) => enables?.includes("chromium_experimental_subgroup_matrix"));
          expect(used.length).toBeGreaterThan(0);
        },
      );

  test("stacks that share a matrix", async () => {
    const layout = { ...one, m: 20, n: 36, k: 12, transposeA: false, transposeB: true };
    const stacks = { batchA: [0, 1, 2, 3], batchB: [0, 0, 1, 1] };
    expect((await product({ ...layout, ...stacks }, true)).error).toBeLessThan(1e-6);
  });

  test("many steps, cut into parts", async () => {
    const layout = { ...one, m: 33, n: 40, k: 8200, transposeA: false, transposeB: false };
    expect((await product(layout, true)).error).toBeLessThan(1e-6);
  });

  test("results enough for large tiles", async () => {
    const layout = { ...one, m: 1100, n: 2100, k: 8, transposeA: false, transposeB: false };
    expect((await product(layout, false)).error).toBeLessThan(1e-6);
  });
});
