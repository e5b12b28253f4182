/** Ops that move elements: reshape is free, the others copy through one strided kernel. */

import { ShapeError, showShape } from "../core/errors.js";
import {
  broadcastStrides,
  contiguousStrides,
  inferReshape,
  normalizeDim,
  type Shape,
  sameShape,
  sizeOf,
} from "../core/shape.js";
import { dispatchOne } from "../tensor/dispatch.js";
import { type Op, registerOp } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { where } from "./elementwise.js";
import { lowerMask } from "./mask.js";

const any = (name: string) => ({ name, kind: "any" }) as const;

// ── the same elements under another shape ───────────────────────────────────────────────────────────────────────────

const reshapeOp = registerOp({
  name: "reshape",
  doc: "the same elements in another shape; free",
  inputs: [any("x")],
  attrs: { shape: { type: "integers" } },
  composition: ([x], { shape }: { shape: Shape }) => x.alias(inferReshape("reshape", x.shape, shape)),
  backward: ({ grad, shapes }) => [grad.alias(shapes[0])],
});

/** The same elements in another shape; one size may be -1. Free: shares the storage. */
export const reshape = (x: Tensor, shape: Shape): Tensor => dispatchOne(reshapeOp, [x], { shape: [...shape] });

/** Drops a dim of size 1, or all of them. */
export function squeeze(x: Tensor, dim?: number): Tensor {
  if (dim === undefined)
    return reshape(
      x,
      x.shape.filter((n) => n !== 1),
    );
  const at = normalizeDim("squeeze", dim, x.ndim);
  return x.shape[at] === 1
    ? reshape(
        x,
        x.shape.filter((_, i) => i !== at),
      )
    : x;
}

/** Inserts a dim of size 1. */
export function unsqueeze(x: Tensor, dim: number): Tensor {
  const at = normalizeDim("unsqueeze", dim, x.ndim + 1);
  return reshape(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
}

/** Merges the dims from `startDim` to `endDim`. */
export function flatten(x: Tensor, startDim = 0, endDim = -1): Tensor {
  if (x.ndim === 0) return reshape(x, [1]);
  const from = normalizeDim("flatten", startDim, x.ndim);
  const to = normalizeDim("flatten", endDim, x.ndim);
  return reshape(x, [...x.shape.slice(0, from), sizeOf(x.shape.slice(from, to + 1)), ...x.shape.slice(to + 1)]);
}

// ── reorderings and repetitions ─────────────────────────────────────────────────────────────────────────────────────

const permuteOp = registerOp({
  name: "permute",
  doc: "dims in another order",
  inputs: [any("x")],
  attrs: { dims: { type: "integers" } },
  infer: ([x], { dims }: { dims: readonly number[] }) => {
    const order = dims.map((dim) => normalizeDim("permute", dim, x.shape.length));
    if (order.length !== x.shape.length || new Set(order).size !== order.length) {
      throw new ShapeError(
        `permute: needs each of ${x.shape.length} dims once, got ${showShape(x.shape)} and ${showShape(dims)}.`,
        { where: "permute" },
      );
    }
    return [{ shape: order.map((dim) => x.shape[dim]), dtype: x.dtype }];
  },
  run: (kernels, [x], [out], { dims }) => {
    const strides = contiguousStrides(x.shape);
    kernels.stridedCopy(x, out, {
      shape: out.shape,
      inputOffset: 0,
      inputStrides: dims.map((dim) => strides[normalizeDim("permute", dim, x.shape.length)]),
      outputOffset: 0,
      outputStrides: contiguousStrides(out.shape),
    });
  },
  backward: ({ grad, attrs: { dims }, shapes }) => {
    const inverse: number[] = [];
    dims.forEach((dim, i) => {
      inverse[normalizeDim("permute", dim, shapes[0].length)] = i;
    });
    return [permute(grad, inverse)];
  },
});

/** Dims in another order: dim i of the result is dim `dims[i]` of x. */
export const permute = (x: Tensor, dims: readonly number[]): Tensor => dispatchOne(permuteOp, [x], { dims: [...dims] });

/** Two dims exchanged. */
export function transpose(x: Tensor, dim0 = -2, dim1 = -1): Tensor {
  const a = normalizeDim("transpose", dim0, x.ndim);
  const b = normalizeDim("transpose", dim1, x.ndim);
  const dims = x.shape.map((_, i) => (i === a ? b : i === b ? a : i));
  return permute(x, dims);
}

const expandOp = registerOp({
  name: "expand",
  doc: "repeats dims of size 1 to a larger shape",
  inputs: [any("x")],
  attrs: { shape: { type: "integers" } },
  infer: ([x], { shape }: { shape: Shape }) => {
    const lead = shape.length - x.shape.length;
    const target = shape.map((n, i) => (n === -1 ? (x.shape[i - lead] ?? -1) : n));
    const fits =
      lead >= 0 && target.every((n, i) => n >= 0 && (i < lead || x.shape[i - lead] === n || x.shape[i - lead] === 1));
    if (!fits) {
      throw new ShapeError(
        `expand: needs a target that equals the shape but where it is 1, got ${showShape(x.shape)} and ${showShape(shape)}.`,
        { where: "expand" },
      );
    }
    return [{ shape: target, dtype: x.dtype }];
  },
  run: (kernels, [x], [out]) =>
    kernels.stridedCopy(x, out, {
      shape: out.shape,
      inputOffset: 0,
      inputStrides: broadcastStrides(x.shape, out.shape),
      outputOffset: 0,
      outputStrides: contiguousStrides(out.shape),
    }),
  backward: ({ grad }) => [grad],
});

/** Repeats dims of size 1 (and missing leading dims) to `shape`; -1 keeps a size. Copies. */
export const expand = (x: Tensor, shape: Shape): Tensor => dispatchOne(expandOp, [x], { shape: [...shape] });

/** The tensor repeated `repeats[i]` times along each dim. */
export function repeat(x: Tensor, repeats: readonly number[]): Tensor {
  if (repeats.length < x.ndim || repeats.some((n) => !Number.isInteger(n) || n < 0)) {
    throw new ShapeError(
      `repeat: needs at least one whole number per dim, got ${showShape(x.shape)} and ${showShape(repeats)}.`,
      { where: "repeat" },
    );
  }
  const own = [...new Array(repeats.length - x.ndim).fill(1), ...x.shape];
  const split = own.flatMap((n) => [1, n]);
  const target = own.flatMap((n, i) => [repeats[i], n]);
  return reshape(
    expand(reshape(x, split), target),
    own.map((n, i) => n * repeats[i]),
  );
}

// ── regions ─────────────────────────────────────────────────────────────────────────────────────────────────────────

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
  inputs: [any("x")],
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
  inputs: [any("x")],
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

/** Python's slice rules: negative positions count from the end, ends are clipped. Steps may be negative here. */
function sliceDim(
  size: number,
  range: SliceRange,
  dim: number,
  shape: Shape,
): [start: number, step: number, count: number] {
  if (typeof range === "number") {
    if (!Number.isInteger(range) || range < -size || range >= size) {
      throw new ShapeError(
        `slice: needs a position from ${-size} to ${size - 1} in dim ${dim}, got ${range} for ${showShape(shape)}.`,
        { where: "slice" },
      );
    }
    return [range < 0 ? range + size : range, 1, 1];
  }
  const [from = null, to = null, by = null] = range ?? [];
  const step = by ?? 1;
  if (!Number.isInteger(step) || step === 0)
    throw new ShapeError(`slice: needs a step other than 0 in dim ${dim}, got ${step}.`, { where: "slice" });
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
export function slice(x: Tensor, ...ranges: readonly SliceRange[]): Tensor {
  if (ranges.length > x.ndim) {
    throw new ShapeError(`slice: needs at most ${x.ndim} ranges for ${showShape(x.shape)}, got ${ranges.length}.`, {
      where: "slice",
    });
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
  const at = normalizeDim("narrow", dim, x.ndim);
  if (start < 0 || length < 0 || start + length > x.shape[at]) {
    throw new ShapeError(`narrow: needs 0 <= start and start + length <= ${x.shape[at]}, got ${start} and ${length}.`, {
      where: "narrow",
    });
  }
  return slice(x, ...x.shape.slice(0, at).map(() => null), [start, start + length]);
}

/** Position `index` of one dim, which is dropped. */
export function select(x: Tensor, dim: number, index: number): Tensor {
  const at = normalizeDim("select", dim, x.ndim);
  return squeeze(slice(x, ...x.shape.slice(0, at).map(() => null), index), at);
}

/** Reverses dims. */
export function flip(x: Tensor, dims: readonly number[]): Tensor {
  const reversed = new Set(dims.map((dim) => normalizeDim("flip", dim, x.ndim)));
  return slice(x, ...x.shape.map((_, i): SliceRange => (reversed.has(i) ? [null, null, -1] : null)));
}

/** Adds `value` around the last dims: `pad` is [before, after] of the last dim, then of the one before it, … (as in PyTorch). */
export function pad(x: Tensor, pad: readonly number[], { value = 0 }: { value?: number } = {}): Tensor {
  if (pad.length % 2 !== 0 || pad.length > 2 * x.ndim || pad.some((n) => !Number.isInteger(n) || n < 0)) {
    throw new ShapeError(`pad: needs pairs of whole numbers for at most ${x.ndim} dims, got ${showShape(pad)}.`, {
      where: "pad",
    });
  }
  const of = (dim: number) => pad.slice(2 * (x.ndim - 1 - dim), 2 * (x.ndim - dim));
  const start = x.shape.map((_, dim) => of(dim)[0] ?? 0);
  const shape = x.shape.map((n, dim) => n + start[dim] + (of(dim)[1] ?? 0));
  return dispatchOne(placeOp, [x], { start, step: x.shape.map(() => 1), count: x.shape, shape, value });
}

// ── joining and splitting ───────────────────────────────────────────────────────────────────────────────────────────

const catOp = registerOp({
  name: "cat",
  doc: "joins tensors along a dim",
  inputs: [{ name: "tensors", kind: "any", variadic: true }],
  attrs: { dim: { type: "integer", default: 0 } },
  promotion: "common",
  infer: (inputs, { dim }: { dim: number }) => {
    const [first] = inputs;
    const at = normalizeDim("cat", dim, first.shape.length);
    for (const { shape } of inputs) {
      if (shape.length !== first.shape.length || shape.some((n, i) => i !== at && n !== first.shape[i])) {
        throw new ShapeError(
          `cat: needs shapes equal but in dim ${at}, got ${showShape(first.shape)} and ${showShape(shape)}.`,
          { where: "cat" },
        );
      }
    }
    const total = inputs.reduce((sum, { shape }) => sum + shape[at], 0);
    return [{ shape: first.shape.map((n, i) => (i === at ? total : n)), dtype: first.dtype }];
  },
  run: (kernels, inputs, [out], { dim }) => {
    const strides = contiguousStrides(out.shape);
    const at = normalizeDim("cat", dim, out.shape.length);
    let offset = 0;
    for (const input of inputs) {
      kernels.stridedCopy(input, out, {
        shape: input.shape,
        inputOffset: 0,
        inputStrides: contiguousStrides(input.shape),
        outputOffset: offset * strides[at],
        outputStrides: strides,
      });
      offset += input.shape[at];
    }
  },
  backward: ({ grad, attrs: { dim }, shapes, needs }) => {
    const at = normalizeDim("cat", dim, shapes[0].length);
    let offset = 0;
    return shapes.map((shape, i) => {
      const from = offset;
      offset += shape[at];
      return needs(i) ? narrow(grad, at, from, shape[at]) : undefined;
    });
  },
});

/** Joins tensors along a dim. */
export function cat(tensors: readonly Tensor[], { dim = 0 }: { dim?: number } = {}): Tensor {
  if (tensors.length === 0) throw new ShapeError("cat: needs at least one tensor.", { where: "cat" });
  return dispatchOne(catOp, tensors, { dim });
}

/** Joins tensors of one shape along a new dim. */
export function stack(tensors: readonly Tensor[], { dim = 0 }: { dim?: number } = {}): Tensor {
  if (tensors.length === 0) throw new ShapeError("stack: needs at least one tensor.", { where: "stack" });
  const [first] = tensors;
  for (const other of tensors) {
    if (!sameShape(other.shape, first.shape)) {
      throw new ShapeError(
        `stack: needs tensors of one shape, got ${showShape(first.shape)} and ${showShape(other.shape)}.`,
        { where: "stack" },
      );
    }
  }
  const at = normalizeDim("stack", dim, first.ndim + 1);
  return cat(
    tensors.map((x) => unsqueeze(x, at)),
    { dim: at },
  );
}

/** Pieces along a dim: of one size (the last may be smaller), or of the given sizes. */
export function split(x: Tensor, sizes: number | readonly number[], { dim = 0 }: { dim?: number } = {}): Tensor[] {
  const at = normalizeDim("split", dim, x.ndim);
  const total = x.shape[at];
  const list =
    typeof sizes === "number"
      ? Array.from({ length: Math.ceil(total / sizes) }, (_, i) => Math.min(sizes, total - i * sizes))
      : sizes;
  if (list.reduce((a, b) => a + b, 0) !== total) {
    throw new ShapeError(
      `split: needs sizes that sum to ${total}, got ${showShape(list)} for dim ${at} of ${showShape(x.shape)}.`,
      { where: "split" },
    );
  }
  let offset = 0;
  return list.map((size) => {
    const piece = narrow(x, at, offset, size);
    offset += size;
    return piece;
  });
}

// ── triangles ───────────────────────────────────────────────────────────────────────────────────────────────────────

function checkMatrix(op: string, x: Tensor): void {
  if (x.ndim < 2) throw new ShapeError(`${op}: needs at least 2 dims, got ${showShape(x.shape)}.`, { where: op });
}

/** The part on and below a diagonal of each matrix; 0 elsewhere. */
export function tril(x: Tensor, { diagonal = 0 }: { diagonal?: number } = {}): Tensor {
  checkMatrix("tril", x);
  return where(lowerMask(x, diagonal), x, 0);
}

/** The part on and above a diagonal of each matrix; 0 elsewhere. */
export function triu(x: Tensor, { diagonal = 0 }: { diagonal?: number } = {}): Tensor {
  checkMatrix("triu", x);
  return where(lowerMask(x, diagonal - 1), 0, x);
}
