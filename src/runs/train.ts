/** `train`: from a config, or from code, to a run with identity, events, metrics and checkpoints. */

import { holdDevices } from "../backend/devices.js";
import { memoryBudget, setMemoryBudget } from "../backend/storage.js";
import { determinism, setDeterminism } from "../core/determinism.js";
import { checkOptions } from "../core/options.js";
import { setWarningListener, type Warning } from "../core/warnings.js";
import type { TrainingConfigInput } from "./config.js";
import { createRun, type TrainingEvent, type TrainingResult, type TrainingRun } from "./events.js";
import { execute } from "./execute.js";
import { isCode } from "./module-task.js";
import type { CodeConfig, TrainOptions } from "./options.js";
import { type Prepared, prepareCode, prepareConfig } from "./prepare.js";

export type { CodeConfig, TrainOptions } from "./options.js";

/**
 * Trains; returns at once with a run whose events can be read by any number of readers and whose result can be awaited.
 * Errors of the config arrive through the result, before anything is written.
 */
export function train(config: TrainingConfigInput | CodeConfig, options: TrainOptions = {}): TrainingRun {
  return createRun((emit, signal) => work(config, options, emit, signal));
}

/**
 * The same of what came as JSON, from a file or with a message: a config, whatever names it has, so that one which
 * `train` would take for a task in code is told its own mistakes.
 */
export function trainConfig(config: TrainingConfigInput, options: TrainOptions = {}): TrainingRun {
  return createRun((emit, signal) => work(config, options, emit, signal, prepareConfig));
}

const prepare = (config: TrainingConfigInput | CodeConfig | undefined, options: TrainOptions) =>
  isCode(config) ? prepareCode(config, options) : prepareConfig(config, options);

const optionNames = ["store", "sinks", "resume", "clock", "where"];

/** What is at work (runs, replays), each by what is told of warnings. */
const working = new Set<(warning: Warning) => void>();
let release = (): void => {};

/** Device, budget and mode of a run are its own: after the last of those at work, the process is what it was. */
function holdDefaults(): () => void {
  const budget = memoryBudget();
  const putBack = holdDevices(true);
  const mode = determinism();
  const outer = setWarningListener((warning) => {
    for (const tell of working) tell(warning);
    outer?.(warning);
  });
  return () => {
    setWarningListener(outer);
    setDeterminism(mode);
    putBack();
    setMemoryBudget(budget);
  };
}

/** Does something that may choose devices and modes, telling of its warnings; afterwards the process is what it was. */
export async function holding<T>(tell: (warning: Warning) => void, work: () => Promise<T>): Promise<T> {
  if (working.size === 0) release = holdDefaults();
  working.add(tell);
  try {
    return await work();
  } finally {
    working.delete(tell);
    if (working.size === 0) release();
  }
}

/** The work behind `train`. */
export async function work<C extends TrainingConfigInput | CodeConfig | undefined>(
  config: C,
  options: TrainOptions,
  emit: (event: TrainingEvent) => void,
  signal: AbortSignal,
  prepared: (config: C, options: TrainOptions) => Promise<Prepared> = prepare,
): Promise<TrainingResult> {
  checkOptions("train", options, optionNames);
  const tell = (warning: Warning) => emit({ type: "warning", ...warning });
  return holding(tell, async () => execute(await prepared(config, options), options, emit, signal));
}
