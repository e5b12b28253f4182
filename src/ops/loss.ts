/** Losses of numbers and distributions, with PyTorch's reductions; those of classes and logits are in cross-entropy.ts. */

import { misfit, showShape } from "../core/errors.js";
import { sameShape, sizeOf } from "../core/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkTensors, named } from "./define.js";
import { abs, add, div, exp, le, log, log1p, maximum, mul, ne, neg, square, sub, where } from "./elementwise.js";
import { gather } from "./indexing.js";
import { reshape } from "./movement.js";
import { sum } from "./reduce.js";
import { checkLoss, counted, type LossOptions, type Reduction, reduced, reducedOver } from "./reduction.js";

function checkSame(op: string, input: Tensor, target: Tensor): void {
  checkTensors(op, { input, target });
  if (!sameShape(input.shape, target.shape)) {
    throw misfit(
      op,
      `needs input and target of one shape, got ${showShape(input.shape)} and ${showShape(target.shape)}.`,
    );
  }
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
  checkTensors("nllLoss", { logProbabilities, labels });
  const { reduction, ignoreIndex = -100 } = options;
  if (logProbabilities.ndim !== 2 || labels.ndim !== 1 || sizeOf(labels.shape) !== logProbabilities.shape[0]) {
    throw misfit(
      "nllLoss",
      `needs log-probabilities [N, C] and labels [N], got ${showShape(logProbabilities.shape)} and ${showShape(labels.shape)}.`,
    );
  }
  return named("nllLoss", () => {
    const counts = counted(labels, ignoreIndex);
    const safe = where(counts, labels, 0);
    const picked = reshape(gather(logProbabilities, 1, reshape(safe, [-1, 1])), [-1]);
    return reducedOver(where(counts, neg(picked), 0), counts, reduction);
  });
}
