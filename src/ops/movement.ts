/** The same elements in another shape, order or number: reshape is free, the others copy through one strided kernel. */

import { GradientError, misfit, showShape } from "../core/errors.js";
import {
  broadcastShapes,
  broadcastStrides,
  contiguousStrides,
  inferReshape,
  listed,
  normalizeDim,
  type Shape,
  sameShape,
  sizeOf,
} from "../core/shape.js";
import { gradEnabled } from "../tensor/autograd.js";
import { castProgram } from "../tensor/cast.js";
import { dispatch, dispatchOne } from "../tensor/dispatch.js";
import { registerOp } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkTensors, named } from "./define.js";

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
export const reshape = (x: Tensor, shape: Shape): Tensor =>
  dispatchOne(reshapeOp, [x], { shape: listed("reshape", shape) });

/** Drops a dim of size 1, or all of them. */
export function squeeze(x: Tensor, dim?: number): Tensor {
  checkTensors("squeeze", { x });
  if (dim === undefined)
    return reshape(
      x,
      x.shape.filter((n) => n !== 1),
    );
  const at = normalizeDim("squeeze", dim, x.ndim);
  return reshape(
    x,
    x.shape.filter((n, i) => i !== at || n !== 1),
  );
}

/** Inserts a dim of size 1. */
export function unsqueeze(x: Tensor, dim: number): Tensor {
  checkTensors("unsqueeze", { x });
  const at = normalizeDim("unsqueeze", dim, x.ndim + 1);
  return reshape(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
}

/** Merges the dims from `startDim` to `endDim`. */
export function flatten(x: Tensor, startDim = 0, endDim = -1): Tensor {
  checkTensors("flatten", { x });
  if (x.ndim === 0) return reshape(x, [1]);
  const from = normalizeDim("flatten", startDim, x.ndim);
  const to = normalizeDim("flatten", endDim, x.ndim);
  if (to < from) {
    throw misfit("flatten", `needs startDim up to endDim, got ${startDim} and ${endDim}.`);
  }
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
      throw misfit(
        "permute",
        `needs each of ${x.shape.length} dims once, got ${showShape(x.shape)} and ${showShape(dims)}.`,
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
export const permute = (x: Tensor, dims: readonly number[]): Tensor =>
  dispatchOne(permuteOp, [x], { dims: listed("permute", dims) });

/** Two dims exchanged. */
export function transpose(x: Tensor, dim0 = -2, dim1 = -1): Tensor {
  checkTensors("transpose", { x });
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
      throw misfit(
        "expand",
        `needs a target that equals the shape but where it is 1, got ${showShape(x.shape)} and ${showShape(shape)}.`,
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
export const expand = (x: Tensor, shape: Shape): Tensor =>
  dispatchOne(expandOp, [x], { shape: listed("expand", shape) });

/** A copy with storage of its own; gradients flow through it. */
export function clone(x: Tensor): Tensor {
  checkTensors("clone", { x });
  return named("clone", () => expand(x, x.shape));
}

const copyOp = registerOp({
  name: "copy_",
  doc: "writes the values of a source into x, in place",
  inputs: [any("x"), any("source")],
  mutates: [0],
  infer: ([{ shape: x }, { shape: source }]) => {
    if (sameShape(broadcastShapes("copy_", x, source), x)) return [];
    throw misfit("copy_", `needs a source that broadcasts to x, got ${showShape(source)} and ${showShape(x)}.`);
  },
  run: (kernels, [x, source]) => kernels.elementwise(castProgram(source.dtype, x.dtype), [source], [x], []),
});

/**
 * Writes the values of `source` into x, in place: they broadcast to its shape and are converted to its dtype. A leaf that
 * needs gradients may be written under `noGrad` only, and so may values that need some: they do not flow through storage.
 */
export function copy_(x: Tensor, source: Tensor): Tensor {
  if (source?.requiresGrad && gradEnabled()) {
    throw new GradientError("copy_: a tensor that requires a gradient may be copied only under noGrad().", {
      where: "copy_",
      hint: "Wrap the call: noGrad(() => …).",
    });
  }
  dispatch(copyOp, [x, source]);
  return x;
}

/** The tensor repeated `times[i]` times along each dim. */
export function repeat(x: Tensor, times: readonly number[]): Tensor {
  checkTensors("repeat", { x });
  const repeats = listed("repeat", times);
  if (repeats.length < x.ndim || repeats.some((n) => !Number.isInteger(n) || n < 0)) {
    throw misfit(
      "repeat",
      `needs at least one whole number per dim, got ${showShape(x.shape)} and ${showShape(repeats)}.`,
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
