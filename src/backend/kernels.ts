/**
 * The kernels of a backend, and what they are told.
 *
 * Conventions for all kernels. Operands are contiguous. Shapes, dtypes and indices were checked by the op; kernels do
 * not check again, except index kernels, which call `badIndex` on an index outside its range before writing anything.
 * Outputs are allocated, uninitialised, and alias no input unless the kernel says "in place". Float kernels take and
 * give float32; where a kernel takes other dtypes it says so.
 *
 * Sums, everywhere the word "sum" appears: blocks of SUM_BLOCK elements in index order; in a block element j is added
 * to lane j % SUM_LANES (lanes start at +0, j ascending); lanes are folded in halves (l += l + 8, then 4, 2, 1); the blocks'
 * results are added in a pairwise tree (0+1, 2+3, …, an odd last one is carried), level by level.
 * Chains, everywhere the word "chain" appears: acc = +0, then acc = acc + a * b with k ascending, one per output.
 */

import type { DType } from "../core/dtype.js";
import type { Program } from "../core/expr.js";
import type { RandomCall } from "../core/random.js";
import type { Shape } from "../core/shape.js";
import type { Storage } from "./storage.js";

// Numbers that portable bits depend on: `reference` and `wasm` read them here.

/** Elements per block of a sum. */
export const SUM_BLOCK = 4096;
/** Accumulators of a block. */
export const SUM_LANES = 16;
/** Keys per tile of attention. */
export const KEY_TILE = 64;
/** The lowest finite float32: a block of nothing but -Infinity has it for its largest element, so that x - m is no NaN. */
export const LOWEST = -3.4028234663852886e38;

/** What a kernel sees of a tensor. */
export interface Operand {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly size: number;
  readonly storage: Storage;
}

/** A contiguous tensor split at one dim: index = (o * size + s) * inner + i. */
export interface Split {
  readonly outer: number;
  readonly size: number;
  readonly inner: number;
}

/** A copy between two regions; strides and offsets count elements and may be 0 (input only) or negative. */
export interface StridedCopy {
  readonly shape: Shape;
  readonly inputOffset: number;
  readonly inputStrides: readonly number[];
  readonly outputOffset: number;
  readonly outputStrides: readonly number[];
}

export interface MatmulLayout {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** a is stored [k, m] instead of [m, k]. */
  readonly transposeA: boolean;
  /** b is stored [n, k] instead of [k, n]. */
  readonly transposeB: boolean;
  /** For each output matrix, which matrix of a and of b it uses. */
  readonly batchA: readonly number[];
  readonly batchB: readonly number[];
  /** Added to each row after the chain, [n]. */
  readonly bias?: Operand;
  /** The finished result is added to what the output holds: out = out + (chain + bias). In place. */
  readonly accumulate?: boolean;
}

/** Where one of q, k, v, out lies: element (b, h, t, d) is at offset + b * batch + h * head + t * row + d. */
export interface HeadLayout {
  readonly offset: number;
  readonly batch: number;
  readonly head: number;
  readonly row: number;
}

export interface AttentionLayout {
  readonly batch: number;
  readonly heads: number;
  /** Divides heads; query head h reads key head floor(h * kvHeads / heads). */
  readonly kvHeads: number;
  readonly queries: number;
  readonly keys: number;
  readonly dim: number;
  readonly scale: number;
  /** Query t attends keys 0 … t + (keys - queries). */
  readonly causal: boolean;
  readonly q: HeadLayout;
  readonly k: HeadLayout;
  readonly v: HeadLayout;
  readonly out: HeadLayout;
}

/** Rows of x [rows, width], and a weight [size, width] that makes `size` logits of each. */
export interface LinearCrossEntropyRows {
  readonly rows: number;
  readonly size: number;
  readonly width: number;
  /** Rows with this label count for nothing. */
  readonly ignoreIndex: number;
}

/** What one call of `elementwise` is given besides its program. */
export interface ElementwiseCall {
  readonly inputs: readonly Operand[];
  readonly outputs: readonly Operand[];
  readonly scalars: readonly number[];
}

export type ReduceKind = "sum" | "prod" | "max" | "min";

/** The kernels every backend has. One doc line each; `reference/` is the full specification. */
export interface Kernels {
  /**
   * One program over all elements. Outputs have one shape; inputs broadcast to it; all dtypes (float16 and bfloat16 are
   * widened to f32 lanes and rounded on store; uint8 wraps; bool is 0 or 1). An output may be one of the inputs (in place).
   */
  elementwise(
    program: Program,
    inputs: readonly Operand[],
    outputs: readonly Operand[],
    scalars: readonly number[],
  ): void;
  /**
   * One program on many sets of tensors, in few launches: for devices where each launch costs. The bits of calls of
   * `elementwise` one after the other, each with `shared` (single numbers) after its inputs. In place: every output is one of
   * the call's inputs, the same one in each call, and no tensor is changed by two calls.
   */
  elementwiseMany?(program: Program, calls: readonly ElementwiseCall[], shared: readonly Operand[]): void;
  /** Every element becomes `value`. All dtypes. */
  fill(output: Operand, value: number): void;
  /** Copies a region; all dtypes (equal on both sides). */
  stridedCopy(input: Operand, output: Operand, copy: StridedCopy): void;
  /** Reduces the middle of a split; "sum" is the sum of the conventions, the others run in index order. float32, int32. */
  reduce(kind: ReduceKind, input: Operand, output: Operand, split: Split): void;
  /** int32 position of the first largest or smallest element (NaN counts as largest and as smallest). */
  argReduce(kind: "argmax" | "argmin", input: Operand, output: Operand, split: Split): void;
  /** Running total in index order, one addition per element. float32, int32. */
  cumsum(input: Operand, output: Operand, split: Split): void;
  /** The first `count` of the middle dim in order; equal elements keep the lower index first; NaN is largest. */
  sort(
    input: Operand,
    values: Operand,
    indices: Operand,
    split: Split,
    options: { descending: boolean; count: number },
  ): void;
  /** out[o, j, i] = input[o, index[o, j, i], i]; index has `count` in the middle. All dtypes, index int32. */
  gather(input: Operand, index: Operand, output: Operand, split: Split & { count: number }): void;
  /** out[o, index[o, j, i], i] += source[o, j, i], j ascending; in place. float32, int32. */
  scatterAdd(index: Operand, source: Operand, output: Operand, split: Split & { count: number }): void;
  /** out[o, j, i] = input[o, index[j], i]. All dtypes, index int32; `storedWeights` also into float32. */
  indexSelect(input: Operand, index: Operand, output: Operand, split: Split & { count: number }): void;
  /** out[o, index[j], i] += source[o, j, i], j ascending; in place. float32, int32. */
  indexAdd(index: Operand, source: Operand, output: Operand, split: Split & { count: number }): void;
  /** Chains, batched. float32; a and b also one of the device's `storedWeights`. */
  matmul(a: Operand, b: Operand, output: Operand, layout: MatmulLayout): void;
  /**
   * A product of two matrices, and in the same launch the sums over k of the columns of b (or the rows of a): the gradients
   * of a weight and of its bias, for devices where each launch costs. No bias, no stacks. What is summed is float32, the
   * other as in `matmul`.
   */
  matmulAndSums?(a: Operand, b: Operand, output: Operand, sums: Operand, layout: MatmulLayout, of: "a" | "b"): void;
  /** Rows of `size`: m = max; e = exp(x - m); e / sum(e), or with `log`: (x - m) - log(sum(e)). */
  softmax(input: Operand, output: Operand, rows: { rows: number; size: number; log: boolean }): void;
  /** dx = y * (g - sum(g * y)), or with `log`: g - exp(y) * sum(g). */
  softmaxBackward(
    output: Operand,
    grad: Operand,
    dInput: Operand,
    rows: { rows: number; size: number; log: boolean },
  ): void;
  /** mean = sum(x) / size; rstd = 1 / sqrt(sum((x - mean)^2) / size + eps); y = ((x - mean) * rstd) * w + b. */
  layerNorm(
    input: Operand,
    weight: Operand | undefined,
    bias: Operand | undefined,
    output: Operand,
    mean: Operand,
    rstd: Operand,
    rows: { rows: number; size: number; eps: number },
  ): void;
  /** See reference/norm.ts. dWeight and dBias sum over rows in the order of the conventions. */
  layerNormBackward(
    grad: Operand,
    input: Operand,
    weight: Operand | undefined,
    mean: Operand,
    rstd: Operand,
    dInput: Operand,
    dWeight: Operand | undefined,
    dBias: Operand | undefined,
    rows: { rows: number; size: number },
  ): void;
  /** rstd = 1 / sqrt(sum(x * x) / size + eps); y = (x * rstd) * w. */
  rmsNorm(
    input: Operand,
    weight: Operand | undefined,
    output: Operand,
    rstd: Operand,
    rows: { rows: number; size: number; eps: number },
  ): void;
  rmsNormBackward(
    grad: Operand,
    input: Operand,
    weight: Operand | undefined,
    rstd: Operand,
    dInput: Operand,
    dWeight: Operand | undefined,
    rows: { rows: number; size: number },
  ): void;
  /** Per row: lse = log(sum(exp(x))) by blocks (reference/loss.ts); loss = lse - x[label]; 0 where the label is `ignoreIndex`. labels int32. */
  crossEntropy(
    logits: Operand,
    labels: Operand,
    losses: Operand,
    lse: Operand,
    rows: { rows: number; size: number; ignoreIndex: number },
  ): void;
  /** dLogits = (exp(x - lse) - [i = label]) * grad[row]; rows with `ignoreIndex` become 0. grad is [rows]. */
  crossEntropyBackward(
    logits: Operand,
    labels: Operand,
    lse: Operand,
    grad: Operand,
    dLogits: Operand,
    rows: { rows: number; size: number; ignoreIndex: number },
  ): void;
  /**
   * crossEntropy of the chains x weight^T, which never lie in memory all at once. labels int32; x and weight as in
   * `matmul`.
   */
  linearCrossEntropy(
    x: Operand,
    weight: Operand,
    labels: Operand,
    losses: Operand,
    lse: Operand,
    rows: LinearCrossEntropyRows,
  ): void;
  /** With dLogits as in crossEntropyBackward: dX = dLogits weight, dWeight = dLogits^T x, both chains; grad is [rows]. */
  linearCrossEntropyBackward(
    x: Operand,
    weight: Operand,
    labels: Operand,
    lse: Operand,
    grad: Operand,
    dX: Operand | undefined,
    dWeight: Operand | undefined,
    rows: LinearCrossEntropyRows,
  ): void;
  /** softmax(q k^T * scale) v over key tiles of fixed width from key 0; lse [batch, heads, queries]. See reference/attention.ts. */
  attention(q: Operand, k: Operand, v: Operand, output: Operand, lse: Operand, layout: AttentionLayout): void;
  /**
   * `attention` of a single query of each head, whose key and value are not in the cache yet: they lie behind all queries
   * in qkv, and are written to row keys - 1 of the cache too. In one launch: for devices where each launch costs.
   */
  cachedAttention?(qkv: Operand, cache: Operand, output: Operand, lse: Operand, layout: AttentionLayout): void;
  /** Gradients in the layouts of q, k and v. */
  attentionBackward(
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
  ): void;
  /** The sum of the squares of all elements of all inputs, in few launches: for devices where each launch costs. float32. */
  sumOfSquares?(inputs: readonly Operand[], output: Operand): void;
  /** Element i is (word i of the random call >> 8) * 2^-24, in [0, 1). */
  randomUniform(output: Operand, call: RandomCall): void;
  /**
   * word i < threshold ? x[i] * scale : 0, unsigned comparison; the backward pass is the same kernel on the gradient. Who
   * repeats it reads the call anew.
   */
  dropout(input: Operand, output: Operand, call: RandomCall, threshold: number, scale: number): void;
}
