/** Joining tensors along a dim, and splitting them. */

import { misfit, ShapeError, showShape } from "../core/errors.js";
import { checkCounts, checkOptions } from "../core/options.js";
import { contiguousStrides, listed, normalizeDim, sameShape } from "../core/shape.js";
import { dispatchOne } from "../tensor/dispatch.js";
import { registerOp } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkTensors, named } from "./define.js";
import { unsqueeze } from "./movement.js";
import { narrow, select } from "./region.js";

const catOp = registerOp({
  name: "cat",
  doc: "joins tensors along a dim",
  inputs: [{ name: "tensors", kind: "any", variadic: true }],
  attrs: { dim: { type: "integer", default: 0 } },
  promotion: "common",
  infer: (inputs, { dim }: { dim: number }) => {
    const [first] = inputs;
    if (first.shape.length === 0)
      throw new ShapeError("cat: needs at least 1 dim, got [].", { where: "cat", hint: "Use stack() for scalars." });
    const at = normalizeDim("cat", dim, first.shape.length);
    for (const { shape } of inputs) {
      if (shape.length !== first.shape.length || shape.some((n, i) => i !== at && n !== first.shape[i])) {
        throw misfit(
          "cat",
          `needs shapes equal but in dim ${at}, got ${showShape(first.shape)} and ${showShape(shape)}.`,
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

function checkList(op: string, tensors: readonly Tensor[]): void {
  if (Array.isArray(tensors) && tensors.length > 0) return;
  const got = Array.isArray(tensors) ? "an empty list" : typeof tensors;
  throw misfit(op, `needs a list of at least one tensor, got ${got}.`);
}

/** Joins tensors along a dim. */
export function cat(tensors: readonly Tensor[], options: { dim?: number } = {}): Tensor {
  checkOptions("cat", options, ["dim"]);
  checkList("cat", tensors);
  return dispatchOne(catOp, tensors, { dim: options.dim ?? 0 });
}

/** Joins tensors of one shape along a new dim. */
export function stack(tensors: readonly Tensor[], options: { dim?: number } = {}): Tensor {
  checkOptions("stack", options, ["dim"]);
  checkList("stack", tensors);
  checkTensors("stack", { ...tensors });
  const [first] = tensors;
  for (const other of tensors) {
    if (!sameShape(other.shape, first.shape)) {
      throw misfit("stack", `needs tensors of one shape, got ${showShape(first.shape)} and ${showShape(other.shape)}.`);
    }
  }
  const at = normalizeDim("stack", options.dim ?? 0, first.ndim + 1);
  return named("stack", () =>
    cat(
      tensors.map((x) => unsqueeze(x, at)),
      { dim: at },
    ),
  );
}

/** Pieces along a dim: of one size (the last may be smaller), or of the given sizes. */
export function split(x: Tensor, sizes: number | readonly number[], options: { dim?: number } = {}): Tensor[] {
  checkOptions("split", options, ["dim"]);
  checkTensors("split", { x });
  const at = normalizeDim("split", options.dim ?? 0, x.ndim);
  const total = x.shape[at] ?? 0;
  const even = typeof sizes === "number";
  if (!(even ? [sizes] : listed("split", sizes)).every((size) => Number.isInteger(size) && size >= (even ? 1 : 0))) {
    throw misfit("split", `needs sizes that are whole numbers${even ? " from 1 up" : ""}, got ${sizes}.`);
  }
  const list = even
    ? Array.from({ length: Math.max(1, Math.ceil(total / sizes)) }, (_, i) => Math.min(sizes, total - i * sizes))
    : sizes;
  if (list.reduce((a, b) => a + b, 0) !== total) {
    throw misfit(
      "split",
      `needs sizes that sum to ${total}, got ${showShape(list)} for dim ${at} of ${showShape(x.shape)}.`,
    );
  }
  let offset = 0;
  return list.map((size) => {
    const piece = narrow(x, at, offset, size);
    offset += size;
    return piece;
  });
}

/** At most `chunks` pieces along a dim, of one size but for the last, which may be smaller. */
export function chunk(x: Tensor, chunks: number, options: { dim?: number } = {}): Tensor[] {
  checkOptions("chunk", options, ["dim"]);
  checkTensors("chunk", { x });
  checkCounts("chunk", { chunks });
  const dim = normalizeDim("chunk", options.dim ?? 0, x.ndim);
  return named("chunk", () => split(x, Math.max(1, Math.ceil((x.shape[dim] ?? 1) / chunks)), { dim }));
}

/** Each position of a dim, which is dropped. */
export function unbind(x: Tensor, options: { dim?: number } = {}): Tensor[] {
  checkOptions("unbind", options, ["dim"]);
  checkTensors("unbind", { x });
  const at = normalizeDim("unbind", options.dim ?? 0, x.ndim);
  return named("unbind", () => Array.from({ length: x.shape[at] ?? 1 }, (_, i) => select(x, at, i)));
}
