/** `train`: from a config, or from code, to a run with identity, events, metrics and checkpoints. */

import { checkClock, checkOptions } from "../core/options.js";
import type { TrainingConfigInput } from "./config.js";
import { createRun, type TrainingEvent, type TrainingResult, type TrainingRun, warningsTo } from "./events.js";
import { execute } from "./execute.js";
import { holding, type OpenDevice } from "./holding.js";
import { isCode } from "./module-task.js";
import type { CodeConfig, TrainOptions } from "./options.js";
import { type Prepared, prepareCode, prepareConfig } from "./prepare.js";
import { checkSinks } from "./sinks.js";

export type { CodeConfig, TrainOptions } from "./options.js";

/**
 * Trains; returns at once with a run whose events can be read by any number of readers and whose result can be awaited.
 * Errors of the config arrive through the result, before anything is written. Several runs may be at work at once where
 * device, numerics, threads, budget and determinism are the same; else the later one is refused with a RunError.
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

const prepare = (config: TrainingConfigInput | CodeConfig | undefined, options: TrainOptions, open: OpenDevice) =>
  isCode(config) ? prepareCode(config, options, open) : prepareConfig(config, options, open);

/** The work behind `train`. */
export async function work<C extends TrainingConfigInput | CodeConfig | undefined>(
  config: C,
  options: TrainOptions,
  emit: (event: TrainingEvent) => void,
  signal: AbortSignal,
  prepared: (config: C, options: TrainOptions, open: OpenDevice) => Promise<Prepared> = prepare,
): Promise<TrainingResult> {
  checkTrainOptions(options);
  const train = async (open: OpenDevice) => execute(await prepared(config, options, open), options, emit, signal);
  return holding(warningsTo(emit), train);
}

/** The same on a device that whoever is at work already opens. */
export async function workWith(
  open: OpenDevice,
  config: TrainingConfigInput | CodeConfig | undefined,
  options: TrainOptions,
  emit: (event: TrainingEvent) => void,
  signal: AbortSignal,
): Promise<TrainingResult> {
  return execute(await prepare(config, options, open), options, emit, signal);
}

function checkTrainOptions(options: TrainOptions): void {
  checkOptions("train", options, ["store", "sinks", "resume", "clock", "where"]);
  checkSinks("train", options.sinks);
  checkClock("train", options.clock);
}
