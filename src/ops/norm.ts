/** Normalisations over the last dims. Layer norm: Ba, Kiros, Hinton 2016. RMS norm: Zhang and Sennrich 2019. */

import { listOf, misfit, showShape } from "../core/errors.js";
import { checkCounts, checkOptions } from "../core/options.js";
import { type Shape, sameShape, sizeOf } from "../core/shape.js";
import { onesLike } from "../tensor/create.js";
import { dispatch, dispatchOne } from "../tensor/dispatch.js";
import { registerOp, type TensorSpec } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkTensors, named, withArithmetic } from "./define.js";
import { add, mul } from "./elementwise.js";
import { reshape } from "./movement.js";

const optional = (name: string) => ({ name, kind: "float", optional: true, stored: "widened" }) as const;

/** Rows of the input; checks that weight and bias have the shape of its last dims (the last one where there is none). */
function rowsOf(op: string, x: Shape, weight?: Shape, bias?: Shape): { rows: number; size: number; lead: Shape } {
  const dims = weight?.length ?? 1;
  const fits = x.length >= dims && dims > 0 && (!weight || sameShape(x.slice(-dims), weight));
  if (!fits || (bias && !(weight && sameShape(bias, weight)))) {
    const got = [x, weight, bias].filter((shape) => shape !== undefined).map(showShape);
    throw misfit(
      op,
      `needs x of at least 1 dim, and weight and bias of the shape of its last dims, got ${listOf(got)}.`,
    );
  }
  const lead = x.slice(0, x.length - dims);
  return { rows: sizeOf(lead), size: sizeOf(x.slice(x.length - dims)), lead };
}

const layerNormBackwardOp = registerOp({
  name: "layerNormBackward",
  doc: "gradients of layerNorm",
  inputs: ["grad", "x", optional("weight"), "mean", "rstd"],
  infer: ([, x, weight]) => [x, ...(weight ? [weight, weight] : [])],
  run: (kernels, [grad, x, weight, mean, rstd], [dX, dWeight, dBias]) => {
    const { rows, size } = rowsOf("layerNorm", x.shape, weight?.shape);
    kernels.layerNormBackward(grad, x, weight, mean, rstd, dX, dWeight, dBias, { rows, size });
  },
});

const layerNormOp = registerOp({
  name: "layerNorm",
  doc: "rows with mean 0 and variance 1, then times weight plus bias",
  inputs: [{ name: "x", kind: "float" }, optional("weight"), optional("bias")],
  attrs: { eps: { type: "number", default: 1e-5 } },
  infer: ([x, weight, bias]): TensorSpec[] => {
    const row = { shape: rowsOf("layerNorm", x.shape, weight?.shape, bias?.shape).lead, dtype: "float32" as const };
    return [x, row, row];
  },
  run: (kernels, [x, weight, bias], [out, mean, rstd], { eps }: { eps: number }) => {
    const { rows, size } = rowsOf("layerNorm", x.shape, weight?.shape);
    kernels.layerNorm(x, weight, bias, out, mean, rstd, { rows, size, eps });
  },
  saves: { inputs: [0, 1], outputs: [1, 2] },
  backward: ({ grad, inputs: [x, weight], outputs: [, mean, rstd] }) => {
    const [dX, dWeight, dBias] = dispatch(layerNormBackwardOp, [grad, x, weight, mean, rstd]);
    return [dX, dWeight, dBias];
  },
});

/** Layer normalisation over the dims of `weight` (the last dim without one): ((x - mean) / sqrt(var + eps)) * weight + bias. */
export function layerNorm(x: Tensor, weight?: Tensor, bias?: Tensor, options: { eps?: number } = {}): Tensor {
  if (bias) checkTensors("layerNorm", { bias });
  const scale = bias && !weight ? onesLike(bias) : weight;
  return dispatchOne(layerNormOp, [x, scale, bias], options);
}

const rmsNormBackwardOp = registerOp({
  name: "rmsNormBackward",
  doc: "gradients of rmsNorm",
  inputs: ["grad", "x", optional("weight"), "rstd"],
  infer: ([, x, weight]) => [x, ...(weight ? [weight] : [])],
  run: (kernels, [grad, x, weight, rstd], [dX, dWeight]) => {
    const { rows, size } = rowsOf("rmsNorm", x.shape, weight?.shape);
    kernels.rmsNormBackward(grad, x, weight, rstd, dX, dWeight, { rows, size });
  },
});

const rmsNormOp = registerOp({
  name: "rmsNorm",
  doc: "rows with mean square 1, then times weight",
  inputs: [{ name: "x", kind: "float" }, optional("weight")],
  attrs: { eps: { type: "number", default: 1e-6 } },
  infer: ([x, weight]): TensorSpec[] => [
    x,
    { shape: rowsOf("rmsNorm", x.shape, weight?.shape).lead, dtype: "float32" },
  ],
  run: (kernels, [x, weight], [out, rstd], { eps }: { eps: number }) => {
    const { rows, size } = rowsOf("rmsNorm", x.shape, weight?.shape);
    kernels.rmsNorm(x, weight, out, rstd, { rows, size, eps });
  },
  saves: { inputs: [0, 1], outputs: [1] },
  backward: ({ grad, inputs: [x, weight], outputs: [, rstd] }) => {
    const [dX, dWeight] = dispatch(rmsNormBackwardOp, [grad, x, weight, rstd]);
    return [dX, dWeight];
  },
});

/** Root-mean-square normalisation over the dims of `weight` (the last dim without one): x / sqrt(mean(x^2) + eps) * weight. */
export const rmsNorm = (x: Tensor, weight?: Tensor, options: { eps?: number } = {}): Tensor =>
  dispatchOne(rmsNormOp, [x, weight], options);

/** Group normalisation of [N, C, ...] (Wu and He 2018): each of `numGroups` groups of channels is normalised together. */
export function groupNorm(
  x: Tensor,
  numGroups: number,
  weight?: Tensor,
  bias?: Tensor,
  options: { eps?: number } = {},
): Tensor {
  checkOptions("groupNorm", options, ["eps"]);
  checkTensors("groupNorm", { x, ...(weight && { weight }), ...(bias && { bias }) });
  checkCounts("groupNorm", { numGroups });
  const [batch, channels] = x.shape;
  if (x.ndim < 2 || channels % numGroups !== 0) {
    throw misfit("groupNorm", `needs x [N, C, ...] with C divisible by ${numGroups}, got ${showShape(x.shape)}.`);
  }
  for (const each of [weight, bias]) {
    if (!each || sameShape(each.shape, [channels])) continue;
    throw misfit("groupNorm", `needs weight and bias [${channels}], got ${showShape(each.shape)}.`);
  }
  const perGroup = sizeOf(x.shape.slice(1)) / numGroups;
  return named("groupNorm", () => {
    const grouped = layerNorm(reshape(x, [batch * numGroups, perGroup]), undefined, undefined, options);
    const column = [channels, ...x.shape.slice(2).map(() => 1)];
    const scaled = weight
      ? mul(reshape(grouped, x.shape), reshape(withArithmetic(weight), column))
      : reshape(grouped, x.shape);
    return bias ? add(scaled, reshape(withArithmetic(bias), column)) : scaled;
  });
}
