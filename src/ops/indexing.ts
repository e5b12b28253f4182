/** Reading and adding at positions given by int32 tensors, and ordering. An index out of range is an IndexError. */

import { isFloat } from "../core/dtype.js";
import { DTypeError, misfit, showShape } from "../core/errors.js";
import { checkOptions } from "../core/options.js";
import { contiguousStrides, normalizeDim, type Shape, splitAt } from "../core/shape.js";
import { ones, zeros } from "../tensor/create.js";
import { dispatch, dispatchOne } from "../tensor/dispatch.js";
import { type Op, registerOp } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkTensors, named } from "./define.js";
import { add } from "./elementwise.js";
import { reshape } from "./movement.js";
import { pad, slice } from "./region.js";

/** Gradients of 16-bit floats are added up in float32. */
const wide = (grad: Tensor): Tensor => grad.to({ dtype: "float32" });

/** The gradient of what was read at positions of a dim. */
const spread = (grad: Tensor, dim: number, ids: Tensor, shape: Shape): Tensor =>
  scatterAdd(zeros(shape, { dtype: "float32", device: grad.device }), dim, ids, wide(grad));

const index = { name: "index", kind: "int" } as const;

const indexSelectOp: Op = registerOp({
  name: "indexSelect",
  doc: "the positions of a dim that an int32 vector names",
  inputs: [{ name: "x", kind: "any" }, index],
  attrs: { dim: { type: "integer" } },
  infer: ([x, ids], { dim }: { dim: number }) => [
    { shape: [...x.shape.slice(0, dim), ...ids.shape, ...x.shape.slice(dim + 1)], dtype: x.dtype },
  ],
  run: (kernels, [x, ids], [out], { dim }) =>
    kernels.indexSelect(x, ids, out, { ...splitAt(x.shape, dim), count: ids.size }),
  saves: { inputs: [1] },
  backward: ({ grad, inputs: [, ids], attrs: { dim }, shapes }) => [
    dispatchOne(indexSpreadOp, [ids, wide(grad)], { dim, shape: shapes[0] }),
    undefined,
  ],
});

const indexSpreadOp: Op = registerOp({
  name: "indexSpread",
  doc: "zeros, with each slice of the source added at the position its index names",
  inputs: [index, "source"],
  attrs: { dim: { type: "integer" }, shape: { type: "integers" } },
  infer: ([, source], { shape }: { dim: number; shape: Shape }) => [{ shape, dtype: source.dtype }],
  run: (kernels, [ids, source], [out], { dim }) => {
    kernels.fill(out, 0);
    kernels.indexAdd(ids, source, out, { ...splitAt(out.shape, dim), count: ids.size });
  },
  saves: { inputs: [0] },
  backward: ({ grad, inputs: [ids], attrs: { dim } }) => [undefined, dispatchOne(indexSelectOp, [grad, ids], { dim })],
});

/** The positions of a dim that `index` names; the dim is replaced by the shape of `index`. */
export function indexSelect(x: Tensor, dim: number, index: Tensor): Tensor {
  checkTensors("indexSelect", { x, index });
  return dispatchOne(indexSelectOp, [x, index], { dim: normalizeDim("indexSelect", dim, x.ndim) });
}

const embeddingOp = registerOp({
  name: "embedding",
  doc: "the rows of a table that int32 ids name",
  inputs: [index, { name: "weight", kind: "number", stored: true }],
  infer: ([ids, weight]) => {
    if (weight.shape.length !== 2) {
      throw misfit("embedding", `needs a table [rows, features], got ${showShape(weight.shape)}.`);
    }
    const dtype = isFloat(weight.dtype) ? "float32" : weight.dtype;
    return [{ shape: [...ids.shape, weight.shape[1]], dtype }];
  },
  run: (kernels, [ids, weight], [out]) =>
    kernels.indexSelect(weight, ids, out, { outer: 1, size: weight.shape[0], inner: weight.shape[1], count: ids.size }),
  saves: { inputs: [0] },
  backward: ({ grad, inputs: [ids], shapes }) => [
    undefined,
    dispatchOne(indexSpreadOp, [ids, grad], { dim: 0, shape: shapes[1] }),
  ],
});

/** Rows of `weight` [rows, features] for ids [...]: [..., features]; float32 also from a table of 16-bit floats. */
export const embedding: (ids: Tensor, weight: Tensor) => Tensor = (...inputs: Tensor[]) =>
  dispatchOne(embeddingOp, inputs);

function checkGather(op: string, x: Shape, ids: Shape, dim: number): void {
  if (ids.length !== x.length || ids.some((n, i) => i !== dim && n > x[i])) {
    throw misfit(
      op,
      `needs an index of as many dims, no larger but in dim ${dim}, got ${showShape(x)} and ${showShape(ids)}.`,
    );
  }
}

/** Cuts x to the extent of the index in every dim but one. */
const cutTo = (x: Tensor, ids: Shape, dim: number): Tensor =>
  ids.every((n, i) => i === dim || n === x.shape[i])
    ? x
    : slice(x, ...ids.map((n, i) => (i === dim ? null : ([0, n] as const))));

const gatherOp = registerOp({
  name: "gather",
  doc: "along a dim, the element that the index at the same place names",
  inputs: [{ name: "x", kind: "any" }, index],
  attrs: { dim: { type: "integer" } },
  infer: ([x, ids]) => [{ shape: ids.shape, dtype: x.dtype }],
  run: (kernels, [x, ids], [out], { dim }: { dim: number }) =>
    kernels.gather(x, ids, out, { ...splitAt(x.shape, dim), count: ids.shape[dim] ?? 1 }),
  saves: { inputs: [1] },
  backward: ({ grad, inputs: [, ids], attrs: { dim }, shapes }) => [spread(grad, dim, ids, shapes[0]), undefined],
});

/** out[i][j] = x[index[i][j]][j] for dim 0, and so on: along `dim`, the element that the index at the same place names. */
export function gather(x: Tensor, dim: number, index: Tensor): Tensor {
  checkTensors("gather", { x, index });
  const at = normalizeDim("gather", dim, x.ndim);
  checkGather("gather", x.shape, index.shape, at);
  return dispatchOne(gatherOp, [cutTo(x, index.shape, at), index], { dim: at });
}

const wholeCopy = (shape: Shape) => {
  const strides = contiguousStrides(shape);
  return { shape, inputOffset: 0, inputStrides: strides, outputOffset: 0, outputStrides: strides };
};

const scatterAddOp = registerOp({
  name: "scatterAdd",
  doc: "x, with each source element added at the place its index names",
  inputs: ["x", index, "source"],
  attrs: { dim: { type: "integer" } },
  promotion: "common",
  infer: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
  run: (kernels, [x, ids, source], [out], { dim }: { dim: number }) => {
    kernels.stridedCopy(x, out, wholeCopy(x.shape));
    kernels.scatterAdd(ids, source, out, { ...splitAt(out.shape, dim), count: ids.shape[dim] ?? 1 });
  },
  saves: { inputs: [1] },
  backward: ({ grad, inputs: [, ids], attrs: { dim }, needs }) => [
    grad,
    undefined,
    needs(2) ? gather(grad, dim, ids) : undefined,
  ],
});

/** x with source[i][j] added at [index[i][j]][j] for dim 0, and so on; in index order, so the same bits every time. */
export function scatterAdd(x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor {
  checkTensors("scatterAdd", { x, index, source });
  const at = normalizeDim("scatterAdd", dim, x.ndim);
  checkGather("scatterAdd", x.shape, index.shape, at);
  checkGather("scatterAdd", source.shape, index.shape, -1);
  if (x.dtype === "bool" || x.dtype === "uint8") {
    throw new DTypeError(`scatterAdd: needs int32 or float32 for x, got ${x.dtype}.`, {
      where: "scatterAdd",
      hint: 'Convert it: x.to({ dtype: "int32" }).',
    });
  }
  const own = cutTo(source, index.shape, -1);
  if (index.shape.every((n, i) => i === at || n === x.shape[i]))
    return dispatchOne(scatterAddOp, [x, index, own], { dim: at });
  // The index covers a part of x only: add up there, and pad with zeros to the whole.
  const zero = zeros(cutTo(x, index.shape, at).shape, { dtype: x.dtype, device: x.device });
  const part = dispatchOne(scatterAddOp, [zero, index, own], { dim: at });
  const missing = part.shape.flatMap((n, i) => [x.shape[i] - n, 0]).reverse();
  return add(x, pad(part, missing));
}

/** int32 [..., numClasses] with 1 at each id. */
export function oneHot(ids: Tensor, numClasses: number): Tensor {
  if (!Number.isInteger(numClasses) || numClasses < 1) {
    throw misfit("oneHot", `needs a whole number of classes from 1 up, got ${numClasses}.`);
  }
  const { device } = ids;
  const rows = reshape(ids, [-1, 1]);
  const none = zeros([ids.size, numClasses], { dtype: "int32", device });
  const hot = named("oneHot", () => scatterAdd(none, 1, rows, ones([ids.size, 1], { dtype: "int32", device })));
  return reshape(hot, [...ids.shape, numClasses]);
}

type SortAttrs = { dim: number; descending: boolean; count: number };

const sortOp = registerOp({
  name: "sort",
  doc: "the first elements of a dim in order, with their positions",
  inputs: ["x"],
  attrs: { dim: { type: "integer" }, descending: { type: "boolean", default: false }, count: { type: "integer" } },
  infer: ([x], { dim, count }: SortAttrs) => {
    const shape = x.shape.map((n, i) => (i === dim ? count : n));
    return [
      { shape, dtype: x.dtype },
      { shape, dtype: "int32" as const },
    ];
  },
  run: (kernels, [x], [values, indices], { dim, descending, count }) =>
    kernels.sort(x, values, indices, splitAt(x.shape, dim), { descending, count }),
  saves: { outputs: [1] },
  backward: ({ grad, outputs, attrs: { dim }, shapes }) => [spread(grad, dim, outputs[1], shapes[0])],
});

/** Elements in order, and where they were. */
export interface Ordered {
  values: Tensor;
  /** int32. */
  indices: Tensor;
}

function ordered(name: string, x: Tensor, dim: number, descending: boolean, count?: number): Ordered {
  checkTensors(name, { x });
  const at = normalizeDim(name, dim, x.ndim);
  const input = x.ndim === 0 ? reshape(x, [1]) : x;
  const size = input.shape[at];
  if (count !== undefined && (!Number.isInteger(count) || count < 0 || count > size)) {
    throw misfit(name, `needs k from 0 to ${size}, got ${count} for ${showShape(x.shape)}.`);
  }
  const lanes = input.dtype === "bool" || input.dtype === "uint8" ? input.to({ dtype: "int32" }) : input;
  const [values, indices] = named(name, () => dispatch(sortOp, [lanes], { dim: at, descending, count: count ?? size }));
  const shape = x.ndim === 0 && count === undefined ? [] : values.shape;
  return { values: reshape(values, shape).to({ dtype: x.dtype }), indices: reshape(indices, shape) };
}

/** A dim in order with its positions; stable: equal elements keep the lower position first; NaN counts as largest. */
export function sort(x: Tensor, options: { dim?: number; descending?: boolean } = {}): Ordered {
  checkOptions("sort", options, ["dim", "descending"]);
  return ordered("sort", x, options.dim ?? -1, options.descending ?? false);
}

/** The k largest (or smallest) of a dim in order, with their positions; ties by lower position. */
export function topk(x: Tensor, k: number, options: { dim?: number; largest?: boolean } = {}): Ordered {
  checkOptions("topk", options, ["dim", "largest"]);
  return ordered("topk", x, options.dim ?? -1, options.largest ?? true, k);
}
