/** Adam (Kingma and Ba 2015) and AdamW, which decays weights apart from the gradient (Loshchilov and Hutter 2019). */

import { div, type Expr, madd, mul, sqrt, sub } from "../core/expr.js";
import { pow } from "../core/math.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkHyperparameters } from "./check.js";
import { Optimizer, type ParameterGroup, type ParameterStep, type Parameters } from "./optimizer.js";
import { defineUpdate, flush } from "./update.js";

/** Options of Adam and AdamW. */
export interface AdamOptions {
  lr: number;
  /** Decay rates of the first and second moment. */
  betas: readonly [number, number];
  eps: number;
  weightDecay: number;
}

interface Moments {
  parameter: Expr;
  grad: Expr;
  expAvg: Expr;
  expAvgSq: Expr;
}

type Scalars = Record<(typeof scalars)[number], Expr>;
const scalars = ["decay", "oneMinusBeta1", "beta2", "oneMinusBeta2", "correction", "eps", "negativeStep"] as const;
const inputs = ["parameter", "grad", "expAvg", "expAvgSq"] as const;

/**
 * m' = m + (g - m) (1 - b1); v' = v b2 + g^2 (1 - b2);
 * p' = p - lr / (1 - b1^t) * m' / (sqrt(v') / sqrt(1 - b2^t) + eps).
 */
function moved({ parameter, grad, expAvg, expAvgSq }: Moments, s: Scalars): Omit<Moments, "grad"> {
  const m = flush(madd(sub(grad, expAvg), s.oneMinusBeta1, expAvg));
  const v = flush(madd(mul(grad, grad), s.oneMinusBeta2, mul(expAvgSq, s.beta2)));
  const scale = madd(sqrt(v), s.correction, s.eps);
  return { parameter: madd(div(m, scale), s.negativeStep, parameter), expAvg: m, expAvgSq: v };
}

const adamUpdate = defineUpdate({
  name: "adamStep",
  doc: "one step of Adam; the weight decay is part of the gradient",
  inputs,
  scalars,
  next: (x, s) => moved({ ...x, grad: madd(x.parameter, s.decay, x.grad) }, s),
});

const adamwUpdate = defineUpdate({
  name: "adamwStep",
  doc: "one step of AdamW; the parameter is multiplied by 1 - lr * weightDecay first",
  inputs,
  scalars,
  next: (x, s) => moved({ ...x, parameter: mul(x.parameter, s.decay) }, s),
});

/** One parameter's share of a step: its tensors, and numbers in float64. */
function share({ parameter, grad, state, options }: ParameterStep<AdamOptions>, decay: number) {
  const { expAvg, expAvgSq } = state.tensors;
  const {
    lr,
    betas: [beta1, beta2],
    eps,
  } = options;
  return {
    tensors: { parameter, grad, expAvg, expAvgSq },
    scalars: {
      decay,
      oneMinusBeta1: 1 - beta1,
      beta2,
      oneMinusBeta2: 1 - beta2,
      correction: 1 / Math.sqrt(1 - pow(beta2, state.step)),
      eps,
      negativeStep: -lr / (1 - pow(beta1, state.step)),
    },
  };
}

const adamDefaults: AdamOptions = { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0 };

/** Adam. Options: lr 1e-3, betas [0.9, 0.999], eps 1e-8, weightDecay 0 (added to the gradient as weightDecay * p). */
export class Adam extends Optimizer<AdamOptions> {
  static override readonly name: string = "Adam";
  protected readonly moments = ["expAvg", "expAvgSq"];

  constructor(params: Parameters | readonly ParameterGroup<AdamOptions>[], options: Partial<AdamOptions> = {}) {
    checkHyperparameters("Adam", options, adamDefaults);
    super(params, { ...adamDefaults, ...options });
  }

  protected update(steps: readonly ParameterStep<AdamOptions>[], scale?: Tensor): void {
    adamUpdate(
      steps.map((step) => share(step, step.options.weightDecay)),
      scale,
    );
  }
}

const adamwDefaults: AdamOptions = { ...adamDefaults, weightDecay: 0.01 };

/** AdamW. Options: lr 1e-3, betas [0.9, 0.999], eps 1e-8, weightDecay 0.01. */
export class AdamW extends Optimizer<AdamOptions> {
  static override readonly name: string = "AdamW";
  protected readonly moments = ["expAvg", "expAvgSq"];

  constructor(params: Parameters | readonly ParameterGroup<AdamOptions>[], options: Partial<AdamOptions> = {}) {
    checkHyperparameters("AdamW", options, adamwDefaults);
    super(params, { ...adamwDefaults, ...options });
  }

  protected update(steps: readonly ParameterStep<AdamOptions>[], scale?: Tensor): void {
    adamwUpdate(
      steps.map((step) => share(step, 1 - step.options.lr * step.options.weightDecay)),
      scale,
    );
  }
}
