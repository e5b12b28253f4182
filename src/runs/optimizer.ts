/** The optimizer and the schedule that a config describes. */

import {
  Adam,
  AdamW,
  constantSchedule,
  cosineSchedule,
  decayGroups,
  linearSchedule,
  type Schedule,
  SGD,
} from "../optim/index.js";
import type { TrainingOptions } from "./config.js";
import type { LoopOptimizer } from "./loop.js";
import { MuonWithAdamW } from "./muon.js";
import type { Task } from "./task.js";

/** Weight decay falls on matrices alone, as `decayGroups` tells them from biases and norms. */
export function makeOptimizer({ model }: Task, options: TrainingOptions): LoopOptimizer {
  const { optimizer, learningRate: lr, weightDecay, betas, eps, momentum } = options;
  const groups = decayGroups(model.namedParameters(), weightDecay).filter(({ params }) => params.length > 0);
  if (optimizer === "sgd") return new SGD(groups, { lr, momentum });
  if (optimizer === "muon") return new MuonWithAdamW(model, options);
  return optimizer === "adam" ? new Adam(groups, { lr, betas, eps }) : new AdamW(groups, { lr, betas, eps });
}

/** Factors of the learning rate by step. */
export function scheduleOf({ schedule, steps, warmupSteps, learningRate, minLearningRate }: TrainingOptions): Schedule {
  const options = { steps, warmupSteps, minFactor: minLearningRate / learningRate };
  if (schedule === "constant") return constantSchedule(options);
  return schedule === "linear" ? linearSchedule(options) : cosineSchedule(options);
}
