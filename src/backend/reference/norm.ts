/**
 * Layer norm (Ba, Kiros, Hinton 2016) and RMS norm (Zhang, Sennrich 2019) of rows. Every operation rounds to float32
 * in the order written; sums along a row and over rows are the canonical sum; `size` enters as a float32.
 */

import type { Operand } from "../kernels.js";
import { floats } from "./memory.js";
import { sum } from "./reduce.js";

const { fround } = Math;

interface NormRows {
  readonly rows: number;
  readonly size: number;
}

/** A sum over `size` elements divided by `size`. */
const average = (total: number, size: number) => fround(total / fround(size));

const inverseRoot = (meanSquare: number, eps: number) =>
  fround(1 / fround(Math.sqrt(fround(meanSquare + fround(eps)))));

/** y = ((x - mean) * rstd) * w + b; a missing weight or bias leaves its step out. */
export function layerNorm(
  input: Operand,
  weight: Operand | undefined,
  bias: Operand | undefined,
  output: Operand,
  mean: Operand,
  rstd: Operand,
  { rows, size, eps }: NormRows & { eps: number },
): void {
  const [x, y, means, rstds] = [input, output, mean, rstd].map(floats);
  const w = weight && floats(weight);
  const b = bias && floats(bias);
  const centred = new Float32Array(size);
  const squares = new Float32Array(size);
  for (let row = 0; row < rows; row++) {
    const at = row * size;
    const m = average(sum(x, at, size), size);
    for (let i = 0; i < size; i++) centred[i] = x[at + i] - m;
    for (let i = 0; i < size; i++) squares[i] = centred[i] * centred[i];
    const r = inverseRoot(average(sum(squares), size), eps);
    for (let i = 0; i < size; i++) {
      let value = fround(centred[i] * r);
      if (w) value = fround(value * w[i]);
      if (b) value = fround(value + b[i]);
      y[at + i] = value;
    }
    means[row] = m;
    rstds[row] = r;
  }
}

/**
 * With xhat = (x - mean) * rstd and gw = g * w (gw = g without a weight):
 * c1 = sum(gw) / size; c2 = sum(gw * xhat) / size; dx = ((gw - c1) - xhat * c2) * rstd;
 * dw = sum over rows of g * xhat; db = sum over rows of g.
 */
export function layerNormBackward(
  grad: Operand,
  input: Operand,
  weight: Operand | undefined,
  mean: Operand,
  rstd: Operand,
  dInput: Operand,
  dWeight: Operand | undefined,
  dBias: Operand | undefined,
  { rows, size }: NormRows,
): void {
  const [g, x, means, rstds, dx] = [grad, input, mean, rstd, dInput].map(floats);
  const w = weight && floats(weight);
  const gx = new Float32Array(rows * size);
  const xhat = new Float32Array(size);
  const gw = new Float32Array(size);
  const product = new Float32Array(size);
  for (let row = 0; row < rows; row++) {
    const at = row * size;
    for (let i = 0; i < size; i++) {
      xhat[i] = fround(x[at + i] - means[row]) * rstds[row];
      gw[i] = w ? g[at + i] * w[i] : g[at + i];
      product[i] = gw[i] * xhat[i];
      gx[at + i] = g[at + i] * xhat[i];
    }
    const c1 = average(sum(gw), size);
    const c2 = average(sum(product), size);
    for (let i = 0; i < size; i++) dx[at + i] = fround(fround(gw[i] - c1) - fround(xhat[i] * c2)) * rstds[row];
  }
  if (dWeight) sumRows(gx, floats(dWeight), rows, size);
  if (dBias) sumRows(g, floats(dBias), rows, size);
}

/** y = (x * rstd) * w. */
export function rmsNorm(
  input: Operand,
  weight: Operand | undefined,
  output: Operand,
  rstd: Operand,
  { rows, size, eps }: NormRows & { eps: number },
): void {
  const [x, y, rstds] = [input, output, rstd].map(floats);
  const w = weight && floats(weight);
  const squares = new Float32Array(size);
  for (let row = 0; row < rows; row++) {
    const at = row * size;
    for (let i = 0; i < size; i++) squares[i] = x[at + i] * x[at + i];
    const r = inverseRoot(average(sum(squares), size), eps);
    for (let i = 0; i < size; i++) {
      const value = fround(x[at + i] * r);
      y[at + i] = w ? value * w[i] : value;
    }
    rstds[row] = r;
  }
}

/** With xhat = x * rstd and gw = g * w: c = sum(gw * xhat) / size; dx = (gw - xhat * c) * rstd; dw = sum over rows of g * xhat. */
export function rmsNormBackward(
  grad: Operand,
  input: Operand,
  weight: Operand | undefined,
  rstd: Operand,
  dInput: Operand,
  dWeight: Operand | undefined,
  { rows, size }: NormRows,
): void {
  const [g, x, rstds, dx] = [grad, input, rstd, dInput].map(floats);
  const w = weight && floats(weight);
  const gx = new Float32Array(rows * size);
  const xhat = new Float32Array(size);
  const gw = new Float32Array(size);
  const product = new Float32Array(size);
  for (let row = 0; row < rows; row++) {
    const at = row * size;
    for (let i = 0; i < size; i++) {
      xhat[i] = x[at + i] * rstds[row];
      gw[i] = w ? g[at + i] * w[i] : g[at + i];
      product[i] = gw[i] * xhat[i];
      gx[at + i] = g[at + i] * xhat[i];
    }
    const c = average(sum(product), size);
    for (let i = 0; i < size; i++) dx[at + i] = fround(gw[i] - fround(xhat[i] * c)) * rstds[row];
  }
  if (dWeight) sumRows(gx, floats(dWeight), rows, size);
}

/** Column sums: for each column the canonical sum over rows. */
function sumRows(values: Float32Array, to: Float32Array, rows: number, size: number): void {
  for (let i = 0; i < size; i++) to[i] = sum(values, i, rows, size);
}
