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

/** A loss of each element, then reduced. */
const pointwise =
  <Options extends LossOptions>(
    op: string,
    loss: (input: Tensor, target: Tensor, options: Options) => Tensor,
    names: readonly string[] = [],
  ) =>
  (input: Tensor, target: Tensor, options: Options = {} as Options): Tensor => {
    checkLoss(op, options, names);
    checkSame(op, input, target);
    return named(op, () => reduced(loss(input, target, options), options.reduction));
  };

/** Mean of (input - target)^2. */
export const mseLoss = pointwise("mseLoss", (input, target) => square(sub(input, target)));

/** Mean of |input - target|. */
export const l1Loss = pointwise("l1Loss", (input, target) => abs(sub(input, target)));

/** Quadratic below `delta`, linear above (Huber 1964). */
export const huberLoss = pointwise<LossOptions & { delta?: number }>(
  "huberLoss",
  (input, target, { delta = 1 }) => {
    const difference = sub(input, target);
    const size = abs(difference);
    const isNear = le(size, delta);
    // Squares of what is far are left out: beside an infinity their gradient of 0 would be NaN.
    const near = mul(square(where(isNear, difference, 0)), 0.5);
    return where(isNear, near, mul(sub(size, 0.5 * delta), delta));
  },
  ["delta"],
);

/** Binary cross-entropy of logits and targets from 0 to 1, without overflow. */
export const binaryCrossEntropyWithLogits = pointwise("binaryCrossEntropyWithLogits", (logits, target) =>
  add(sub(maximum(logits, 0), mul(logits, target)), log1p(exp(neg(abs(logits))))),
);

/** Divergence of target probabilities from log-probabilities: target * (log target - input); `batchmean` divides by the first size. */
export function klDiv(input: Tensor, target: Tensor, options: { reduction?: Reduction | "batchmean" } = {}): Tensor {
  checkLoss("klDiv", options as LossOptions, [], ["batchmean"]);
  const { reduction = "mean" } = options;
  checkSame("klDiv", input, target);
  return named("klDiv", () => {
    const safe = where(ne(target, 0), target, 1);
    const losses = mul(target, sub(log(safe), input));
    return reduction === "batchmean" ? div(sum(losses), input.shape[0] ?? 1) : reduced(losses, reduction);
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
