/** Gradient clipping by norm (Pascanu, Mikolov, Bengio 2013), all on the device: nothing is read back. */

import { ConfigError, show } from "../core/errors.js";
import { mul } from "../core/expr.js";
import { add, div, minimum, sqrt, square, stack, sum } from "../ops/index.js";
import { noGrad } from "../tensor/autograd.js";
import { zeros } from "../tensor/create.js";
import { dispatchOne } from "../tensor/dispatch.js";
import { registerKernel, registerOp } from "../tensor/op.js";
import { tidy } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkList } from "./check.js";
import { defineUpdate } from "./update.js";

const sumOfSquaresOp = registerOp({
  name: "sumOfSquares",
  doc: "the sum of the squares of all elements of all given tensors",
  inputs: [{ name: "tensors", kind: "float", variadic: true }],
  infer: () => [{ shape: [], dtype: "float32" }],
  // A scope for each, so that only one tensor's squares live at a time.
  composition: (tensors) => sum(stack(tensors.map((x) => tidy(() => sum(square(x)))))),
});
registerKernel("sumOfSquares", "webgpu", (tensors, [out], _, kernels) => kernels.sumOfSquares!(tensors, out));

/** The Euclidean norm of all the given tensors together, as a 0-d tensor: the root of the sum of each one's squares. */
export function totalNorm(tensors: Iterable<Tensor>): Tensor {
  const all = [...tensors];
  return all.length === 0
    ? zeros([], { dtype: "float32" })
    : noGrad(() => tidy(() => sqrt(dispatchOne(sumOfSquaresOp, all))));
}

/** The norm of the `.grad`s of parameters; those without one count for nothing. */
export const gradNorm = (parameters: Iterable<Tensor>): Tensor =>
  totalNorm([...parameters].flatMap(({ grad }) => (grad ? [grad] : [])));

/** min(1, maxNorm / (norm + 1e-6)) as a 0-d tensor: give it to `optimizer.step(undefined, { scale })`. NaN stays NaN. */
export function clipCoefficient(norm: Tensor, maxNorm: number): Tensor {
  if (!(maxNorm > 0)) {
    throw new ConfigError(`clipCoefficient: needs a largest norm above 0, got ${show(maxNorm)}.`, {
      where: "clipCoefficient",
    });
  }
  return noGrad(() => tidy(() => minimum(div(maxNorm, add(norm, 1e-6)), 1)));
}

const scaleUpdate = defineUpdate({
  name: "scaleGradient",
  doc: "g * factor, in place",
  inputs: ["tensor", "factor"],
  scalars: [],
  next: ({ tensor, factor }) => ({ tensor: mul(tensor, factor) }),
});

/** Scales the `.grad`s of parameters in place so that their norm is at most `maxNorm`; returns the norm before. */
export function clipGradNorm_(parameters: Iterable<Tensor>, maxNorm: number): Tensor {
  checkList("clipGradNorm_", parameters);
  const own = [...parameters];
  const norm = gradNorm(own);
  noGrad(() =>
    tidy(() => {
      const factor = clipCoefficient(norm, maxNorm);
      for (const { grad } of own) if (grad) scaleUpdate([{ tensors: { tensor: grad, factor }, scalars: {} }]);
    }),
  );
  return norm;
}
