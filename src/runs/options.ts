/** What `train` takes: a config, or a task in code, and what is passed in from outside. */

import type { RunStore } from "../core/store.js";
import type { Optimizer } from "../optim/index.js";
import type { RunSettings, TrainingOptions } from "./config.js";
import type { CodeTask } from "./module-task.js";
import type { Sink } from "./sinks.js";

/** What is passed in from outside: places, writers, a clock. None of it takes part in the run's identity. */
export interface TrainOptions {
  /** Where the run is kept: a store or a folder; `config.out` unless given. */
  readonly store?: RunStore | string;
  readonly sinks?: readonly Sink[];
  /** Go on with this run (executionId, runId or the start of either) from its last checkpoint. */
  readonly resume?: string;
  /** Milliseconds, for rates and times; none are reported without it. */
  readonly clock?: () => number;
  /** Names the config in errors. */
  readonly where?: string;
}

/** Training in code: a task, and any field of a config but `data`, `tokenizer`, `model` and `precision`. */
export type CodeConfig = CodeTask &
  Partial<Omit<RunSettings, "training" | "precision">> & {
    /** Steps, learning rate, schedule, …; as in a config. */
    training?: Partial<TrainingOptions>;
    /** In place of the one that `training` describes. */
    optimizer?: Optimizer<{ lr: number }>;
  };
