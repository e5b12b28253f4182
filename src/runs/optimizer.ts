/** The optimizer and the schedule that a config describes. */

import type { StateValue } from "../nn/state.js";
import {
  Adam,
  AdamW,
  constantSchedule,
  cosineSchedule,
  decayGroups,
  linearSchedule,
  type OptimizerState,
  type Schedule,
  SGD,
  type StepOptions,
} from "../optim/index.js";
import type { TrainingOptions } from "./config.js";
import type { LoopOptimizer } from "./loop.js";
import { MuonWithAdamW } from "./muon.js";
import type { CodeConfig } from "./options.js";
import type { Task } from "./task.js";

/** Weight decay falls on matrices alone, as `decayGroups` tells them from biases and norms. */
export function makeOptimizer({ model }: Task, options: TrainingOptions): LoopOptimizer {
  const { optimizer, learningRate: lr, weightDecay, betas, eps, momentum } = options;
  const groups = decayGroups(model.namedParameters(), weightDecay).filter(({ params }) => params.length > 0);
  if (optimizer === "sgd") return new SGD(groups, { lr, momentum });
  if (optimizer === "muon") return new MuonWithAdamW(model, options);
  return optimizer === "adam" ? new Adam(groups, { lr, betas, eps }) : new AdamW(groups, { lr, betas, eps });
}

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
  const options = { steps, warmupSteps, minFactor: minLearningRate / learningRate };
  if (schedule === "constant") return constantSchedule(options);
  return schedule === "linear" ? linearSchedule(options) : cosineSchedule(options);
}
