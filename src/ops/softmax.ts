/** Softmax and its logarithm along a dim; kernels work on the last one. */

import { checkOptions } from "../core/options.js";
import { normalizeDim, type Shape, sizeOf } from "../core/shape.js";
import { dispatchOne } from "../tensor/dispatch.js";
import { registerOp } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkTensors } from "./define.js";
import { reshape, transpose } from "./movement.js";

const rows = (shape: Shape, log: boolean) => ({ rows: sizeOf(shape.slice(0, -1)), size: shape[shape.length - 1], log });

const define = (name: "softmax" | "logSoftmax", doc: string) => {
  const log = name === "logSoftmax";
  const backwardOp = registerOp({
    name: `${name}Backward`,
    doc: `gradient of ${name} from its output`,
    inputs: ["output", "grad"],
    infer: ([output]) => [output],
    run: (kernels, [output, grad], [dInput]) => kernels.softmaxBackward(output, grad, dInput, rows(output.shape, log)),
  });
  return registerOp({
    name,
    doc,
    inputs: [{ name: "x", kind: "float" }],
    promotion: "float",
    infer: ([x]) => [{ shape: x.shape, dtype: "float32" as const }],
    run: (kernels, [x], [out]) => kernels.softmax(x, out, rows(x.shape, log)),
    saves: { outputs: [0] },
    backward: ({ grad, outputs: [out] }) => [dispatchOne(backwardOp, [out, grad])],
  });
};

const softmaxOp = define("softmax", "e^x over its sum, along the last dim");
const logSoftmaxOp = define("logSoftmax", "the logarithm of softmax, along the last dim");

function along(op: typeof softmaxOp, x: Tensor, options: { dim?: number }): Tensor {
  checkOptions(op.name, options, ["dim"]);
  checkTensors(op.name, { x });
  const at = normalizeDim(op.name, options.dim ?? -1, x.ndim);
  if (x.ndim === 0) return reshape(dispatchOne(op, [reshape(x, [1])]), []);
  if (at === x.ndim - 1) return dispatchOne(op, [x]);
  return transpose(dispatchOne(op, [transpose(x, at, -1)]), at, -1);
}

/** e^x divided by its sum along a dim (the last unless given). */
export const softmax = (x: Tensor, options: { dim?: number } = {}): Tensor => along(softmaxOp, x, options);

/** The logarithm of softmax along a dim (the last unless given). */
export const logSoftmax = (x: Tensor, options: { dim?: number } = {}): Tensor => along(logSoftmaxOp, x, options);
