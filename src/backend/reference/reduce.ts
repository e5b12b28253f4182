/** Sums, products, extremes, their positions, and running totals. */

import type { NumericArray } from "../../core/dtype.js";
import { type Operand, type ReduceKind, type Split, SUM_BLOCK, SUM_LANES } from "../kernels.js";
import { ints, viewOf } from "./memory.js";

const { fround } = Math;
const lanes = new Float32Array(SUM_LANES);

/**
 * The one sum: blocks of 4096 elements in index order; in a block element j is added to lane j % 16, lanes start at +0
 * and j ascends; lanes are folded in halves (8, 4, 2, 1); the blocks' results are added in a pairwise tree, level by
 * level, an odd last one carried. The sum of nothing is +0. `count` elements at start, start + stride, …
 */
export function sum(values: Float32Array, start = 0, count = values.length - start, stride = 1): number {
  const blocks: number[] = [];
  for (let done = 0; done < count; done += SUM_BLOCK) {
    blocks.push(sumBlock(values, start + done * stride, Math.min(SUM_BLOCK, count - done), stride));
  }
  return pairwise(blocks);
}

/** The pairwise tree over the sums of blocks, level by level, an odd last one carried; +0 where there are none. */
export function pairwise(blocks: readonly number[]): number {
  let level = blocks;
  while (level.length > 1) {
    const next: number[] = [];
    for (let i = 0; i < level.length; i += 2) {
      next.push(i + 1 < level.length ? fround(level[i] + level[i + 1]) : level[i]);
    }
    level = next;
  }
  return level[0] ?? 0;
}

function sumBlock(values: Float32Array, start: number, count: number, stride: number): number {
  lanes.fill(0);
  for (let j = 0; j < count; j++) lanes[j % SUM_LANES] += values[start + j * stride];
  for (let half = SUM_LANES / 2; half >= 1; half /= 2) {
    for (let l = 0; l < half; l++) lanes[l] += lanes[l + half];
  }
  return lanes[0];
}

type Fold = (total: number, x: number) => number;

/** Everything but the float32 sum runs in index order from the first element; storing rounds or wraps each step. */
const folds: { readonly [kind in ReduceKind]: { float: Fold; int: Fold; empty: number } } = {
  sum: { float: (a, b) => fround(a + b), int: (a, b) => (a + b) | 0, empty: 0 },
  prod: { float: (a, b) => fround(a * b), int: Math.imul, empty: 1 },
  max: { float: Math.max, int: Math.max, empty: Number.NEGATIVE_INFINITY },
  min: { float: Math.min, int: Math.min, empty: Number.POSITIVE_INFINITY },
};

/** prod starts at its first element; max and min of float32 give NaN if any element is NaN. */
export function reduce(kind: ReduceKind, input: Operand, output: Operand, split: Split): void {
  const from = viewOf(input);
  const to = viewOf(output);
  const fold = folds[kind][input.dtype === "float32" ? "float" : "int"];
  eachLine(split, (start, stride, line) => {
    if (kind === "sum" && input.dtype === "float32") {
      to[line] = sum(from as Float32Array, start, split.size, stride);
      return;
    }
    let total = split.size > 0 ? from[start] : folds[kind].empty;
    for (let s = 1; s < split.size; s++) total = fold(total, from[start + s * stride]);
    to[line] = total;
  });
}

/** Calls `visit` for every line along the middle dim, with its first element, its stride and its number. */
export function eachLine(split: Split, visit: (start: number, stride: number, line: number) => void): void {
  for (let o = 0; o < split.outer; o++) {
    for (let i = 0; i < split.inner; i++) {
      visit(o * split.size * split.inner + i, split.inner, o * split.inner + i);
    }
  }
}

/** The first NaN wins, else the first of the largest (smallest) elements. float32, int32. */
export function argReduce(kind: "argmax" | "argmin", input: Operand, output: Operand, split: Split): void {
  const from = viewOf(input);
  const to = ints(output);
  eachLine(split, (start, stride, line) => {
    let best = 0;
    for (let s = 1; s < split.size; s++) {
      const held = from[start + best * stride];
      const x = from[start + s * stride];
      const better = kind === "argmax" ? x > held : x < held;
      if (better || (Number.isNaN(x) && !Number.isNaN(held))) best = s;
    }
    to[line] = best;
  });
}

/** out[0] = x[0]; out[s] = out[s - 1] + x[s]. */
export function cumsum(input: Operand, output: Operand, split: Split): void {
  const from = viewOf(input);
  const to: NumericArray = viewOf(output);
  eachLine(split, (start, stride) => {
    for (let s = 0; s < split.size; s++) {
      const at = start + s * stride;
      to[at] = s === 0 ? from[at] : to[at - stride] + from[at];
    }
  });
}
