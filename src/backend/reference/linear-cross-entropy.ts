/** Cross entropy of logits that are a linear map of x: one row of logits at a time, made anew for the gradient. */

import { checkIndices } from "../indices.js";
import type { LinearCrossEntropyRows, Operand } from "../kernels.js";
import { logSumExp, rowGradient } from "./loss.js";
import { link } from "./matmul.js";
import { floats, ints } from "./memory.js";

const { fround } = Math;

/** logits[j] = the chain over p of x[p] * weight[j, p]. */
function logitsOf(x: Float32Array, weight: Float32Array, size: number): Float32Array {
  const logits = new Float32Array(size);
  const width = x.length;
  for (let j = 0; j < size; j++) {
    let acc = 0;
    for (let p = 0; p < width; p++) acc = fround(acc + fround(x[p] * weight[j * width + p]));
    logits[j] = acc;
  }
  return logits;
}

/** For every row: lse = logSumExp(logits); loss = lse - logits[label], 0 where the label is ignored. */
export function linearCrossEntropy(
  x: Operand,
  weight: Operand,
  labels: Operand,
  losses: Operand,
  lse: Operand,
  { rows, size, width, ignoreIndex }: LinearCrossEntropyRows,
): void {
  const [from, w, loss, lses] = [x, weight, losses, lse].map(floats);
  const targets = ints(labels);
  checkIndices("crossEntropy", targets, size, ignoreIndex);
  for (let row = 0; row < rows; row++) {
    const logits = logitsOf(from.subarray(row * width, (row + 1) * width), w, size);
    lses[row] = logSumExp(logits);
    loss[row] = targets[row] === ignoreIndex ? 0 : lses[row] - logits[targets[row]];
  }
}

/** dx = chains over the vocabulary of dLogits * weight; dWeight = chains over the rows of dLogits * x. */
export function linearCrossEntropyBackward(
  x: Operand,
  weight: Operand,
  labels: Operand,
  lse: Operand,
  grad: Operand,
  dX: Operand | undefined,
  dWeight: Operand | undefined,
  { rows, size, width, ignoreIndex }: LinearCrossEntropyRows,
): void {
  const [from, w, lses, g] = [x, weight, lse, grad].map(floats);
  const targets = ints(labels);
  const dx = dX && floats(dX).fill(0);
  const dw = dWeight && floats(dWeight).fill(0);
  for (let row = 0; row < rows; row++) {
    const at = row * width;
    const label = targets[row] === ignoreIndex ? undefined : targets[row];
    const d = rowGradient(logitsOf(from.subarray(at, at + width), w, size), label, lses[row], g[row]);
    for (let j = 0; j < size; j++) {
      if (dx) link(dx, at, d[j], w, j * width, width);
      if (dw) link(dw, j * width, d[j], from, at, width);
    }
  }
}
