/** Attention against the textbook formula in float64, and rows against rows. */

import { describe, expect, test } from "vitest";
import type { AttentionLayout, HeadLayout } from "../../../src/backend/kernels.js";
import { createReferenceBackend } from "../../../src/backend/reference/backend.js";
import { empty, noise, numericGradient, operand, valuesOf } from "../operands.js";

const backend = createReferenceBackend();
const { kernels } = backend;

/** [B, T, H, D], the layout projections produce. */
const rowsOf = (heads: number, tokens: number, dim: number): HeadLayout => ({
  offset: 0,
  batch: tokens * heads * dim,
  head: dim,
  row: heads * dim,
});

function layoutOf(sizes: Omit<AttentionLayout, "q" | "k" | "v" | "out" | "scale">): AttentionLayout {
  const { heads, kvHeads, queries, keys, dim } = sizes;
  const q = rowsOf(heads, queries, dim);
  const k = rowsOf(kvHeads, keys, dim);
  return { ...sizes, scale: 1 / Math.sqrt(dim), q, k, v: k, out: q };
}

/** softmax(q k^T scale) v, each output element in float64. */
function textbook(layout: AttentionLayout, q: ArrayLike<number>, k: ArrayLike<number>, v: ArrayLike<number>) {
  const { batch, heads, kvHeads, queries, keys, dim, scale } = layout;
  const out = new Float64Array(batch * queries * heads * dim);
  const at = (l: HeadLayout, b: number, h: number, t: number) => b * l.batch + h * l.head + t * l.row;
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const group = Math.floor((h * kvHeads) / heads);
      for (let t = 0; t < queries; t++) {
        const limit = layout.causal ? t + keys - queries + 1 : keys;
        const weights = Array.from({ length: limit }, (_, j) => {
          let score = 0;
          for (let d = 0; d < dim; d++) score += q[at(layout.q, b, h, t) + d] * k[at(layout.k, b, group, j) + d];
          return Math.exp(score * scale);
        });
        const total = weights.reduce((s, p) => s + p, 0);
        weights.forEach((p, j) => {
          for (let d = 0; d < dim; d++) {
            out[at(layout.out, b, h, t) + d] += (p / total) * v[at(layout.v, b, group, j) + d];
          }
        });
      }
    }
  }
  return out;
}

function run(layout: AttentionLayout, q: Float32Array, k: Float32Array, v: Float32Array) {
  const operands = [q, k, v].map((values) => operand(backend, values));
  const [Q, K, V] = operands;
  const out = empty(backend, [q.length]);
  const lse = empty(backend, [layout.batch * layout.heads * layout.queries]);
  kernels.attention(Q, K, V, out, lse, layout);
  const backward = (g: Float32Array) => {
    const grads = [q, k, v].map((values) => empty(backend, [values.length]));
    const [dQ, dK, dV] = grads;
    kernels.attentionBackward(Q, K, V, out, lse, operand(backend, g), dQ, dK, dV, layout);
    return grads.map((grad) => valuesOf(backend, grad));
  };
  return { out: valuesOf(backend, out), lse: valuesOf(backend, lse), backward };
}

function near(got: number[], want: ArrayLike<number>, tolerance: number): void {
  expect(got.length).toBe(want.length);
  const worst = got.reduce((m, value, i) => Math.max(m, Math.abs(value - want[i])), 0);
  expect(worst).toBeLessThan(tolerance);
}

const inputs = ({ batch, heads, kvHeads, queries, keys, dim }: AttentionLayout) => [
  noise(batch * queries * heads * dim, 1),
  noise(batch * keys * kvHeads * dim, 2),
  noise(batch * keys * kvHeads * dim, 3),
];

describe("against the textbook", () => {
  const base = { batch: 2, heads: 2, kvHeads: 2, queries: 5, keys: 5, dim: 4, causal: true };
  const cases: [string, typeof base][] = [
    ["causal", base],
    ["all keys", { ...base, causal: false, keys: 7 }],
    ["grouped heads", { ...base, heads: 4 }],
    ["one query on a cache", { ...base, queries: 1, keys: 9 }],
  ];
  test.each(cases)("%s: values and gradients", (_, sizes) => {
    const layout = layoutOf(sizes);
    const [q, k, v] = inputs(layout);
    const { out, backward } = run(layout, q, k, v);
    near(out, textbook(layout, q, k, v), 2e-6);
    const g = noise(q.length, 4);
    const loss = (a: ArrayLike<number>, b: ArrayLike<number>, c: ArrayLike<number>) =>
      textbook(layout, a, b, c).reduce((s, y, i) => s + y * g[i], 0);
    const [dQ, dK, dV] = backward(g);
    near(
      dQ,
      numericGradient(q, (moved) => loss(moved, k, v)),
      2e-5,
    );
    near(
      dK,
      numericGradient(k, (moved) => loss(q, moved, v)),
      2e-5,
    );
    near(
      dV,
      numericGradient(v, (moved) => loss(q, k, moved)),
      2e-5,
    );
  });

  test("several key tiles", () => {
    const layout = layoutOf({ ...base, batch: 1, queries: 150, keys: 150 });
    const [q, k, v] = inputs(layout);
    near(run(layout, q, k, v).out, textbook(layout, q, k, v), 5e-6);
  });
});

test("a token has the same bits alone on a cache and in a full pass", () => {
  const T = 130;
  const full = layoutOf({ batch: 1, heads: 2, kvHeads: 1, queries: T, keys: T, dim: 8, causal: true });
  const [q, k, v] = inputs(full);
  const { out, lse } = run(full, q, k, v);
  for (const t of [0, 63, 64, 100, 129]) {
    const one = layoutOf({ ...full, queries: 1, keys: t + 1 });
    const row = run(one, q.slice(t * 16, t * 16 + 16), k.slice(0, (t + 1) * 8), v.slice(0, (t + 1) * 8));
    expect(row.out).toEqual(out.slice(t * 16, t * 16 + 16));
    expect(row.lse).toEqual([lse[t], lse[T + t]]);
  }
});

test("q, k and v may lie side by side in one tensor", () => {
  const separate = layoutOf({ batch: 1, heads: 2, kvHeads: 2, queries: 3, keys: 3, dim: 2, causal: true });
  const [q, k, v] = inputs(separate);
  const packed = new Float32Array(36);
  [q, k, v].forEach((values, part) => {
    for (let t = 0; t < 3; t++) packed.set(values.subarray(t * 4, t * 4 + 4), t * 12 + part * 4);
  });
  const side = (part: number): HeadLayout => ({ offset: part * 4, batch: 36, head: 2, row: 12 });
  const layout = { ...separate, q: side(0), k: side(1), v: side(2) };
  const P = operand(backend, packed);
  const [out, lse, grads] = [empty(backend, [12]), empty(backend, [6]), empty(backend, [36])];
  kernels.attention(P, P, P, out, lse, layout);
  const want = run(separate, q, k, v);
  expect(valuesOf(backend, out)).toEqual(want.out);
  const g = noise(12, 5);
  kernels.attentionBackward(P, P, P, out, lse, operand(backend, g), grads, grads, grads, layout);
  const [dQ, dK, dV] = want.backward(g);
  const got = valuesOf(backend, grads);
  for (let t = 0; t < 3; t++) {
    const parts = [dQ, dK, dV].flatMap((d) => d.slice(t * 4, t * 4 + 4));
    expect(got.slice(t * 12, t * 12 + 12)).toEqual(parts);
  }
});
