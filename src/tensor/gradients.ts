/** The arithmetic of gradients: undoing a broadcast, adding two, and keeping each in storage of its own. */

import { GradientError, kindOf, ShapeError, showShape } from "../core/errors.js";
import * as expr from "../core/expr.js";
import { type Shape, sameShape, sizeOf } from "../core/shape.js";
import { converted } from "./cast.js";
import type { TensorSpec } from "./op.js";
import { Tensor } from "./tensor.js";

const addProgram = expr.program(expr.add(expr.input(0), expr.input(1)));

/** Can a tensor of `shape` have been broadcast to `wide`? */
const reaches = (shape: Shape, wide: Shape): boolean =>
  shape.length <= wide.length && shape.every((n, i) => n === 1 || n === wide[wide.length - shape.length + i]);

/** What is kept of an input to check the gradient that comes back for it. */
export type GradInput = TensorSpec & Pick<Tensor, "backend">;

/** What the backward of an op gave for input `i`, fitted to it; anything but nothing or a tensor where it lies is refused. */
export function returned(op: string, i: number, grad: unknown, input: GradInput): Tensor | undefined {
  if (grad === undefined || grad === null) return undefined;
  if (grad instanceof Tensor && grad.backend === input.backend) return fitted(op, grad, input, `input ${i}`);
  const got = grad instanceof Tensor ? `one on ${grad.device}` : kindOf(grad);
  throw new GradientError(
    `${op}: needs a tensor on ${input.backend.device} from its backward for input ${i}, got ${got}.`,
    { where: op },
  );
}

/** A gradient in the dtype and shape of its input; a tensor of its own, though storage may be shared. */
export function fitted(op: string, grad: Tensor, { shape, dtype }: TensorSpec, input = "input"): Tensor {
  const summed = sumToShape(op, grad, shape, input);
  return summed.dtype !== dtype ? converted(summed, dtype) : summed === grad ? grad.alias() : summed;
}

/** Sums over the dims that broadcasting repeated. */
function sumToShape(op: string, grad: Tensor, shape: Shape, input: string): Tensor {
  if (sameShape(grad.shape, shape)) return grad;
  if (!reaches(shape, grad.shape)) {
    throw new ShapeError(
      `${op}: needs a gradient that sums to the shape of its ${input}, got ${showShape(grad.shape)} and ${showShape(shape)}.`,
      { where: op, shapes: [grad.shape, shape], hint: "See the backward of this op's definition." },
    );
  }
  let current = grad.dtype === "float32" ? grad : converted(grad, "float32"); // 16-bit floats have no sums
  const reduce = (outer: number, size: number, inner: number, next: Shape) => {
    const out = Tensor.empty(current.backend, next, current.dtype);
    current.backend.kernels.reduce("sum", current, out, { outer, size, inner });
    if (current !== grad) current.dispose();
    current = out;
  };
  const lead = grad.shape.length - shape.length;
  if (lead > 0) {
    const rest = grad.shape.slice(lead);
    reduce(1, sizeOf(grad.shape.slice(0, lead)), sizeOf(rest), rest);
  }
  for (let dim = shape.length - 1; dim >= 0; dim--) {
    const now = current.shape;
    if (shape[dim] !== 1 || now[dim] === 1) continue;
    reduce(
      sizeOf(now.slice(0, dim)),
      now[dim],
      sizeOf(now.slice(dim + 1)),
      now.map((n, i) => (i === dim ? 1 : n)),
    );
  }
  return current;
}

/** The sum of two gradients; takes over `sum`, in place when nobody else reads it. */
export function accumulate(sum: Tensor | undefined, more: Tensor): Tensor {
  if (!sum) return more.alias(); // also where a user wrote `x.grad = null`, as in Python
  const into = sum.storage.exclusive ? sum : Tensor.empty(sum.backend, sum.shape, sum.dtype);
  sum.backend.kernels.elementwise(addProgram, [sum, more], [into], []);
  if (into === sum) sum.storage.version++;
  else sum.dispose();
  return into;
}

/** A gradient in storage of its own, so that scaling one in place changes no other. Takes over `grad`. */
export function unshared(grad: Tensor): Tensor {
  if (grad.storage.exclusive) return grad;
  const copy = converted(grad, grad.dtype);
  grad.dispose();
  return copy;
}

export function disposeAll(grads: readonly (Tensor | undefined)[]): void {
  for (const grad of grads) grad?.dispose();
}
