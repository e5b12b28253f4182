/** Losses, with PyTorch's reductions. */

import { ConfigError, listOf, ShapeError, showShape } from "../core/errors.js";
import { sameShape, sizeOf } from "../core/shape.js";
import { dispatchOne } from "../tensor/dispatch.js";
import { registerOp, type TensorSpec } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { named } from "./define.js";
import { abs, add, div, exp, le, log, log1p, maximum, mul, ne, neg, square, sub, where } from "./elementwise.js";
import { gather } from "./indexing.js";
import { reshape } from "./movement.js";
import { checkOptions } from "./options.js";
import { mean, sum } from "./reduce.js";
import { logSoftmax } from "./softmax.js";

export type Reduction = "mean" | "sum" | "none";

export interface LossOptions {
  reduction?: Reduction;
}

const reduced = (loss: Tensor, reduction: Reduction = "mean"): Tensor =>
  reduction === "none" ? loss : reduction === "sum" ? sum(loss) : mean(loss);

const reductions = ["mean", "sum", "none"];

/** Checks the names of options, and the reduction. */
function checkLoss(
  op: string,
  options: LossOptions,
  names: readonly string[] = [],
  also: readonly string[] = [],
): void {
  checkOptions(op, options, ["reduction", ...names]);
  const { reduction = "mean" } = options;
  const known = [...reductions, ...also];
  if (known.includes(reduction)) return;
  throw new ConfigError(`${op}: needs a reduction ${listOf(known, "or")}, got ${JSON.stringify(reduction)}.`, {
    where: op,
  });
}

function checkSame(op: string, a: Tensor, b: Tensor): void {
  if (!sameShape(a.shape, b.shape)) {
    throw new ShapeError(
      `${op}: needs input and target of one shape, got ${showShape(a.shape)} and ${showShape(b.shape)}.`,
      { where: op },
    );
  }
}

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
  autocast: "float32",
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
  const { reduction = "mean", ignoreIndex = -100, labelSmoothing = 0 } = options;
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
    const counts = ne(labels, ignoreIndex);
    if (labelSmoothing !== 0) {
      const even = where(counts, neg(mean(logSoftmax(logits), { dim: -1 })), 0);
      losses = add(mul(losses, 1 - labelSmoothing), mul(even, labelSmoothing));
    }
    if (reduction === "none") return losses;
    const total = sum(losses);
    return reduction === "sum" ? total : div(total, sum(counts.to({ dtype: "float32" })));
  });
}

/** Mean of (input - target)^2. */
export function mseLoss(input: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  checkLoss("mseLoss", options);
  checkSame("mseLoss", input, target);
  return named("mseLoss", () => reduced(square(sub(input, target)), options.reduction));
}

/** Mean of |input - target|. */
export function l1Loss(input: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  checkLoss("l1Loss", options);
  checkSame("l1Loss", input, target);
  return named("l1Loss", () => reduced(abs(sub(input, target)), options.reduction));
}

/** Quadratic below `delta`, linear above (Huber 1964). */
export function huberLoss(input: Tensor, target: Tensor, options: LossOptions & { delta?: number } = {}): Tensor {
  checkLoss("huberLoss", options, ["delta"]);
  const { delta = 1, reduction } = options;
  checkSame("huberLoss", input, target);
  return named("huberLoss", () => {
    const difference = sub(input, target);
    const size = abs(difference);
    const near = mul(square(difference), 0.5);
    return reduced(where(le(size, delta), near, mul(sub(size, 0.5 * delta), delta)), reduction);
  });
}

/** Binary cross-entropy of logits and targets from 0 to 1, without overflow. */
export function binaryCrossEntropyWithLogits(logits: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  checkLoss("binaryCrossEntropyWithLogits", options);
  checkSame("binaryCrossEntropyWithLogits", logits, target);
  return named("binaryCrossEntropyWithLogits", () => {
    const linear = sub(maximum(logits, 0), mul(logits, target));
    return reduced(add(linear, log1p(exp(neg(abs(logits))))), options.reduction);
  });
}

/** Divergence of target probabilities from log-probabilities: target * (log target - input); `batchmean` divides by the first size. */
export function klDiv(input: Tensor, target: Tensor, options: { reduction?: Reduction | "batchmean" } = {}): Tensor {
  checkLoss("klDiv", options as LossOptions, [], ["batchmean"]);
  const { reduction = "mean" } = options;
  checkSame("klDiv", input, target);
  return named("klDiv", () => {
    const safe = where(ne(target, 0), target, 1);
    const pointwise = mul(target, sub(log(safe), input));
    return reduction === "batchmean" ? div(sum(pointwise), input.shape[0]) : reduced(pointwise, reduction);
  });
}

/** Negative log-likelihood of log-probabilities [N, C] and labels [N]. */
export function nllLoss(
  logProbabilities: Tensor,
  labels: Tensor,
  options: LossOptions & { ignoreIndex?: number } = {},
): Tensor {
  checkLoss("nllLoss", options, ["ignoreIndex"]);
  const { reduction = "mean", ignoreIndex = -100 } = options;
  if (logProbabilities.ndim !== 2 || labels.ndim !== 1 || sizeOf(labels.shape) !== logProbabilities.shape[0]) {
    throw new ShapeError(
      `nllLoss: needs log-probabilities [N, C] and labels [N], got ${showShape(logProbabilities.shape)} and ${showShape(labels.shape)}.`,
      { where: "nllLoss" },
    );
  }
  return named("nllLoss", () => {
    const counts = ne(labels, ignoreIndex);
    const safe = where(counts, labels, 0);
    const picked = reshape(gather(logProbabilities, 1, reshape(safe, [-1, 1])), [-1]);
    const losses = where(counts, neg(picked), 0);
    if (reduction === "none") return losses;
    return reduction === "sum" ? sum(losses) : div(sum(losses), sum(counts.to({ dtype: "float32" })));
  });
}
