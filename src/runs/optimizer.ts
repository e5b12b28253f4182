/** The optimizer and the schedule that a config describes. */

import type { Module } from "../nn/module.js";
import type { StateValue } from "../nn/state.js";
import {
  Adam,
  AdamW,
  createSchedule,
  decayGroups,
  type OptimizerState,
  type Schedule,
  SGD,
  type StepOptions,
} from "../optim/index.js";
import type { OptimizerName, TrainingOptions } from "./config.js";
import type { LoopOptimizer } from "./loop.js";
import { MuonWithAdamW } from "./muon.js";
import type { CodeConfig } from "./options.js";
import type { Task } from "./task.js";

/** Weight decay falls on matrices alone, as `decayGroups` tells them from biases and norms. */
const groupsOf = (model: Module, { weightDecay }: TrainingOptions) =>
  decayGroups(model.namedParameters(), weightDecay).filter(({ params }) => params.length > 0);

const optimizers: Record<OptimizerName, (model: Module, options: TrainingOptions) => LoopOptimizer> = {
  adamw: (model, options) => new AdamW(groupsOf(model, options), adamOptions(options)),
  adam: (model, options) => new Adam(groupsOf(model, options), adamOptions(options)),
  sgd: (model, options) => new SGD(groupsOf(model, options), { lr: options.learningRate, momentum: options.momentum }),
  muon: (model, options) => new MuonWithAdamW(model, options),
};

const adamOptions = ({ learningRate: lr, betas, eps }: TrainingOptions) => ({ lr, betas, eps });

/** The optimizer that a config names. */
export const makeOptimizer = ({ model }: Task, options: TrainingOptions): LoopOptimizer =>
  optimizers[options.optimizer](model, options);

/**
 * An optimizer of the user's while a run uses it: the run sets the rate of the first group, and others keep their ratio
 * to it. It comes back with what it learnt and with its own rates.
 */
export class LentOptimizer implements LoopOptimizer {
  private readonly rates: readonly number[];
  private readonly rate: number;

  constructor(private readonly own: NonNullable<CodeConfig["optimizer"]>) {
    this.rates = this.groups.map(({ options }) => options.lr);
    this.rate = own.lr;
  }

  /** None where the class is the user's, too. */
  private get groups() {
    return this.own.groups ?? [];
  }

  get lr(): number {
    return this.own.lr;
  }

  set lr(value: number) {
    this.own.lr = value;
    for (const [i, { options }] of this.groups.entries())
      if (this.rates[0] > 0) options.lr = value * (this.rates[i] / this.rates[0]);
  }

  step(grads: undefined, options: StepOptions): void {
    this.own.step(grads, options);
  }

  stateDict(): OptimizerState {
    return this.own.stateDict();
  }

  loadStateDict(state: OptimizerState<StateValue>): void {
    this.own.loadStateDict(state);
  }

  dispose(): void {
    this.own.lr = this.rate;
    for (const [i, { options }] of this.groups.entries()) options.lr = this.rates[i];
  }
}

/** Factors of the learning rate by step. */
export function scheduleOf({ schedule, steps, warmupSteps, learningRate, minLearningRate }: TrainingOptions): Schedule {
  return createSchedule(schedule, { steps, warmupSteps, minFactor: minLearningRate / learningRate });
}
