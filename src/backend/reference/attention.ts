/**
 * Scaled dot-product attention with an online softmax (Milakov, Gimelshein 2018; Dao et al. 2022, "FlashAttention").
 *
 * Query t of a causal layout attends keys 0 … t + (keys - queries), else all keys. Its keys are taken in tiles of 64
 * from key 0, so neither the number of queries nor the length of a cache can change a bit. Keys beyond the query's
 * limit take no part: not in the maximum, not in the sum, not in a chain. For each tile, in float32, in this order:
 *
 *   s_j   = chain over d of q_d * k_jd, then times scale
 *   m'    = max(m, s_j for all j)               m starts at -infinity
 *   p_j   = expNonPositive(s_j - m')
 *   alpha = expNonPositive(m - m')
 *   l     = (l * alpha) + sum(p)                l starts at +0; the canonical sum of at most 64
 *   o_d   = (o_d * alpha), continued as a chain over j ascending of p_j * v_jd; o starts at +0
 *
 * and after the last tile out_d = o_d / l and lse = m + log(l). A query without keys gives NaN and lse -infinity.
 */

import { type AttentionLayout, type HeadLayout, KEY_TILE, type Operand } from "../kernels.js";
import { expOf, expRow, logOf } from "./interpreter.js";
import { link } from "./matmul.js";
import { floats } from "./memory.js";
import { sum } from "./reduce.js";

const { fround } = Math;

/** Offset of row t of head h in batch b. */
export const rowAt = (layout: HeadLayout, b: number, h: number, t: number): number =>
  layout.offset + b * layout.batch + h * layout.head + t * layout.row;

/** How many keys query t attends. */
export function keyCount(layout: AttentionLayout, t: number): number {
  const limit = layout.causal ? t + 1 + layout.keys - layout.queries : layout.keys;
  return Math.max(0, Math.min(layout.keys, limit));
}

/** The key head that query head h reads. */
export const keyHead = (layout: AttentionLayout, h: number): number => Math.floor((h * layout.kvHeads) / layout.heads);

/** A chain over `count` products, from +0. */
export function chain(a: Float32Array, aStart: number, b: Float32Array, bStart: number, count: number): number {
  let acc = 0;
  for (let i = 0; i < count; i++) acc = fround(acc + fround(a[aStart + i] * b[bStart + i]));
  return acc;
}

const scores = new Float32Array(KEY_TILE);

export function attention(
  q: Operand,
  k: Operand,
  v: Operand,
  output: Operand,
  lse: Operand,
  layout: AttentionLayout,
): void {
  const [Q, K, V, out, lses] = [q, k, v, output, lse].map(floats);
  const { batch, heads, queries, dim } = layout;
  const scale = fround(layout.scale);
  const o = new Float32Array(dim);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const kv = keyHead(layout, h);
      for (let t = 0; t < queries; t++) {
        const query = rowAt(layout.q, b, h, t);
        const limit = keyCount(layout, t);
        let m = Number.NEGATIVE_INFINITY;
        let l = 0;
        o.fill(0);
        for (let first = 0; first < limit; first += KEY_TILE) {
          const count = Math.min(KEY_TILE, limit - first);
          let next = m;
          for (let j = 0; j < count; j++) {
            scores[j] = chain(Q, query, K, rowAt(layout.k, b, kv, first + j), dim) * scale;
            next = Math.max(next, scores[j]);
          }
          for (let j = 0; j < count; j++) scores[j] -= next;
          expRow(scores, scores, 0, count);
          const alpha = expOf(m - next);
          l = fround(fround(l * alpha) + sum(scores, 0, count));
          for (let d = 0; d < dim; d++) o[d] *= alpha;
          for (let j = 0; j < count; j++) {
            link(o, 0, scores[j], V, rowAt(layout.v, b, kv, first + j), dim);
          }
          m = next;
        }
        const row = rowAt(layout.out, b, h, t);
        for (let d = 0; d < dim; d++) out[row + d] = o[d] / l;
        lses[(b * heads + h) * queries + t] = m + logOf(l);
      }
    }
  }
}
