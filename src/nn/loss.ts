/** Losses as modules: forward(input, target). The functions are ops: `crossEntropy`, `mseLoss`, … */

import {
  binaryCrossEntropyWithLogits,
  type CrossEntropyOptions,
  crossEntropy,
  huberLoss,
  klDiv,
  type LossOptions,
  l1Loss,
  mseLoss,
  nllLoss,
} from "../ops/index.js";
import { checkLoss } from "../ops/reduction.js";
import type { Tensor } from "../tensor/tensor.js";
import { Module } from "./module.js";

/** A loss with the options it was made with, and checked then. */
abstract class Loss<Options extends object> extends Module {
  constructor(readonly options: Options = {} as Options) {
    super();
    this.checkOptions(options);
  }

  protected abstract checkOptions(options: Options): void;
}

/** Cross-entropy of logits [N, C] and labels [N] (int32, -100 = ignored). */
export class CrossEntropyLoss extends Loss<CrossEntropyOptions> {
  protected override checkOptions(options: CrossEntropyOptions): void {
    checkLoss("CrossEntropyLoss", options, ["ignoreIndex", "labelSmoothing"]);
  }

  forward(logits: Tensor, labels: Tensor): Tensor {
    return crossEntropy(logits, labels, this.options);
  }
}

/** Negative log-likelihood of log-probabilities [N, C] and labels [N]. */
export class NLLLoss extends Loss<LossOptions & { ignoreIndex?: number }> {
  protected override checkOptions(options: LossOptions): void {
    checkLoss("NLLLoss", options, ["ignoreIndex"]);
  }

  forward(logProbabilities: Tensor, labels: Tensor): Tensor {
    return nllLoss(logProbabilities, labels, this.options);
  }
}

/** Mean of (input - target)^2. */
export class MSELoss extends Loss<LossOptions> {
  protected override checkOptions(options: LossOptions): void {
    checkLoss("MSELoss", options);
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return mseLoss(input, target, this.options);
  }
}

/** Mean of |input - target|. */
export class L1Loss extends Loss<LossOptions> {
  protected override checkOptions(options: LossOptions): void {
    checkLoss("L1Loss", options);
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return l1Loss(input, target, this.options);
  }
}

/** Quadratic below `delta`, linear above. */
export class HuberLoss extends Loss<LossOptions & { delta?: number }> {
  protected override checkOptions(options: LossOptions): void {
    checkLoss("HuberLoss", options, ["delta"]);
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return huberLoss(input, target, this.options);
  }
}

/** Binary cross-entropy of logits and targets from 0 to 1. */
export class BCEWithLogitsLoss extends Loss<LossOptions> {
  protected override checkOptions(options: LossOptions): void {
    checkLoss("BCEWithLogitsLoss", options);
  }

  forward(logits: Tensor, target: Tensor): Tensor {
    return binaryCrossEntropyWithLogits(logits, target, this.options);
  }
}

/** Divergence of target probabilities from log-probabilities. */
export class KLDivLoss extends Loss<NonNullable<Parameters<typeof klDiv>[2]>> {
  protected override checkOptions(options: object): void {
    checkLoss("KLDivLoss", options, [], ["batchmean"]);
  }

  forward(logProbabilities: Tensor, target: Tensor): Tensor {
    return klDiv(logProbabilities, target, this.options);
  }
}
