/** Learning rates over time, in float64 from portable functions: a schedule gives the factor of the rate at a step. */

import { ConfigError, kindOf, listOf, nearest, show } from "../core/errors.js";
import { cos } from "../core/math.js";
import { checkCounts, checkOptions } from "../core/options.js";
import type { Optimizer } from "./optimizer.js";

/** The factor of the learning rate at step 0, 1, 2, … */
export type Schedule = (step: number) => number;

/** The course of a schedule, in steps. */
export interface ScheduleOptions {
  /** Steps of the whole run; the last has number steps - 1. */
  steps: number;
  /** Steps that lead up to the full rate: step s of them has the factor (s + 1) / (warmupSteps + 1). */
  warmupSteps?: number;
  /** The factor that the decay ends at; 0 unless given. */
  minFactor?: number;
}

function withWarmup(options: ScheduleOptions, decay: (done: number) => number): Schedule {
  checkOptions("schedule", options, ["steps", "warmupSteps", "minFactor"]);
  const { steps, warmupSteps = 0, minFactor = 0 } = options;
  for (const [name, count] of Object.entries({ steps, warmupSteps })) {
    if (Number.isInteger(count) && count >= 0) continue;
    throw new ConfigError(`schedule: needs a whole number from 0 up for ${name}, got ${show(count)}.`, {
      where: "schedule",
      hint: "For example { steps: 1000, warmupSteps: 100 }.",
    });
  }
  if (!(minFactor >= 0)) {
    throw new ConfigError(`schedule: needs a number from 0 up for minFactor, got ${show(minFactor)}.`, {
      where: "schedule",
    });
  }
  const length = Math.max(1, steps - warmupSteps);
  return (step) => {
    if (step < warmupSteps) return (step + 1) / (warmupSteps + 1);
    return minFactor + (1 - minFactor) * decay(Math.min(1, (step - warmupSteps) / length));
  };
}

/** 1 after the warm-up. */
export const constantSchedule = (options: Omit<ScheduleOptions, "minFactor">): Schedule => withWarmup(options, () => 1);

/** From 1 after the warm-up down to `minFactor` in a straight line. */
export const linearSchedule = (options: ScheduleOptions): Schedule => withWarmup(options, (done) => 1 - done);

/** From 1 after the warm-up down to `minFactor` along half a cosine (Loshchilov and Hutter 2017). */
export const cosineSchedule = (options: ScheduleOptions): Schedule =>
  withWarmup(options, (done) => 0.5 * (1 + cos(Math.PI * done)));

/** The schedules that configs know, by name. */
export const schedules = { constant: constantSchedule, linear: linearSchedule, cosine: cosineSchedule } as const;
/** What a config may name. */
export type ScheduleName = keyof typeof schedules;

/** A schedule by its name in configs; an unknown name suggests the nearest. */
export function createSchedule(name: ScheduleName, options: ScheduleOptions): Schedule {
  if (Object.hasOwn(schedules, name)) return schedules[name](options);
  const near = nearest(String(name), Object.keys(schedules));
  throw new ConfigError(`schedule: there is no schedule "${name}".`, {
    where: "schedule",
    hint: near ? `Did you mean "${near}"?` : `Schedules are ${listOf(Object.keys(schedules))}.`,
  });
}

/** Sets the learning rate of every group to its starting rate times the schedule's factor. */
export class LambdaLR {
  private readonly baseRates: number[];
  /** The step whose rate is set. */
  private current = 0;

  constructor(
    private readonly optimizer: Optimizer<{ lr: number }>,
    private readonly schedule: Schedule,
  ) {
    if (!Array.isArray(optimizer?.groups)) {
      throw new ConfigError(`LambdaLR: needs an optimizer, got ${kindOf(optimizer)}.`, { where: "LambdaLR" });
    }
    if (typeof schedule !== "function") {
      throw new ConfigError(`LambdaLR: needs a function from a step to a factor, got ${kindOf(schedule)}.`, {
        where: "LambdaLR",
        hint: "For example cosineSchedule({ steps: 1000 }).",
      });
    }
    this.baseRates = optimizer.groups.map(({ options }) => options.lr);
    this.set();
  }

  private set(): void {
    const factor = this.schedule(this.current);
    if (!Number.isFinite(factor)) {
      throw new ConfigError(
        `LambdaLR: needs a number from its schedule, got ${show(factor)} at step ${this.current}.`,
        {
          where: "LambdaLR",
        },
      );
    }
    this.optimizer.groups.forEach(({ options }, i) => {
      options.lr = this.baseRates[i] * factor;
    });
  }

  /** Goes on to the next step's rate: call it after `optimizer.step()`. */
  step(): void {
    this.current++;
    this.set();
  }

  stateDict(): { step: number; baseRates: number[] } {
    return { step: this.current, baseRates: [...this.baseRates] };
  }

  /** Restores what `stateDict` gave, the rates of that step included. */
  loadStateDict(state: { step: number; baseRates: readonly number[] }): void {
    const where = "LambdaLR: loadStateDict";
    const { step, baseRates }: Partial<typeof state> = state ?? {};
    checkCounts(where, { step }, 0);
    const count = this.baseRates.length;
    if (!(Array.isArray(baseRates) && baseRates.length === count && baseRates.every(Number.isFinite))) {
      throw new ConfigError(`${where}: needs ${count} rates, got ${show(baseRates)}.`, { where });
    }
    this.current = state.step;
    this.baseRates.splice(0, count, ...state.baseRates);
    this.set();
  }
}
