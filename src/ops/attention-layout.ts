/** Where attention finds its heads in the tensors that it is given. */

import type { AttentionLayout, HeadLayout } from "../backend/kernels.js";
import type { Shape } from "../core/shape.js";

/**
 * `heads`: q [B, H, T, D]; `rows`: q [B, T, H * D], as projections give it, k [B, S, Hkv * D]. `keys` may be fewer than
 * k holds (a cache).
 */
export interface AttentionAttrs {
  [name: string]: number | boolean | string;
  layout: "heads" | "rows";
  heads: number;
  kvHeads: number;
  keys: number;
  causal: boolean;
  scale: number;
}

export function layoutOf(
  q: Shape,
  k: Shape,
  { layout, heads, kvHeads, keys, causal, scale }: AttentionAttrs,
): AttentionLayout {
  const inHeads = layout === "heads";
  const dim = inHeads ? q[3] : k[2] / kvHeads;
  const queries = inHeads ? q[2] : q[1];
  const place = (count: number, length: number): HeadLayout =>
    inHeads
      ? { offset: 0, batch: count * length * dim, head: length * dim, row: dim }
      : within([q[0], length, count * dim], dim);
  const outPlace = place(heads, queries);
  const keyPlace = place(kvHeads, inHeads ? k[2] : k[1]);
  return {
    batch: q[0],
    heads,
    kvHeads,
    queries,
    keys,
    dim,
    scale,
    causal,
    q: outPlace,
    k: keyPlace,
    v: keyPlace,
    out: outPlace,
  };
}

/** Heads of width `dim`, side by side from `offset` on in rows [B, T, row]. */
export const within = ([, rows, row]: Shape, dim: number, offset = 0): HeadLayout => ({
  ...{ offset, batch: rows * row, head: dim, row },
});
