/** Matrix products, softmax, norms and losses against float64. */

import { describe, expect, test } from "vitest";
import type { Operand } from "../../../src/backend/kernels.js";
import { createReferenceBackend } from "../../../src/backend/reference/backend.js";
import { empty, noise, numericGradient, operand, valuesOf } from "../operands.js";

const backend = createReferenceBackend();
const { kernels } = backend;

function expectClose(got: Operand, want: ArrayLike<number>, tolerance = 1e-5): void {
  valuesOf(backend, got).forEach((value, i) => {
    expect(Math.abs(value - want[i]), `element ${i}: ${value} and ${want[i]}`).toBeLessThan(tolerance);
  });
  expect(got.size).toBe(want.length);
}

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => Array.from(a).reduce((s, x, i) => s + x * b[i], 0);

describe("matmul", () => {
  const [m, n, k] = [3, 4, 5];
  const a = noise(m * k, 1);
  const b = noise(k * n, 2);
  const want = Array.from({ length: m * n }, (_, z) => {
    const [i, j] = [Math.floor(z / n), z % n];
    return dot(
      a.subarray(i * k, i * k + k),
      [0, 1, 2, 3, 4].map((p) => b[p * n + j]),
    );
  });
  const transpose = (x: Float32Array, rows: number, columns: number) =>
    x.map((_, z) => x[(z % rows) * columns + Math.floor(z / rows)]);

  test("every layout gives the same bits", () => {
    const results = [false, true].flatMap((transposeA) =>
      [false, true].map((transposeB) => {
        const out = empty(backend, [m, n]);
        const left = operand(backend, transposeA ? transpose(a, m, k) : a);
        const right = operand(backend, transposeB ? transpose(b, k, n) : b);
        kernels.matmul(left, right, out, { m, n, k, transposeA, transposeB, batchA: [0], batchB: [0] });
        expectClose(out, want);
        return valuesOf(backend, out);
      }),
    );
    for (const result of results) expect(result).toEqual(results[0]);
  });

  test("chain first, then bias, then what was there", () => {
    const layout = { m: 1, n: 1, k: 2, transposeA: false, transposeB: false, batchA: [0], batchB: [0] };
    const ones = operand(backend, [1, 1]);
    const bias = operand(backend, [-(2 ** 24)]);
    const out = operand(backend, [0.5]);
    kernels.matmul(operand(backend, [2 ** 24, 1]), ones, out, { ...layout, bias, accumulate: true });
    expect(valuesOf(backend, out)).toEqual([0.5]);
  });

  test("batches choose their matrices", () => {
    const out = empty(backend, [3, 1, 1]);
    const layout = { m: 1, n: 1, k: 1, transposeA: false, transposeB: false };
    kernels.matmul(operand(backend, [2, 3]), operand(backend, [5, 7]), out, {
      ...layout,
      batchA: [0, 1, 1],
      batchB: [0, 0, 1],
    });
    expect(valuesOf(backend, out)).toEqual([10, 15, 21]);
  });

  test("no inner dim gives zeros", () => {
    const out = empty(backend, [1, 2]);
    kernels.matmul(operand(backend, []), operand(backend, []), out, {
      m: 1,
      n: 2,
      k: 0,
      transposeA: false,
      transposeB: false,
      batchA: [0],
      batchB: [0],
    });
    expect(valuesOf(backend, out)).toEqual([0, 0]);
  });
});

const rows = 3;
const size = 7;
const x = noise(rows * size, 3);
const g = noise(rows * size, 4);
const rowOf = (values: ArrayLike<number>, row: number, width = size) =>
  Array.from({ length: width }, (_, i) => values[row * width + i]);
const eachRow = (values: ArrayLike<number>, of: (row: number[], index: number) => number[]) =>
  Array.from({ length: rows }, (_, row) => of(rowOf(values, row), row)).flat();
const mean = (values: number[]) => values.reduce((s, v) => s + v, 0) / values.length;

describe("softmax", () => {
  for (const log of [false, true]) {
    test(log ? "logarithm" : "plain", () => {
      const forward = (values: ArrayLike<number>) =>
        eachRow(values, (row) => {
          const total = row.reduce((s, v) => s + Math.exp(v), 0);
          return row.map((v) => (log ? v - Math.log(total) : Math.exp(v) / total));
        });
      const out = empty(backend, [rows, size]);
      kernels.softmax(operand(backend, x), out, { rows, size, log });
      expectClose(out, forward(x));
      const dx = empty(backend, [rows, size]);
      kernels.softmaxBackward(out, operand(backend, g), dx, { rows, size, log });
      expectClose(
        dx,
        numericGradient(x, (moved) => dot(g, forward(moved))),
      );
    });
  }

  test("masked places are exactly 0, large values do not overflow", () => {
    const out = empty(backend, [3]);
    const input = operand(backend, [1e30, Number.NEGATIVE_INFINITY, 1e30]);
    kernels.softmax(input, out, { rows: 1, size: 3, log: false });
    expect(valuesOf(backend, out)).toEqual([0.5, 0, 0.5]);
  });
});

describe("norms", () => {
  const eps = 1e-5;
  const w = noise(size, 5);
  const b = noise(size, 6);
  const layer = (values: ArrayLike<number>, weight: ArrayLike<number>, bias: ArrayLike<number>) =>
    eachRow(values, (row) => {
      const m = mean(row);
      const r = 1 / Math.sqrt(mean(row.map((v) => (v - m) ** 2)) + eps);
      return row.map((v, i) => (v - m) * r * weight[i] + bias[i]);
    });
  const rms = (values: ArrayLike<number>, weight: ArrayLike<number>) =>
    eachRow(values, (row) => {
      const r = 1 / Math.sqrt(mean(row.map((v) => v * v)) + eps);
      return row.map((v, i) => v * r * weight[i]);
    });
  const ones = new Float32Array(size).fill(1);
  const zeros = new Float32Array(size);
  const [X, W, B, G] = [x, w, b, g].map((values) => operand(backend, values));

  test.each([true, false])("layer norm, affine %s", (affine) => {
    const [weight, bias] = affine ? [w, b] : [ones, zeros];
    const [out, dx] = [empty(backend, [rows, size]), empty(backend, [rows, size])];
    const [means, rstd] = [empty(backend, [rows]), empty(backend, [rows])];
    const [dw, db] = [empty(backend, [size]), empty(backend, [size])];
    kernels.layerNorm(X, affine ? W : undefined, affine ? B : undefined, out, means, rstd, { rows, size, eps });
    expectClose(out, layer(x, weight, bias));
    expectClose(
      means,
      Array.from({ length: rows }, (_, row) => mean(rowOf(x, row))),
    );
    const grads = affine ? [dw, db] : [undefined, undefined];
    kernels.layerNormBackward(G, X, affine ? W : undefined, means, rstd, dx, grads[0], grads[1], { rows, size });
    expectClose(
      dx,
      numericGradient(x, (moved) => dot(g, layer(moved, weight, bias))),
      1e-4,
    );
    if (!affine) return;
    expectClose(
      dw,
      numericGradient(w, (moved) => dot(g, layer(x, moved, b))),
      1e-4,
    );
    expectClose(
      db,
      numericGradient(b, (moved) => dot(g, layer(x, w, moved))),
      1e-4,
    );
  });

  test.each([true, false])("RMS norm, affine %s", (affine) => {
    const weight = affine ? w : ones;
    const [out, dx] = [empty(backend, [rows, size]), empty(backend, [rows, size])];
    const [rstd, dw] = [empty(backend, [rows]), empty(backend, [size])];
    kernels.rmsNorm(X, affine ? W : undefined, out, rstd, { rows, size, eps });
    expectClose(out, rms(x, weight));
    kernels.rmsNormBackward(G, X, affine ? W : undefined, rstd, dx, affine ? dw : undefined, { rows, size });
    expectClose(
      dx,
      numericGradient(x, (moved) => dot(g, rms(moved, weight))),
      1e-4,
    );
    if (affine)
      expectClose(
        dw,
        numericGradient(w, (moved) => dot(g, rms(x, moved))),
        1e-4,
      );
  });
});

describe("cross entropy", () => {
  const ignoreIndex = -100;
  const targets = [2, -100, 6];
  const labels = operand(backend, targets, [rows], "int32");
  const losses = (values: ArrayLike<number>) =>
    Array.from({ length: rows }, (_, row) => {
      const logits = rowOf(values, row);
      const lse = Math.log(logits.reduce((s, v) => s + Math.exp(v), 0));
      return targets[row] < 0 ? 0 : lse - logits[targets[row]];
    });

  test("values and gradient; ignored rows are 0", () => {
    const [loss, lse, dx] = [empty(backend, [rows]), empty(backend, [rows]), empty(backend, [rows, size])];
    const X = operand(backend, x);
    kernels.crossEntropy(X, labels, loss, lse, { rows, size, ignoreIndex });
    expectClose(loss, losses(x));
    expect(valuesOf(backend, loss)[1]).toBe(0);
    const grad = [0.5, 3, -2];
    kernels.crossEntropyBackward(X, labels, lse, operand(backend, grad), dx, { rows, size, ignoreIndex });
    expectClose(
      dx,
      numericGradient(x, (moved) => dot(grad, losses(moved))),
    );
    expect(rowOf(valuesOf(backend, dx), 1)).toEqual(new Array(size).fill(0));
  });

  test("a label outside is refused", () => {
    const bad = operand(backend, [0, 7, 1], [rows], "int32");
    const out = empty(backend, [rows]);
    expect(() => kernels.crossEntropy(operand(backend, x), bad, out, out, { rows, size, ignoreIndex })).toThrow(
      "crossEntropy: needs index from 0 to 6, got 7 at position 1.",
    );
  });
});
