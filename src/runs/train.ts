/** `train`: from a config, or from code, to a run with identity, events, metrics and checkpoints. */

import { type Checkpoint, readCheckpointFile } from "../artifacts/checkpoint.js";
import { checkStamp } from "../artifacts/format.js";
import { readSafetensors } from "../artifacts/safetensors.js";
import type { TrainingState } from "../artifacts/training-state.js";
import { type Capabilities, init, memory } from "../backend/devices.js";
import { determinism, setDeterminism } from "../core/determinism.js";
import { ConfigError, RunError } from "../core/errors.js";
import { parseJson } from "../core/json.js";
import { platform } from "../core/platform.js";
import { Generator } from "../core/random.js";
import type { RunStore } from "../core/store.js";
import { readText } from "../core/store.js";
import { VERSION } from "../core/version.js";
import { setWarningListener, warn } from "../core/warnings.js";
import { stateValues } from "../models/load.js";
import { hashWeights } from "../models/save.js";
import type { Optimizer } from "../optim/index.js";
import { resolveConfig, type TrainingConfig, type TrainingConfigInput, type TrainingOptions } from "./config.js";
import { type DataKind, dataKindOf } from "./data-config.js";
import { createRun, type TrainingEvent, type TrainingResult, type TrainingRun } from "./events.js";
import { hashedConfig } from "./identity.js";
import { languageSetup } from "./language-task.js";
import { findRunFolder } from "./list.js";
import { type LoopOptions, type LoopResult, type Progress, runLoop } from "./loop.js";
import { type CodeTask, ModuleTask } from "./module-task.js";
import { makeOptimizer, scheduleOf } from "./optimizer.js";
import { promiseOf, strictest } from "./promise.js";
import { type RunDraft, RunRecorder } from "./recorder.js";
import type { Sink } from "./sinks.js";
import { openStore } from "./store.js";
import { tableSetup } from "./table-task.js";
import type { Setup, Task } from "./task.js";

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

/** Training in code: a task, and any field of a config but `data`, `tokenizer` and `model`. */
export type CodeConfig = CodeTask &
  Partial<Pick<TrainingConfig, "seed" | "device" | "numerics" | "threads" | "memoryBudget" | "out">> & {
    /** Steps, learning rate, schedule, …; as in a config. */
    training?: Partial<TrainingOptions>;
    /** In place of the one that `training` describes. */
    optimizer?: Optimizer<{ lr: number }>;
  };

/**
 * Trains; returns at once with a run whose events can be read by any number of readers and whose result can be awaited.
 * Errors of the config arrive through the result, before anything is written.
 */
export function train(config: TrainingConfigInput | CodeConfig, options: TrainOptions = {}): TrainingRun {
  return createRun((emit, signal) => work(config, options, emit, signal));
}

/** The work behind `train`. */
export async function work(
  config: TrainingConfigInput | CodeConfig | undefined,
  options: TrainOptions,
  emit: (event: TrainingEvent) => void,
  signal: AbortSignal,
): Promise<TrainingResult> {
  const outer = setWarningListener(undefined);
  const mode = determinism();
  setWarningListener((warning) => {
    emit({ type: "warning", ...warning });
    outer?.(warning);
  });
  try {
    const prepared =
      config && "batches" in config ? await prepareCode(config, options) : await prepareConfig(config, options);
    return await execute(prepared, options, emit, signal);
  } finally {
    setWarningListener(outer);
    setDeterminism(mode);
  }
}

/** A run that is ready to start. */
interface Prepared {
  readonly config: TrainingConfig;
  readonly store: RunStore;
  readonly task: Task;
  readonly optimizer: Optimizer<{ lr: number }>;
  readonly generator: Generator;
  readonly capabilities: Capabilities;
  /** The manifest as far as it is known, or the run to go on with. */
  readonly draft: (initialWeights: string) => RunDraft;
  readonly userConfig: object;
  readonly resume?: string;
  /** Who made the model; the run frees it. */
  readonly owned: boolean;
}

/** What each kind of data is trained on as. */
const setups: Record<DataKind, (...config: Parameters<typeof languageSetup>) => Promise<Setup>> = {
  text: languageSetup,
  corpus: languageSetup,
  csv: tableSetup,
  jsonl: tableSetup,
  json: tableSetup,
  parquet: tableSetup,
  idx: tableSetup,
};

async function prepareConfig(given: TrainingConfigInput | undefined, options: TrainOptions): Promise<Prepared> {
  const { input, store, folder } = await configToUse(given, options);
  const config = resolveConfig(input, options.where);
  const capabilities = await openDevice(config);
  const generator = new Generator(config.seed);
  const setup = await setups[dataKindOf(config.data)](config, generator, capabilities.device);
  const draft = (initialWeights: string) => draftOf(config, setup, capabilities, initialWeights);
  return {
    config,
    capabilities,
    generator,
    draft,
    owned: true,
    store: store ?? openStore(options.store ?? config.out),
    task: setup.task,
    optimizer: makeOptimizer(setup.task, config.training),
    userConfig: input,
    resume: folder,
  };
}

/** The config given, or the one a resumed run was started with. */
async function configToUse(given: TrainingConfigInput | undefined, { resume, store }: TrainOptions) {
  if (resume === undefined) {
    if (given === undefined) throw new ConfigError("train: needs a config.", { where: "train" });
    return { input: given };
  }
  const place = openStore(store ?? (given as { out?: string } | undefined)?.out ?? "runs");
  const folder = await findRunFolder(place, resume);
  const saved = parseJson(await readText(place, `${folder}/config.json`), { where: `${folder}/config.json` });
  // What takes no part in the identity may change: as many threads and as much memory as there is now.
  const { threads, memoryBudget } = given ?? {};
  const input = {
    ...(saved as TrainingConfigInput),
    ...(threads === undefined ? {} : { threads }),
    ...(memoryBudget === undefined ? {} : { memoryBudget }),
  };
  return { input, store: place, folder };
}

async function prepareCode(config: CodeConfig, options: TrainOptions): Promise<Prepared> {
  const { training, optimizer, seed, device, numerics, threads, memoryBudget, out, codeVersion } = config;
  const fields = Object.fromEntries(
    Object.entries({ training, seed, device, numerics, threads, memoryBudget, out }).filter(
      ([, value]) => value !== undefined,
    ),
  );
  const resolved = resolveConfig({ data: { corpus: "code" }, ...fields }, options.where);
  const capabilities = await openDevice(resolved);
  const task = new ModuleTask(config);
  const { data: _, tokenizer: __, model: ___, threads: ____, memoryBudget: _____, out: ______, ...hashed } = resolved;
  const fingerprint = await task.source.fingerprint();
  const store = openStore(options.store ?? resolved.out);
  return {
    config: resolved,
    capabilities,
    task,
    store,
    owned: false,
    generator: new Generator(resolved.seed),
    optimizer: optimizer ?? makeOptimizer(task, resolved.training),
    userConfig: hashed,
    resume: options.resume === undefined ? undefined : await findRunFolder(store, options.resume),
    draft: (initialWeights) => ({
      ...common(resolved, capabilities, initialWeights),
      config: hashed,
      tokenizerHash: null,
      data: { fingerprint, sources: [], split: null },
      ...(codeVersion === undefined
        ? { provisional: "the code of the run has no version (codeVersion)" }
        : { code: { version: codeVersion } }),
    }),
  };
}

async function openDevice(config: TrainingConfig): Promise<Capabilities> {
  const { device, threads, numerics, memoryBudget } = config;
  const deterministic = strictest(config.deterministic);
  const { cores } = platform();
  if (threads !== undefined && threads > cores) {
    warn(
      "threads-above-cores",
      `${threads} threads on ${cores} cores are slower than ${cores}; the results are the same.`,
    );
  }
  return init({ device, numerics, deterministic, memoryBudget, ...(threads === undefined ? {} : { threads }) });
}

/** The parts of a manifest that do not depend on the kind of task. */
function common(
  config: TrainingConfig,
  { device, numerics, threads, simd, fusedMultiplyAdd, missing, environment }: Capabilities,
  initialWeights: string,
) {
  return {
    package: { name: "tenon", version: VERSION },
    initialWeights,
    seed: config.seed,
    numerics,
    precision: config.precision,
    device,
    asked: { device: config.device, numerics: config.numerics, deterministic: config.deterministic },
    environment: { ...environment, threads, simd, fusedMultiplyAdd, missing },
    determinism: promiseOf(device, numerics),
  };
}

function draftOf(
  config: TrainingConfig,
  { hashed, tokenizerHash, fingerprint, sources }: Setup,
  capabilities: Capabilities,
  initialWeights: string,
): RunDraft {
  const { device, numerics } = capabilities;
  return {
    ...common(config, capabilities, initialWeights),
    config: hashedConfig(config, { device, numerics, tokenizerHash, ...hashed }),
    tokenizerHash,
    data: { fingerprint, sources, split: config.data.split },
  };
}

async function execute(
  prepared: Prepared,
  options: TrainOptions,
  emit: (event: TrainingEvent) => void,
  signal: AbortSignal,
): Promise<TrainingResult> {
  const { config, store, task, optimizer, generator, capabilities, resume } = prepared;
  const opened = resume === undefined ? undefined : await RunRecorder.resume(store, resume, options);
  let recorder: RunRecorder | undefined = opened?.recorder;
  const progress: Progress = { tokens: 0, trainLoss: Number.NaN, valLoss: Number.NaN, metrics: {} };
  try {
    if (opened) {
      await restore(prepared, opened.checkpoint, opened.state, opened.recorder);
      const { metrics = {}, ...losses } = opened.state.loop as Progress;
      Object.assign(progress, numbers(losses), { metrics: numbers(metrics) });
    } else {
      const draft = prepared.draft(await hashWeights(task.model));
      recorder = await RunRecorder.start(store, draft, { sinks: options.sinks, userConfig: prepared.userConfig });
    }
    const run = recorder as RunRecorder;
    const fromStep = opened?.state.step ?? 0;
    const runDir = `${store.name}/${run.folder}`;
    const parameters = [...task.model.parameters()].reduce((sum, { size }) => sum + size, 0);
    emit({
      type: "start",
      runId: run.runId,
      executionId: run.executionId,
      runDir,
      steps: config.training.steps,
      fromStep,
      environment: { ...capabilities },
      parameters,
      unit: task.unit,
    });
    const result = await runLoop(
      { task, optimizer, generator, recorder: run, emit, signal, clock: options.clock, fromStep, progress },
      loopOptions(config.training),
    );
    return await finish(prepared, run, runDir, result, emit);
  } catch (error) {
    await recorder?.finish({ status: "failed" }).catch(() => undefined);
    throw error;
  } finally {
    optimizer.dispose();
    if (prepared.owned) task.model.dispose();
  }
}

/** JSON writes NaN and infinities as texts. */
const numbers = (values: object): Record<string, number> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value)]));

const loopOptions = (training: TrainingOptions): LoopOptions => ({ ...training, schedule: scheduleOf(training) });

/** Puts a run back to where its checkpoint left it. */
async function restore(
  { task, optimizer, generator, draft }: Prepared,
  checkpoint: Checkpoint,
  state: TrainingState,
  recorder: RunRecorder,
): Promise<void> {
  const { manifest } = recorder;
  const now = draft(manifest.initialWeights);
  if (now.data.fingerprint !== manifest.data.fingerprint) {
    throw new RunError(
      `${recorder.executionId}: cannot go on, its data changed (fingerprint ${manifest.data.fingerprint.slice(0, 12)}…, now ${now.data.fingerprint.slice(0, 12)}…).`,
      {
        where: recorder.executionId,
        hint: "Bring the data back as they were, or start a new run.",
      },
    );
  }
  if (now.device !== manifest.device || now.numerics !== manifest.numerics) {
    throw new RunError(
      `${recorder.executionId}: was run on ${manifest.device} with ${manifest.numerics} numerics, got ${now.device} with ${now.numerics}.`,
      { where: recorder.executionId },
    );
  }
  const weights = readSafetensors(await readCheckpointFile(checkpoint, "model.safetensors"), "model.safetensors");
  task.model.loadStateDict(stateValues(weights.tensors));
  const moments = readSafetensors(
    await readCheckpointFile(checkpoint, "optimizer.safetensors"),
    "optimizer.safetensors",
  );
  checkStamp(moments.metadata, "tenon-optimizer", `${checkpoint.folder}/optimizer.safetensors`);
  optimizer.loadStateDict({ ...(state.optimizer as any), tensors: stateValues(moments.tensors) });
  generator.setState(state.random);
  task.source.restore(state.source as never);
}

async function finish(
  { capabilities, task: { unit } }: Prepared,
  recorder: RunRecorder,
  runDir: string,
  result: LoopResult,
  emit: (event: TrainingEvent) => void,
): Promise<TrainingResult> {
  const { step, trainLoss, valLoss, metrics, weightsHash, tokensPerSecond, stopped } = result;
  const { runId, executionId } = recorder;
  const { live, pooled, peak } = memory();
  await recorder.finish({
    status: stopped ? "stopped" : "done",
    finalWeights: weightsHash,
    result: { steps: step, trainLoss, valLoss, ...metrics },
    wallClock: { tokensPerSecond, memory: { live, pooled, peak } },
  });
  const { device, threads, numerics } = capabilities;
  const outcome: TrainingResult = {
    runId,
    executionId,
    runDir,
    steps: step,
    trainLoss,
    valLoss,
    metrics,
    weightsHash,
    tokensPerSecond,
    unit,
    device,
    threads,
    numerics,
    ...(stopped ? { stopped } : {}),
  };
  if (stopped) emit({ type: "stopped", step, executionId, resume: executionId });
  else emit({ type: "done", result: outcome });
  return outcome;
}
