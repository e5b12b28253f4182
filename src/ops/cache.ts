/** The key-value cache of a decoder: rows are written in place, then attention reads the filled part. */

import { misfit, showShape } from "../core/errors.js";
import { contiguousStrides } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import { registerOp } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";

interface CacheAttrs {
  [name: string]: number;
  position: number;
  column: number;
}

const cacheWriteOp = registerOp<CacheAttrs>({
  name: "cacheWrite",
  doc: "writes columns of new rows into a cache at a position",
  inputs: [
    { name: "cache", kind: "float" },
    { name: "rows", kind: "float" },
  ],
  attrs: { position: { type: "integer" }, column: { type: "integer" } },
  mutates: [0],
  infer: ([{ shape: cache }, { shape: rows }], { position, column }) => {
    const fits =
      cache.length === 3 &&
      rows.length === 3 &&
      cache[0] === rows[0] &&
      position >= 0 &&
      column >= 0 &&
      position + rows[1] <= cache[1] &&
      column + cache[2] <= rows[2];
    if (!fits) {
      throw misfit(
        "cacheWrite",
        `needs a cache [B, S, C] with room for rows [B, T, >= C] at position ${position}, got ${showShape(cache)} and ${showShape(rows)}.`,
      );
    }
    return [];
  },
  run: (kernels, [cache, rows], _, { position, column }) =>
    kernels.stridedCopy(rows, cache, {
      shape: [rows.shape[0], rows.shape[1], cache.shape[2]],
      inputOffset: column,
      inputStrides: contiguousStrides(rows.shape),
      outputOffset: position * cache.shape[2],
      outputStrides: contiguousStrides(cache.shape),
    }),
});

/**
 * Writes columns `column` … `column + C` of rows [B, T, W] into a cache [B, S, C] at rows `position` …; in place,
 * without gradients.
 */
export function cacheWrite(
  cache: Tensor,
  rows: Tensor,
  { position, column = 0 }: { position: number; column?: number },
): void {
  dispatch(cacheWriteOp, [cache, rows], { position, column });
}
