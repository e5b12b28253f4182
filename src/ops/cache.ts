/** The key-value cache of a decoder: keys and values of new rows are written in place, then attention reads all of them. */

import { misfit, showShape } from "../core/errors.js";
import { contiguousStrides } from "../core/shape.js";
import { dispatchOne } from "../tensor/dispatch.js";
import { registerOp, type TensorSpec } from "../tensor/op.js";
import { live } from "../tensor/repeated.js";
import type { Tensor } from "../tensor/tensor.js";
import { within } from "./attention-layout.js";

interface CacheAttrs {
  [name: string]: number | { readonly length: number };
  heads: number;
  /** Tells how many rows the cache holds. */
  before: { readonly length: number };
}

const cachedAttentionOp = registerOp<CacheAttrs>({
  name: "cachedAttention",
  doc: "writes keys and values of new rows into a cache, then causal attention of those rows over all that it holds",
  inputs: [
    { name: "qkv", kind: "float" },
    { name: "cache", kind: "float" },
  ],
  attrs: { heads: { type: "integer" }, before: { type: "object" } },
  mutates: [1],
  infer: ([{ shape: rows }, { shape: cache }], { heads, before: { length: position } }): TensorSpec[] => {
    const width = rows[2] / 3;
    const fits =
      rows.length === 3 &&
      cache.length === 3 &&
      cache[0] === rows[0] &&
      cache[2] === 2 * width &&
      width % heads === 0 &&
      position >= 0 &&
      position + rows[1] <= cache[1];
    if (!fits) {
      throw misfit(
        "cachedAttention",
        `needs qkv [B, T, 3 * H * D] for H = ${heads} and a cache [B, S, 2 * H * D] with room for T rows at position ${position}, got ${showShape(rows)} and ${showShape(cache)}.`,
      );
    }
    return [
      { shape: [rows[0], rows[1], width], dtype: "float32" },
      { shape: [rows[0], heads, rows[1]], dtype: "float32" },
    ];
  },
  run: (kernels, [qkv, cache], [out, lse], { heads, before }) =>
    live([qkv, cache, out, lse], ([qkv, cache, out, lse]) => {
      const position = before.length;
      const [batch, queries, width] = out.shape;
      const dim = width / heads;
      const layout = {
        ...{ batch, heads, kvHeads: heads, queries, keys: position + queries, dim },
        ...{ scale: 1 / Math.sqrt(dim), causal: true },
        ...{ q: within(qkv.shape, dim), k: within(cache.shape, dim), v: within(cache.shape, dim, width) },
        out: within(out.shape, dim),
      };
      if (queries === 1 && kernels.cachedAttention) {
        kernels.cachedAttention(qkv, cache, out, lse, layout);
        return;
      }
      kernels.stridedCopy(qkv, cache, {
        shape: [batch, queries, 2 * width],
        inputOffset: width,
        inputStrides: contiguousStrides(qkv.shape),
        outputOffset: position * 2 * width,
        outputStrides: contiguousStrides(cache.shape),
      });
      kernels.attention(qkv, cache, cache, out, lse, layout);
    }),
});

/**
 * Causal attention of new rows, q, k and v side by side in qkv [B, T, 3 * H * D], over the `before.length` rows before
 * them and themselves: [B, T, H * D]. Their keys and values go into the cache [B, S, 2 * H * D]; in place, without gradients.
 */
export const cachedAttention = (
  qkv: Tensor,
  cache: Tensor,
  options: { heads: number; before: { readonly length: number } },
): Tensor => dispatchOne(cachedAttentionOp, [qkv, cache], options);
