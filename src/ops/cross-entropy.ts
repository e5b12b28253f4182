/** Cross-entropy of classes: of logits, and of a linear map whose logits need never be in memory all at once. */

import { ShapeError, showShape } from "../core/errors.js";
import { dispatch, dispatchOne } from "../tensor/dispatch.js";
import { castTo } from "../tensor/elementwise.js";
import { type BackwardContext, registerOp, type TensorSpec } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkTensors, factor, named } from "./define.js";
import { add, mul, neg, sub, where } from "./elementwise.js";
import { embedding } from "./indexing.js";
import { linear } from "./matmul.js";
import { mean, sum } from "./reduce.js";
import { checkLoss, counted, type LossOptions, reducedOver } from "./reduction.js";
import { logSoftmax } from "./softmax.js";

const rowBackwardOp = registerOp({
  name: "crossEntropyRowsBackward",
  doc: "gradient of crossEntropyRows",
  inputs: ["logits", { name: "labels", kind: "int" }, "lse", "grad"],
  attrs: { ignoreIndex: { type: "integer" } },
  infer: ([logits]) => [logits],
  run: (kernels, [logits, labels, lse, grad], [dLogits], { ignoreIndex }: { ignoreIndex: number }) =>
    kernels.crossEntropyBackward(logits, labels, lse, grad, dLogits, {
      rows: labels.size,
      size: logits.shape[1],
      ignoreIndex,
    }),
});

const rowsOp = registerOp({
  name: "crossEntropyRows",
  doc: "-log softmax(logits)[label] for each row; 0 where the label is ignored",
  inputs: [
    { name: "logits", kind: "float" },
    { name: "labels", kind: "int" },
  ],
  attrs: { ignoreIndex: { type: "integer", default: -100 } },
  infer: ([, labels]): TensorSpec[] => [
    { shape: labels.shape, dtype: "float32" },
    { shape: labels.shape, dtype: "float32" },
  ],
  run: (kernels, [logits, labels], [losses, lse], { ignoreIndex }: { ignoreIndex: number }) =>
    kernels.crossEntropy(logits, labels, losses, lse, { rows: labels.size, size: logits.shape[1], ignoreIndex }),
  saves: { inputs: [0, 1], outputs: [1] },
  backward: ({ grad, inputs: [logits, labels], outputs: [, lse], attrs }) => [
    dispatchOne(rowBackwardOp, [logits, labels, lse, grad], attrs),
    undefined,
  ],
});

/** Options of the losses of classes. */
export interface CrossEntropyOptions extends LossOptions {
  /** Rows with this label count for nothing; -100 unless given. */
  ignoreIndex?: number;
  /** This share of the weight is spread over all classes (Szegedy et al. 2016). */
  labelSmoothing?: number;
}

/**
 * Cross-entropy of logits [N, C] and labels [N] (int32). `mean` divides the sum by the number of labels that count.
 */
export function crossEntropy(logits: Tensor, labels: Tensor, options: CrossEntropyOptions = {}): Tensor {
  checkLoss("crossEntropy", options, ["ignoreIndex", "labelSmoothing"]);
  checkTensors("crossEntropy", { logits, labels });
  const { reduction, ignoreIndex = -100, labelSmoothing = 0 } = options;
  if (logits.ndim !== 2 || labels.ndim !== 1 || logits.shape[0] !== labels.shape[0]) {
    throw new ShapeError(
      `crossEntropy: needs logits [N, C] and labels [N], got ${showShape(logits.shape)} and ${showShape(labels.shape)}.`,
      {
        where: "crossEntropy",
        hint: "Flatten leading dims with reshape([-1, C]).",
      },
    );
  }
  return named("crossEntropy", () => {
    let losses = dispatchOne(rowsOp, [logits, labels], { ignoreIndex });
    const counts = counted(labels, ignoreIndex);
    if (labelSmoothing !== 0) {
      const even = where(counts, neg(mean(logSoftmax(logits), { dim: -1 })), 0);
      losses = add(mul(losses, 1 - labelSmoothing), mul(even, labelSmoothing));
    }
    return reducedOver(losses, counts, reduction);
  });
}

/** So many logits (32 MiB) stay from the forward pass to the backward pass: to make them again costs a third of the head. */
const KEPT = 2 ** 23;

interface LinearAttrs {
  [name: string]: number | boolean;
  ignoreIndex: number;
}
interface LinearBackwardAttrs extends LinearAttrs {
  /** Which gradients are wanted. */
  dX: boolean;
  dWeight: boolean;
}

const linearInputs = [factor("x"), factor("weight"), { name: "labels", kind: "int" }] as const;
const sizes = ([x, weight]: readonly TensorSpec[]) => ({
  rows: x.shape[0],
  size: weight.shape[0],
  width: weight.shape[1],
});

const linearRowsBackwardOp = registerOp<LinearBackwardAttrs>({
  name: "linearCrossEntropyRowsBackward",
  doc: "gradients of linearCrossEntropyRows",
  inputs: [...linearInputs, "lse", "grad"],
  attrs: { ignoreIndex: { type: "integer" }, dX: { type: "boolean" }, dWeight: { type: "boolean" } },
  infer: ([x, weight], { dX, dWeight }) =>
    [...(dX ? [x] : []), ...(dWeight ? [weight] : [])].map(({ shape }) => ({ shape, dtype: "float32" })),
  run: (kernels, [x, weight, labels, lse, grad], outputs, { ignoreIndex, dX, dWeight }) => {
    const out = [...outputs];
    const dx = dX ? out.shift() : undefined;
    const dw = dWeight ? out.shift() : undefined;
    const shape = { ...sizes([x, weight]), ignoreIndex };
    kernels.linearCrossEntropyBackward(x, weight, labels, lse, grad, dx, dw, shape);
  },
});

const linearRowsOp = registerOp<LinearAttrs>({
  name: "linearCrossEntropyRows",
  doc: "crossEntropyRows of x W^T, whose logits are made by blocks",
  inputs: linearInputs,
  attrs: { ignoreIndex: { type: "integer", default: -100 } },
  infer: ([, , labels]): TensorSpec[] => [
    { shape: labels.shape, dtype: "float32" },
    { shape: labels.shape, dtype: "float32" },
  ],
  run: (kernels, [x, weight, labels], [losses, lse], { ignoreIndex }) =>
    kernels.linearCrossEntropy(x, weight, labels, losses, lse, { ...sizes([x, weight]), ignoreIndex }),
  composition: ([x, weight, labels], attrs) => [...dispatch(rowsOp, [linear(x, weight), labels], attrs)],
  saves: { inputs: [0, 1, 2], outputs: [1] },
  backward: ({ grad, inputs: [x, weight, labels], outputs: [, lse], attrs, needs }: BackwardContext<LinearAttrs>) => {
    const [dX, dWeight] = [needs(0), needs(1)];
    const found = [...dispatch(linearRowsBackwardOp, [x, weight, labels, lse, grad], { ...attrs, dX, dWeight })];
    return [dX ? found.shift() : undefined, dWeight ? found.shift() : undefined, undefined];
  },
});

/**
 * crossEntropy(linear(x, weight), labels) for x [N, in], weight [out, in] and labels [N] (int32), without the logits
 * [N, out] in memory where they are many: they are made by blocks, and made again for the gradient. On `cpu` and
 * `reference` the bits are the same (with `labelSmoothing` they differ by rounding). As for `linear`, x and the weight
 * may be float16 or bfloat16: sums and results are float32.
 */
export function linearCrossEntropy(
  x: Tensor,
  weight: Tensor,
  labels: Tensor,
  options: CrossEntropyOptions = {},
): Tensor {
  checkLoss("linearCrossEntropy", options, ["ignoreIndex", "labelSmoothing"]);
  checkTensors("linearCrossEntropy", { x, weight, labels });
  const fits =
    x.ndim === 2 &&
    weight.ndim === 2 &&
    labels.ndim === 1 &&
    x.shape[0] === labels.shape[0] &&
    x.shape[1] === weight.shape[1];
  if (!fits) {
    throw new ShapeError(
      `linearCrossEntropy: needs x [N, in], weight [out, in] and labels [N], got ${showShape(x.shape)}, ${showShape(weight.shape)} and ${showShape(labels.shape)}.`,
      {
        where: "linearCrossEntropy",
        shapes: [x.shape, weight.shape, labels.shape],
        hint: "Flatten leading dims with reshape([-1, in]).",
      },
    );
  }
  const { reduction, ignoreIndex = -100, labelSmoothing = 0 } = options;
  return named("linearCrossEntropy", () => {
    let losses =
      x.shape[0] * weight.shape[0] <= KEPT
        ? dispatchOne(rowsOp, [linear(x, weight), labels], { ignoreIndex })
        : dispatchOne(linearRowsOp, [x, weight, labels], { ignoreIndex });
    const counts = counted(labels, ignoreIndex);
    if (labelSmoothing !== 0) {
      // The mean of a row's logits is x times the mean of the weight's rows.
      const [states, rows] = [castTo(x, "float32"), castTo(weight, "float32")];
      const own = embedding(where(counts, labels, 0), rows);
      const above = sum(mul(states, sub(own, mean(rows, { dim: 0 }))), { dim: 1 });
      losses = add(losses, mul(where(counts, above, 0), labelSmoothing));
    }
    return reducedOver(losses, counts, reduction);
  });
}
