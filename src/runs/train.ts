/** `train`: from a config, or from code, to a run with identity, events, metrics and checkpoints. */

import { holdDefault } from "../backend/devices.js";
import { memoryBudget, setMemoryBudget } from "../backend/storage.js";
import { determinism, setDeterminism } from "../core/determinism.js";
import { checkOptions } from "../core/options.js";
import { setWarningListener } from "../core/warnings.js";
import type { TrainingConfigInput } from "./config.js";
import { createRun, type TrainingEvent, type TrainingResult, type TrainingRun } from "./events.js";
import { execute } from "./execute.js";
import { isCode } from "./module-task.js";
import type { CodeConfig, TrainOptions } from "./options.js";
import { prepareCode, prepareConfig } from "./prepare.js";

export type { CodeConfig, TrainOptions } from "./options.js";

/**
 * Trains; returns at once with a run whose events can be read by any number of readers and whose result can be awaited.
 * Errors of the config arrive through the result, before anything is written.
 */
export function train(config: TrainingConfigInput | CodeConfig, options: TrainOptions = {}): TrainingRun {
  return createRun((emit, signal) => work(config, options, emit, signal));
}

const optionNames = ["store", "sinks", "resume", "clock", "where"];

/** Device and budget of a run are its own: after the last of those at work, the defaults are what they were. */
let running = 0;
let release = (): void => {};

function holdDefaults(): () => void {
  const budget = memoryBudget();
  const putBack = holdDefault();
  return () => {
    putBack();
    setMemoryBudget(budget);
  };
}

/** The work behind `train`. */
export async function work(
  config: TrainingConfigInput | CodeConfig | undefined,
  options: TrainOptions,
  emit: (event: TrainingEvent) => void,
  signal: AbortSignal,
): Promise<TrainingResult> {
  checkOptions("train", options, optionNames);
  if (running++ === 0) release = holdDefaults();
  const outer = setWarningListener(undefined);
  const mode = determinism();
  setWarningListener((warning) => {
    emit({ type: "warning", ...warning });
    outer?.(warning);
  });
  try {
    const prepared = isCode(config) ? await prepareCode(config, options) : await prepareConfig(config, options);
    return await execute(prepared, options, emit, signal);
  } finally {
    setWarningListener(outer);
    setDeterminism(mode);
    if (--running === 0) release();
  }
}
