/** Matrix products: one chain per output element, whatever the layout. */

import type { MatmulLayout, Operand } from "../kernels.js";
import { floats } from "./memory.js";

const { fround } = Math;

/**
 * out[i, j] = (+0 + a[i, 0] * b[0, j] + a[i, 1] * b[1, j] + …) + bias[j], each product and each sum rounded; with
 * `accumulate` that value is added to what out[i, j] holds. Output matrix z uses matrix batchA[z] of a and batchB[z] of b.
 */
export function matmul(a: Operand, b: Operand, output: Operand, layout: MatmulLayout): void {
  const { m, n, k, transposeA, transposeB, batchA, batchB } = layout;
  const left = floats(a);
  const right = floats(b);
  const out = floats(output);
  const bias = layout.bias && floats(layout.bias);
  const [aRow, aStep] = transposeA ? [1, m] : [k, 1];
  const rows = new Float32Array(k * n);
  // One row of chains advances together: each still sees k ascending.
  const acc = new Float32Array(n);
  batchA.forEach((matrixA, z) => {
    const matrix = right.subarray(batchB[z] * k * n, (batchB[z] + 1) * k * n);
    for (let p = 0; p < k; p++)
      for (let j = 0; j < n; j++) rows[p * n + j] = matrix[transposeB ? j * k + p : p * n + j];
    for (let i = 0; i < m; i++) {
      acc.fill(0);
      for (let p = 0; p < k; p++) link(acc, 0, left[matrixA * m * k + i * aRow + p * aStep], rows, p * n, n);
      const row = (z * m + i) * n;
      for (let j = 0; j < n; j++) {
        const value = bias ? fround(acc[j] + bias[j]) : acc[j];
        out[row + j] = layout.accumulate ? out[row + j] + value : value;
      }
    }
  });
}

/** One link of `count` chains: to[toAt + i] += x * from[fromAt + i], the product and the sum rounded. */
export function link(
  to: Float32Array,
  toAt: number,
  x: number,
  from: Float32Array,
  fromAt: number,
  count: number,
): void {
  for (let i = 0; i < count; i++) to[toAt + i] = fround(to[toAt + i] + fround(x * from[fromAt + i]));
}
