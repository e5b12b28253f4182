/** Cross entropy of rows of logits against integer labels. exp is `expNonPositive`. */

import { checkIndices } from "../indices.js";
import { LOWEST, type Operand, SUM_BLOCK } from "../kernels.js";
import { expOf, expRow, logOf } from "./interpreter.js";
import { floats, ints } from "./memory.js";
import { pairwise, sum } from "./reduce.js";
import { rowMax } from "./softmax.js";

const { fround } = Math;

interface LossRows {
  readonly rows: number;
  readonly size: number;
  readonly ignoreIndex: number;
}

/**
 * log(sum(exp(x))) of a row, by the blocks of the canonical sum, so that it can be had from blocks alone. Block b has
 * m_b = max(x) and s_b = sum(exp(x - m_b)) of its own; with m the largest m_b it is m + log(tree(s_b * exp(m_b - m))).
 */
export function logSumExp(row: Float32Array): number {
  const largest: number[] = [];
  const sums: number[] = [];
  // One block even for an empty row.
  for (let start = 0; start === 0 || start < row.length; start += SUM_BLOCK) {
    const e = row.slice(start, start + SUM_BLOCK);
    const m = e.length === 0 ? LOWEST : Math.max(rowMax(e, 0, e.length), LOWEST);
    for (let i = 0; i < e.length; i++) e[i] -= m;
    expRow(e);
    largest.push(m);
    sums.push(sum(e));
  }
  const m = Math.max(...largest);
  return fround(m + logOf(pairwise(sums.map((s, b) => fround(s * expOf(largest[b] - m))))));
}

/** lse = logSumExp(x) for every row; loss = lse - x[label], 0 where the label is ignored. */
export function crossEntropy(
  logits: Operand,
  labels: Operand,
  losses: Operand,
  lse: Operand,
  { rows, size, ignoreIndex }: LossRows,
): void {
  const [x, loss, lses] = [logits, losses, lse].map(floats);
  const targets = ints(labels);
  checkIndices("crossEntropy", targets, size, ignoreIndex);
  for (let row = 0; row < rows; row++) {
    const at = row * size;
    lses[row] = logSumExp(x.subarray(at, at + size));
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
  { rows, size, ignoreIndex }: LossRows,
): void {
  const [x, lses, g, dx] = [logits, lse, grad, dLogits].map(floats);
  const targets = ints(labels);
  for (let row = 0; row < rows; row++) {
    const from = x.slice(row * size, (row + 1) * size);
    dx.set(rowGradient(from, targets[row] === ignoreIndex ? undefined : targets[row], lses[row], g[row]), row * size);
  }
}

/** The gradient of one row, in place of its logits; the label of an ignored row is undefined. */
export function rowGradient(x: Float32Array, label: number | undefined, lse: number, g: number): Float32Array {
  if (label === undefined) return x.fill(0);
  for (let i = 0; i < x.length; i++) x[i] -= lse;
  expRow(x);
  x[label] -= 1;
  for (let i = 0; i < x.length; i++) x[i] *= g;
  return x;
}
