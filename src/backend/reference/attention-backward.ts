/**
 * Gradient of attention. The probabilities are computed again from lse; no pair (t, j) beyond the limit of query t
 * takes part in anything. For each query head h, query t and key j, in float32, in this order:
 *
 *   D_t   = the canonical sum over d of dO_td * O_td
 *   s_tj  = chain over d of q_td * k_jd, then times scale       (as in the forward pass)
 *   p_tj  = expNonPositive(s_tj - lse_t)
 *   dp_tj = chain over d of dO_td * v_jd
 *   ds_tj = (p_tj * (dp_tj - D_t)) * scale
 *   dQ_td = chain over j ascending of ds_tj * k_jd
 *   dK_jd = chain over the query heads of the group ascending, then over t ascending, of ds_tj * q_td
 *   dV_jd = chain over the query heads of the group ascending, then over t ascending, of p_tj * dO_td
 *
 * Each dQ, dK and dV element is one chain from +0. dO and O have the layout `out`; dQ, dK and dV those of q, k and v.
 * A query without keys has a dQ of 0.
 */

import type { AttentionLayout, Operand } from "../kernels.js";
import { chain, keyCount, keyHead, rowAt } from "./attention.js";
import { expRow } from "./interpreter.js";
import { link } from "./matmul.js";
import { floats } from "./memory.js";
import { sum } from "./reduce.js";

const { fround } = Math;

export function attentionBackward(
  q: Operand,
  k: Operand,
  v: Operand,
  output: Operand,
  lse: Operand,
  grad: Operand,
  dQ: Operand,
  dK: Operand,
  dV: Operand,
  layout: AttentionLayout,
): void {
  const [Q, K, V, O, lses, dO, gQ, gK, gV] = [q, k, v, output, lse, grad, dQ, dK, dV].map(floats);
  const { batch, heads, kvHeads, queries, keys, dim } = layout;
  const scale = fround(layout.scale);
  const product = new Float32Array(dim);
  const p = new Float32Array(keys);
  const ds = new Float32Array(keys);

  for (let b = 0; b < batch; b++) {
    for (let kv = 0; kv < kvHeads; kv++) {
      for (let j = 0; j < keys; j++) {
        const [kRow, vRow] = [rowAt(layout.k, b, kv, j), rowAt(layout.v, b, kv, j)];
        gK.fill(0, kRow, kRow + dim);
        gV.fill(0, vRow, vRow + dim);
      }
    }
    // Heads ascend, so the heads of each group ascend too.
    for (let h = 0; h < heads; h++) {
      const kv = keyHead(layout, h);
      for (let t = 0; t < queries; t++) {
        const [query, out] = [rowAt(layout.q, b, h, t), rowAt(layout.out, b, h, t)];
        const limit = keyCount(layout, t);
        for (let d = 0; d < dim; d++) product[d] = dO[out + d] * O[out + d];
        const D = sum(product);
        const rowLse = lses[(b * heads + h) * queries + t];
        for (let j = 0; j < limit; j++)
          p[j] = fround(chain(Q, query, K, rowAt(layout.k, b, kv, j), dim) * scale) - rowLse;
        expRow(p, p, 0, limit);
        gQ.fill(0, query, query + dim);
        for (let j = 0; j < limit; j++) {
          const [key, value] = [rowAt(layout.k, b, kv, j), rowAt(layout.v, b, kv, j)];
          const dp = chain(dO, out, V, value, dim);
          ds[j] = fround(p[j] * fround(dp - D)) * scale;
          link(gQ, query, ds[j], K, key, dim);
          link(gK, key, ds[j], Q, query, dim);
          link(gV, value, p[j], dO, out, dim);
        }
      }
    }
  }
}
