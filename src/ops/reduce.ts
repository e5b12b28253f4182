/** Reductions. All go through one op on adjacent dims; other dims are brought together first. */

import type { ReduceKind } from "../backend/kernels.js";
import { isFloat } from "../core/dtype.js";
import { misfit, showShape } from "../core/errors.js";
import { checkOptions } from "../core/options.js";
import { normalizeDim, normalizeDims, type Shape, sameShape, sizeOf, splitAt } from "../core/shape.js";
import { dispatchOne } from "../tensor/dispatch.js";
import { registerOp } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkTensors, named } from "./define.js";
import { add, div, eq, exp, log, mul, ne, sqrt, square, sub, where } from "./elementwise.js";
import { expand, permute, reshape } from "./movement.js";
import { flip } from "./region.js";

/** Which dims to reduce (all unless given) and whether they stay as size 1. */
export interface ReduceOptions {
  dim?: number | readonly number[];
  keepdim?: boolean;
}

type RangeAttrs = { kind: ReduceKind; from: number; to: number };

/** Dims `from` to `to` - 1 as one. */
const range = (shape: Shape, from: number, to: number) => ({
  outer: sizeOf(shape.slice(0, from)),
  size: sizeOf(shape.slice(from, to)),
  inner: sizeOf(shape.slice(to)),
});

/** A shape whose dims `from` to `to` - 1 are 1. */
const kept = (shape: Shape, from: number, to: number): Shape => shape.map((n, i) => (i >= from && i < to ? 1 : n));

/** One whose dims `from` to `to` - 1 are gone. */
const reducedBy = (shape: Shape, from: number, to: number): Shape => [...shape.slice(0, from), ...shape.slice(to)];

/** Sum of all products but one, for `prod`: safe where elements are 0. */
function prodGradient(grad: Tensor, x: Tensor, from: number, to: number): Tensor {
  const zero = eq(x, 0);
  const filled = where(zero, 1, x);
  const product = reshape(dispatchOne(reduceOp, [filled], { kind: "prod", from, to }), grad.shape);
  const zeros = reshape(dispatchOne(sumOp, [zero.to({ dtype: "float32" })], { from, to }), grad.shape);
  const others = where(zero, where(eq(zeros, 1), product, 0), where(eq(zeros, 0), div(product, filled), 0));
  return mul(grad, others);
}

const reduceOp = registerOp({
  name: "reduce",
  doc: "product, largest or smallest over adjacent dims",
  inputs: ["x"],
  attrs: {
    kind: { type: "string", values: ["prod", "max", "min"] },
    from: { type: "integer" },
    to: { type: "integer" },
  },
  infer: ([x], { from, to }: RangeAttrs) => [{ shape: reducedBy(x.shape, from, to), dtype: x.dtype }],
  run: (kernels, [x], [out], { kind, from, to }) => kernels.reduce(kind, x, out, range(x.shape, from, to)),
  saves: { inputs: [0], outputs: [0] },
  backward: ({ grad, inputs: [x], outputs: [out], attrs: { kind, from, to } }) => {
    const shape = kept(x.shape, from, to);
    const wide = reshape(grad, shape);
    if (kind === "prod") return [prodGradient(wide, x, from, to)];
    // Equal extremes share the gradient evenly, as in PyTorch's amax.
    const hit = eq(x, reshape(out, shape)).to({ dtype: "float32" });
    const count = reshape(dispatchOne(sumOp, [hit], { from, to }), shape);
    return [mul(hit, div(wide, count))];
  },
});

const sumOp = registerOp({
  name: "sum",
  doc: "the sum over adjacent dims",
  inputs: ["x"],
  attrs: { from: { type: "integer" }, to: { type: "integer" } },
  infer: ([x], { from, to }: { from: number; to: number }) => [{ shape: reducedBy(x.shape, from, to), dtype: x.dtype }],
  run: (kernels, [x], [out], { from, to }) => kernels.reduce("sum", x, out, range(x.shape, from, to)),
  backward: ({ grad, shapes: [shape], attrs: { from, to } }) => [expand(reshape(grad, kept(shape, from, to)), shape)],
});

/** Small integers and truth values are reduced as int32, whose kernels there are. */
const widened = (x: Tensor): Tensor => (x.dtype === "bool" || x.dtype === "uint8" ? x.to({ dtype: "int32" }) : x);

function reduceOver(name: string, kind: ReduceKind, x: Tensor, options: ReduceOptions): Tensor {
  checkOptions(name, options, ["dim", "keepdim"]);
  checkTensors(name, { x });
  const { dim, keepdim = false } = options;
  const dims = normalizeDims(name, dim, x.ndim);
  const input = widened(x);
  const rest = x.shape.map((_, i) => i).filter((i) => !dims.includes(i));
  const target = keepdim ? x.shape.map((n, i) => (dims.includes(i) ? 1 : n)) : rest.map((i) => x.shape[i]);
  if (dims.length === 0) return reshape(input, x.shape);
  if ((kind === "max" || kind === "min") && sizeOf(dims.map((d) => x.shape[d])) === 0) {
    throw misfit(name, `needs at least one element to reduce, got shape ${showShape(x.shape)}.`);
  }
  const adjacent = dims[dims.length - 1] - dims[0] === dims.length - 1;
  const arranged = adjacent ? input : permute(input, [...rest, ...dims]);
  const from = adjacent ? dims[0] : rest.length;
  const op = kind === "sum" ? sumOp : reduceOp;
  const attrs = { from, to: from + dims.length };
  const result = named(name, () => dispatchOne(op, [arranged], kind === "sum" ? attrs : { kind, ...attrs }));
  return sameShape(result.shape, target) ? result : reshape(result, target);
}

/** The sum over dims (all unless given). Integers give int32. */
export const sum = (x: Tensor, options: ReduceOptions = {}): Tensor => reduceOver("sum", "sum", x, options);

/** The product over dims (all unless given). */
export const prod = (x: Tensor, options: ReduceOptions = {}): Tensor => reduceOver("prod", "prod", x, options);

/** The largest element over dims, in the dtype of x; equal ones share the gradient. NaN wins. */
export const amax = (x: Tensor, options: ReduceOptions = {}): Tensor =>
  reduceOver("amax", "max", x, options).to({ dtype: x.dtype });

/** The smallest element over dims, in the dtype of x; equal ones share the gradient. NaN wins. */
export const amin = (x: Tensor, options: ReduceOptions = {}): Tensor =>
  reduceOver("amin", "min", x, options).to({ dtype: x.dtype });

/** Elements that compare so with 0 are counted; integers make no mistake. */
const truth =
  (name: string, compare: typeof ne) =>
  (x: Tensor, options: ReduceOptions = {}): Tensor =>
    named(name, () => compare(reduceOver(name, "sum", compare(x, 0), options), 0));

/** Is any element over dims (all unless given) other than 0? As bool; of nothing, no. */
export const any = truth("any", ne);

/** Are all elements over dims (all unless given) other than 0? As bool; of nothing, yes. */
export const all = truth("all", eq);

const countOver = (x: Tensor, dim: ReduceOptions["dim"], name: string): number =>
  sizeOf(normalizeDims(name, dim, x.ndim).map((d) => x.shape[d]));

/** Integers are summed as float32: their own sums wrap around. */
function meanOver(name: string, given: Tensor, options: ReduceOptions): Tensor {
  checkTensors(name, { x: given });
  const x = isFloat(given.dtype) ? given : given.to({ dtype: "float32" });
  return div(reduceOver(name, "sum", x, options), countOver(x, options.dim, name));
}

/** The mean over dims (all unless given): the sum divided by the count; a float. */
export const mean = (x: Tensor, options: ReduceOptions = {}): Tensor => meanOver("mean", x, options);

function varianceOver(name: string, x: Tensor, given: ReduceOptions & { correction?: number }): Tensor {
  checkOptions(name, given, ["dim", "keepdim", "correction"]);
  const { correction = 1, ...options } = given;
  const center = meanOver(name, x, { dim: options.dim, keepdim: true });
  return div(sum(square(sub(x, center)), options), Math.max(0, countOver(x, options.dim, name) - correction));
}

/** The variance over dims; the divisor is count - correction. */
const variance = (x: Tensor, options: ReduceOptions & { correction?: number } = {}): Tensor =>
  varianceOver("var", x, options);

export { variance as var };

/** The standard deviation over dims; the divisor is count - correction. The gradient of 0 is 0, as in PyTorch. */
export function std(x: Tensor, options: ReduceOptions & { correction?: number } = {}): Tensor {
  const squared = varianceOver("std", x, options);
  const some = ne(squared, 0);
  return where(some, sqrt(where(some, squared, 1)), 0);
}

/** log(sum(exp(x))) over dims, without overflow. */
export function logsumexp(x: Tensor, options: ReduceOptions = {}): Tensor {
  checkOptions("logsumexp", options, ["dim", "keepdim"]);
  checkTensors("logsumexp", { x });
  return named("logsumexp", () => {
    if (countOver(x, options.dim, "logsumexp") === 0) return log(sum(exp(x), options)); // of nothing: there is no largest
    const largest = amax(x.detach(), { dim: options.dim, keepdim: true });
    const shift = where(eq(sub(largest, largest), 0), largest, 0);
    const total = log(sum(exp(sub(x, shift)), options));
    return add(total, reshape(shift, total.shape));
  });
}

function argReduce(name: "argmax" | "argmin", doc: string) {
  const op = registerOp({
    name,
    doc,
    inputs: ["x"],
    attrs: { dim: { type: "integer" } },
    infer: ([x], { dim }: { dim: number }) => {
      if (x.shape[dim] === 0)
        throw misfit(name, `needs at least one element in dim ${dim}, got shape ${showShape(x.shape)}.`);
      return [{ shape: x.shape.filter((_, i) => i !== dim), dtype: "int32" as const }];
    },
    run: (kernels, [x], [out], { dim }) => kernels.argReduce(name, x, out, splitAt(x.shape, dim)),
  });
  return (x: Tensor, options: { dim?: number; keepdim?: boolean } = {}): Tensor => {
    checkOptions(name, options, ["dim", "keepdim"]);
    checkTensors(name, { x });
    const { dim, keepdim = false } = options;
    const input = widened(x);
    const at = dim === undefined ? 0 : normalizeDim(name, dim, x.ndim);
    const whole = dim === undefined || x.ndim === 0;
    const result = dispatchOne(op, [whole ? reshape(input, [x.size]) : input], { dim: at });
    const [from, to] = whole ? [0, x.ndim] : [at, at + 1];
    return keepdim ? reshape(result, kept(x.shape, from, to)) : result;
  };
}

/** int32 position of the first largest element of a dim (of the flattened tensor unless given). NaN wins. */
export const argmax = argReduce("argmax", "position of the first largest element of a dim");

/** int32 position of the first smallest element of a dim (of the flattened tensor unless given). NaN wins. */
export const argmin = argReduce("argmin", "position of the first smallest element of a dim");

const cumsumOp = registerOp({
  name: "cumsum",
  doc: "the running total along a dim",
  inputs: ["x"],
  attrs: { dim: { type: "integer" } },
  infer: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
  run: (kernels, [x], [out], { dim }: { dim: number }) => kernels.cumsum(x, out, splitAt(x.shape, dim)),
  backward: ({ grad, attrs: { dim } }) => [flip(cumsum(flip(grad, [dim]), { dim }), [dim])],
});

/** The running total along a dim. */
export function cumsum(x: Tensor, options: { dim: number }): Tensor {
  checkOptions("cumsum", options, ["dim"]);
  checkTensors("cumsum", { x });
  return dispatchOne(cumsumOp, [widened(x)], { dim: normalizeDim("cumsum", options.dim, x.ndim) });
}
