/** Stochastic gradient descent with momentum (Sutskever et al. 2013). */

import { ConfigError } from "../core/errors.js";
import { madd, mul } from "../core/expr.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkHyperparameters } from "./check.js";
import { Optimizer, type ParameterGroup, type ParameterStep, type Parameters } from "./optimizer.js";
import { defineUpdate, flush } from "./update.js";

/** Options of SGD. */
export interface SGDOptions {
  lr: number;
  momentum: number;
  /** The gradient enters the momentum times 1 - dampening, but for the first time. */
  dampening: number;
  weightDecay: number;
  /** Look ahead along the momentum, which must be above 0 and not dampened. */
  nesterov: boolean;
}

const plainUpdate = defineUpdate({
  name: "sgdStep",
  doc: "p - lr * (g + weightDecay * p)",
  inputs: ["parameter", "grad"],
  scalars: ["weightDecay", "negativeLr"],
  next: ({ parameter, grad }, s) => ({
    parameter: madd(madd(parameter, s.weightDecay, grad), s.negativeLr, parameter),
  }),
});

const momentumScalars = ["weightDecay", "momentum", "gain", "negativeLr"] as const;
const momentumUpdate = (nesterov: boolean) =>
  defineUpdate({
    name: nesterov ? "nesterovStep" : "momentumStep",
    doc: `one step of gradient descent with ${nesterov ? "Nesterov's" : "classical"} momentum`,
    inputs: ["parameter", "grad", "momentumBuffer"],
    scalars: momentumScalars,
    next: ({ parameter, grad, momentumBuffer }, s) => {
      const g = madd(parameter, s.weightDecay, grad);
      const buffer = flush(madd(g, s.gain, mul(momentumBuffer, s.momentum)));
      const direction = nesterov ? madd(buffer, s.momentum, g) : buffer;
      return { parameter: madd(direction, s.negativeLr, parameter), momentumBuffer: buffer };
    },
  });
const classicalUpdate = momentumUpdate(false);
const nesterovUpdate = momentumUpdate(true);

const defaults: SGDOptions = { lr: 1e-3, momentum: 0, dampening: 0, weightDecay: 0, nesterov: false };

/** SGD. Options: lr 1e-3, momentum 0, dampening 0, weightDecay 0 (added to the gradient), nesterov false. */
export class SGD extends Optimizer<SGDOptions> {
  static override readonly name: string = "SGD";
  protected readonly moments = ["momentumBuffer"];

  constructor(params: Parameters | readonly ParameterGroup<SGDOptions>[], options: Partial<SGDOptions> = {}) {
    checkHyperparameters("SGD", options, defaults);
    super(params, { ...defaults, ...options });
  }

  protected override checkGroup(where: string, options: SGDOptions): void {
    super.checkGroup(where, options);
    const { nesterov, momentum, dampening } = options;
    if (!nesterov || (momentum > 0 && dampening === 0)) return;
    throw new ConfigError(
      `${where}: needs momentum above 0 and dampening 0 for nesterov, got ${momentum} and ${dampening}.`,
      { where, hint: "For example { momentum: 0.9, nesterov: true }." },
    );
  }

  /** Plain descent remembers nothing. */
  protected override momentsOf({ momentum }: SGDOptions): readonly string[] {
    return momentum === 0 ? [] : this.moments;
  }

  protected update(steps: readonly ParameterStep<SGDOptions>[], scale?: Tensor): void {
    const isPlain = ({ options }: ParameterStep<SGDOptions>) => options.momentum === 0;
    plainUpdate(
      steps.filter(isPlain).map(({ parameter, grad, options: { weightDecay, lr } }) => ({
        tensors: { parameter, grad },
        scalars: { weightDecay, negativeLr: -lr },
      })),
      scale,
    );
    for (const nesterov of [false, true]) {
      const own = steps.filter((step) => !isPlain(step) && step.options.nesterov === nesterov);
      const update = nesterov ? nesterovUpdate : classicalUpdate;
      update(own.map(withMomentum), scale);
    }
  }
}

const withMomentum = ({ parameter, grad, state, options }: ParameterStep<SGDOptions>) => {
  const { lr, momentum, dampening, weightDecay } = options;
  return {
    tensors: { parameter, grad, momentumBuffer: state.tensors.momentumBuffer },
    scalars: { weightDecay, momentum, gain: state.step === 1 ? 1 : 1 - dampening, negativeLr: -lr },
  };
};
