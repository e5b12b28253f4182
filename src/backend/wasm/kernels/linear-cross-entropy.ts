/**
 * Cross entropy of a linear map: logits are made for a block of rows and a block of the vocabulary at a time, by the
 * matrix product, and what a row needs of them is kept. Neither block changes a bit: a row's log-sum-exp is that of its
 * blocks of 4096 classes (reference/loss.ts), and the chains of the gradients go on from block to block.
 */

import { type LinearCrossEntropyRows, type Operand, SUM_BLOCK } from "../../kernels.js";
import type { Engine } from "../engine.js";
import { matmul } from "../gemm/matmul.js";
import { backward, checkLabels, forward } from "./loss.js";
import { addressOf, addressOrZero } from "./operands.js";
import { withMemory } from "./run.js";

/** Rows that are worked on together: the weight is read once for each of these blocks. */
const ROWS = 512;

/** A product of two matrices at byte addresses. */
interface Product {
  a: number;
  b: number;
  out: number;
  m: number;
  n: number;
  k: number;
  transposeA?: boolean;
  transposeB?: boolean;
  resume?: boolean;
}

const one = [0];
function multiply(engine: Engine, product: Product): void {
  const { transposeA = false, transposeB = false } = product;
  matmul(engine, { ...product, transposeA, transposeB, batchA: one, batchB: one, bias: 0, accumulate: false });
}

/** Calls `work` with each block of rows, and memory for its logits of one block of classes. */
function eachBlock(
  engine: Engine,
  { rows, size }: LinearCrossEntropyRows,
  work: (row: number, height: number, logits: number) => void,
): void {
  const bytes = 4 * Math.min(rows, ROWS) * Math.min(size, SUM_BLOCK);
  withMemory(engine, bytes, (logits) => {
    // One round even for no rows, which makes the gradient of the weight zero.
    for (let row = 0; row === 0 || row < rows; row += ROWS) work(row, Math.min(ROWS, rows - row), logits);
  });
}

export function linearCrossEntropy(
  engine: Engine,
  x: Operand,
  weight: Operand,
  labels: Operand,
  losses: Operand,
  lse: Operand,
  shape: LinearCrossEntropyRows,
): void {
  checkLabels(engine, labels, shape);
  const { size, width, ignoreIndex } = shape;
  const [px, pw, pLabels, pLosses, pLse] = [x, weight, labels, losses, lse].map(addressOf);
  eachBlock(engine, shape, (row, rows, logits) => {
    const at = { labels: pLabels + 4 * row, losses: pLosses + 4 * row, lse: pLse + 4 * row };
    forward(engine, { rows, size, ignoreIndex, ...at }, (first, count) => {
      const [a, b] = [px + 4 * row * width, pw + 4 * first * width];
      multiply(engine, { a, b, out: logits, m: rows, n: count, k: width, transposeB: true });
      return { logits, stride: 4 * count };
    });
  });
}

export function linearCrossEntropyBackward(
  engine: Engine,
  x: Operand,
  weight: Operand,
  labels: Operand,
  lse: Operand,
  grad: Operand,
  dX: Operand | undefined,
  dWeight: Operand | undefined,
  shape: LinearCrossEntropyRows,
): void {
  const { size, width, ignoreIndex } = shape;
  const [px, pw, pLabels, pLse, pGrad] = [x, weight, labels, lse, grad].map(addressOf);
  const [pdx, pdw] = [dX, dWeight].map(addressOrZero);
  eachBlock(engine, shape, (row, rows, logits) => {
    const xs = px + 4 * row * width;
    const at = { labels: pLabels + 4 * row, lse: pLse + 4 * row, grad: pGrad + 4 * row };
    // One round even for no classes, which makes the gradient of x zero.
    for (let first = 0; first === 0 || first < size; first += SUM_BLOCK) {
      const count = Math.min(SUM_BLOCK, size - first);
      const ws = pw + 4 * first * width;
      multiply(engine, { a: xs, b: ws, out: logits, m: rows, n: count, k: width, transposeB: true });
      backward(engine, rows, { ...at, logits, dLogits: logits, size: count, first, ignoreIndex });
      if (pdx) {
        const out = pdx + 4 * row * width;
        multiply(engine, { a: logits, b: ws, out, m: rows, n: width, k: count, resume: first > 0 });
      }
      if (pdw) {
        const out = pdw + 4 * first * width;
        multiply(engine, { a: logits, b: xs, out, m: count, n: width, k: rows, transposeA: true, resume: row > 0 });
      }
    }
  });
}
