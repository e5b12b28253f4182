/** Cross entropy of rows of logits against integer labels. exp is `expNonPositive`, sums are the canonical sum. */

import type { Operand } from "../backend.js";
import { checkIndices } from "../indices.js";
import { expRow, logOf } from "./interpreter.js";
import { floats, ints } from "./memory.js";
import { sum } from "./reduce.js";
import { rowMax } from "./softmax.js";

const { fround } = Math;

interface Rows {
  readonly rows: number;
  readonly size: number;
  readonly ignoreIndex: number;
}

/** m = max x; lse = m + log(sum(exp(x - m))), for every row; loss = lse - x[label], 0 where the label is ignored. */
export function crossEntropy(
  logits: Operand,
  labels: Operand,
  losses: Operand,
  lse: Operand,
  { rows, size, ignoreIndex }: Rows,
): void {
  const [x, loss, lses] = [logits, losses, lse].map(floats);
  const targets = ints(labels);
  checkIndices("crossEntropy", targets, size, ignoreIndex);
  const e = new Float32Array(size);
  for (let row = 0; row < rows; row++) {
    const at = row * size;
    const m = rowMax(x, at, size);
    for (let i = 0; i < size; i++) e[i] = x[at + i] - m;
    expRow(e);
    lses[row] = m + logOf(sum(e));
    loss[row] = targets[row] === ignoreIndex ? 0 : lses[row] - x[at + targets[row]];
  }
}

/** dx = (exp(x - lse) - [i = label]) * g; at other places than the label nothing is subtracted. Ignored rows are +0. */
export function crossEntropyBackward(
  logits: Operand,
  labels: Operand,
  lse: Operand,
  grad: Operand,
  dLogits: Operand,
  { rows, size, ignoreIndex }: Rows,
): void {
  const [x, lses, g, dx] = [logits, lse, grad, dLogits].map(floats);
  const targets = ints(labels);
  const p = new Float32Array(size);
  for (let row = 0; row < rows; row++) {
    const at = row * size;
    if (targets[row] === ignoreIndex) {
      dx.fill(0, at, at + size);
      continue;
    }
    for (let i = 0; i < size; i++) p[i] = x[at + i] - lses[row];
    expRow(p);
    p[targets[row]] = fround(p[targets[row]] - 1);
    for (let i = 0; i < size; i++) dx[at + i] = p[i] * g[row];
  }
}
