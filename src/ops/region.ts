/** Strided regions of tensors: reading one, writing one into a filled tensor, and what is made of these two. */

import { IndexError, misfit, show, showShape } from "../core/errors.js";
import { checkOptions } from "../core/options.js";
import { contiguousStrides, listed, normalizeDim, normalizeDims, type Shape } from "../core/shape.js";
import { toStorage } from "../tensor/create.js";
import { dispatchOne } from "../tensor/dispatch.js";
import { type Op, registerOp } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkTensors, named } from "./define.js";
import { squeeze } from "./movement.js";

type RegionAttrs = { start: readonly number[]; step: readonly number[]; count: readonly number[] };
const regionAttrs = { start: { type: "integers" }, step: { type: "integers" }, count: { type: "integers" } } as const;

/** Offset and strides of a region of a contiguous tensor. */
function regionStrides(shape: Shape, { start, step }: RegionAttrs): { offset: number; strides: number[] } {
  const own = contiguousStrides(shape);
  return {
    offset: own.reduce((sum, stride, i) => sum + stride * start[i], 0),
    strides: own.map((stride, i) => stride * step[i]),
  };
}

const sliceOp: Op = registerOp({
  name: "slice",
  doc: "a strided region",
  inputs: [{ name: "x", kind: "any" }],
  attrs: regionAttrs,
  infer: ([x], { count }: RegionAttrs) => [{ shape: count, dtype: x.dtype }],
  run: (kernels, [x], [out], attrs) => {
    const { offset, strides } = regionStrides(x.shape, attrs);
    kernels.stridedCopy(x, out, {
      shape: out.shape,
      inputOffset: offset,
      inputStrides: strides,
      outputOffset: 0,
      outputStrides: contiguousStrides(out.shape),
    });
  },
  backward: ({ grad, attrs, shapes }) => [dispatchOne(placeOp, [grad], { ...attrs, shape: shapes[0], value: 0 })],
});

const placeOp: Op = registerOp({
  name: "place",
  doc: "a tensor of one value with x written into a strided region",
  inputs: [{ name: "x", kind: "any" }],
  attrs: { ...regionAttrs, shape: { type: "integers" }, value: { type: "number", default: 0 } },
  infer: ([x], { shape }: RegionAttrs & { shape: Shape; value: number }) => [{ shape, dtype: x.dtype }],
  run: (kernels, [x], [out], attrs) => {
    kernels.fill(out, attrs.value);
    const { offset, strides } = regionStrides(out.shape, attrs);
    kernels.stridedCopy(x, out, {
      shape: x.shape,
      inputOffset: 0,
      inputStrides: contiguousStrides(x.shape),
      outputOffset: offset,
      outputStrides: strides,
    });
  },
  backward: ({ grad, attrs: { start, step, count } }) => [dispatchOne(sliceOp, [grad], { start, step, count })],
});

/** One dim of an index: `[start, end, step]` with `null` for an end that is open, or a single position (which keeps the dim). */
export type SliceRange = readonly [start: number | null, end?: number | null, step?: number | null] | number | null;

/** A position from 0 to size - 1; negative ones count from the end. */
function position(index: number, size: number, dim: number, shape: Shape): number {
  if (Number.isInteger(index) && index >= -size && index < size) return index < 0 ? index + size : index;
  const allowed = size > 0 ? `a position from ${-size} to ${size - 1}` : "no position, since the dim is empty,";
  throw new IndexError(`slice: needs ${allowed} in dim ${dim}, got ${index} for ${showShape(shape)}.`, {
    where: "slice",
    size,
    got: index,
  });
}

/** Python's slice rules: negative positions count from the end, ends are clipped. Steps may be negative here. */
function sliceDim(
  size: number,
  range: SliceRange,
  dim: number,
  shape: Shape,
): [start: number, step: number, count: number] {
  if (typeof range === "number") return [position(range, size, dim, shape), 1, 1];
  const [from = null, to = null, by = null] = Array.isArray(range) ? range : [];
  const step = by ?? 1;
  if (!(range === null || Array.isArray(range)) || step === 0 || ![from ?? 0, to ?? 0, step].every(Number.isInteger)) {
    throw misfit(
      "slice",
      `needs whole numbers and a step other than 0 ([start, end, step]) in dim ${dim}, got ${show(range)} for ${showShape(shape)}.`,
    );
  }
  const clip = (value: number | null, fallback: number) => {
    if (value === null) return fallback;
    const absolute = value < 0 ? value + size : value;
    return step > 0 ? Math.min(Math.max(absolute, 0), size) : Math.min(Math.max(absolute, -1), size - 1);
  };
  const start = clip(from, step > 0 ? 0 : size - 1);
  const end = clip(to, step > 0 ? size : -1);
  return [start, step, Math.max(0, Math.ceil((end - start) / step))];
}

/** A region by ranges, one per leading dim; missing ones take all. */
export function slice(x: Tensor, ...ranges: SliceRange[]): Tensor {
  checkTensors("slice", { x });
  if (ranges.length > x.ndim) {
    throw misfit("slice", `needs at most ${x.ndim} ranges for ${showShape(x.shape)}, got ${ranges.length}.`);
  }
  const dims = x.shape.map((size, dim) => sliceDim(size, ranges[dim] ?? null, dim, x.shape));
  return dispatchOne(sliceOp, [x], {
    start: dims.map((d) => d[0]),
    step: dims.map((d) => d[1]),
    count: dims.map((d) => d[2]),
  });
}

/** `length` positions of one dim from `start`. */
export function narrow(x: Tensor, dim: number, start: number, length: number): Tensor {
  checkTensors("narrow", { x });
  const at = normalizeDim("narrow", dim, x.ndim);
  const size = x.shape[at] ?? 0;
  if (![start, length].every(Number.isInteger) || start < 0 || length < 0 || start + length > size) {
    throw misfit("narrow", `needs 0 <= start and start + length <= ${size}, got ${start} and ${length}.`);
  }
  return slice(x, ...x.shape.slice(0, at).map(() => null), [start, start + length]);
}

/** Position `index` of one dim, which is dropped. */
export function select(x: Tensor, dim: number, index: number): Tensor {
  checkTensors("select", { x });
  const at = normalizeDim("select", dim, x.ndim);
  if (x.ndim === 0) throw misfit("select", "needs at least 1 dim, got [].");
  return named("select", () => squeeze(slice(x, ...x.shape.slice(0, at).map(() => null), index), at));
}

/** Reverses dims. */
export function flip(x: Tensor, dims: readonly number[]): Tensor {
  checkTensors("flip", { x });
  const reversed = new Set(normalizeDims("flip", listed("flip", dims), x.ndim));
  return slice(x, ...x.shape.map((_, i): SliceRange => (reversed.has(i) ? [null, null, -1] : null)));
}

/** Adds `value` around the last dims: `pad` is [before, after] of the last dim, then of the one before it, … (as in PyTorch). */
export function pad(x: Tensor, pad: readonly number[], options: { value?: number } = {}): Tensor {
  checkOptions("pad", options, ["value"]);
  checkTensors("pad", { x });
  listed("pad", pad);
  const { value = 0 } = options;
  if (pad.length % 2 !== 0 || pad.length > 2 * x.ndim || pad.some((n) => !Number.isInteger(n) || n < 0)) {
    throw misfit("pad", `needs pairs of whole numbers for at most ${x.ndim} dims, got ${showShape(pad)}.`);
  }
  toStorage("pad", [value], x.dtype);
  const of = (dim: number) => pad.slice(2 * (x.ndim - 1 - dim), 2 * (x.ndim - dim));
  const start = x.shape.map((_, dim) => of(dim)[0] ?? 0);
  const shape = x.shape.map((n, dim) => n + start[dim] + (of(dim)[1] ?? 0));
  return dispatchOne(placeOp, [x], { start, step: x.shape.map(() => 1), count: x.shape, shape, value });
}
