/** `train` as the entry point offers it: the runs folder is loaded at the first call, and the host's clock is passed in. */

import type { TrainingConfigInput } from "./runs/config.js";
import { createRun, type TrainingRun } from "./runs/events.js";
import type { CodeConfig, TrainOptions } from "./runs/train.js";

/**
 * Trains from a config or in code; returns at once with a run: its events can be read by any number of readers
 * (`for await (const event of run)`), `run.stop()` ends it with a checkpoint, `await run` gives the result.
 */
export function train(config: TrainingConfigInput | CodeConfig, options: TrainOptions = {}): TrainingRun {
  return createRun(async (emit, signal) => {
    const { work } = await import("./runs/train.js");
    return work(config, { clock: () => performance.now(), ...options }, emit, signal);
  });
}
