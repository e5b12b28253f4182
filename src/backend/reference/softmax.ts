/** Softmax and log-softmax of rows. exp is `expNonPositive`, sums are the canonical sum. */

import type { Operand } from "../kernels.js";
import { expRow, logOf } from "./interpreter.js";
import { floats } from "./memory.js";
import { sum } from "./reduce.js";

const { fround } = Math;

interface SoftmaxRows {
  readonly rows: number;
  readonly size: number;
  readonly log: boolean;
}

/** The largest of a row, NaN if any is NaN; `count` at least 1. */
export function rowMax(values: Float32Array, start: number, count: number): number {
  let m = values[start];
  for (let i = 1; i < count; i++) m = Math.max(m, values[start + i]);
  return m;
}

/** m = max x; d = x - m; e = exp d; y = e / sum(e), or with `log`: y = d - log(sum(e)). */
export function softmax(input: Operand, output: Operand, { rows, size, log }: SoftmaxRows): void {
  const x = floats(input);
  const y = floats(output);
  const d = new Float32Array(size);
  const e = new Float32Array(size);
  for (let row = 0; row < rows && size > 0; row++) {
    const at = row * size;
    const m = rowMax(x, at, size);
    for (let i = 0; i < size; i++) d[i] = x[at + i] - m;
    expRow(d, e);
    const total = sum(e);
    const logTotal = log ? logOf(total) : 0;
    for (let i = 0; i < size; i++) y[at + i] = log ? d[i] - logTotal : e[i] / total;
  }
}

/** dx = y * (g - sum(g * y)), or with `log`: dx = g - exp(y) * sum(g). */
export function softmaxBackward(
  output: Operand,
  grad: Operand,
  dInput: Operand,
  { rows, size, log }: SoftmaxRows,
): void {
  const y = floats(output);
  const g = floats(grad);
  const dx = floats(dInput);
  const temp = new Float32Array(size);
  for (let row = 0; row < rows; row++) {
    const at = row * size;
    if (log) {
      expRow(y.subarray(at, at + size), temp);
      const total = sum(g, at, size);
      for (let i = 0; i < size; i++) dx[at + i] = g[at + i] - fround(temp[i] * total);
    } else {
      for (let i = 0; i < size; i++) temp[i] = g[at + i] * y[at + i];
      const total = sum(temp);
      for (let i = 0; i < size; i++) dx[at + i] = y[at + i] * fround(g[at + i] - total);
    }
  }
}
