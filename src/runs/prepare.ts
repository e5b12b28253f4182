/** Getting ready to train: config, device, task, optimizer and store, from a config or from code. */

import { plainObject } from "../artifacts/schema.js";
import type { Capabilities } from "../backend/report.js";
import { ConfigError, FormatError, show } from "../core/errors.js";
import { parseJson } from "../core/json.js";
import { Generator } from "../core/random.js";
import type { RunStore } from "../core/store.js";
import { readText } from "../core/store.js";
import { warn } from "../core/warnings.js";
import { Dropout, type Module } from "../nn/index.js";
import { checkOwner } from "../optim/owner.js";
import { codeOf } from "./code.js";
import { type RunSettings, resolveConfig, resolveSettings, settingNames, type TrainingConfigInput } from "./config.js";
import { isTable } from "./data-config.js";
import { configDraft, settingsDraft } from "./draft.js";
import type { DeviceSettings, OpenDevice } from "./holding.js";
import { hashedSettings } from "./identity.js";
import { languageSetup } from "./language-task.js";
import { findRunFolder } from "./list.js";
import type { LoopOptimizer } from "./loop.js";
import { ModuleTask } from "./module-task.js";
import { LentOptimizer, makeOptimizer } from "./optimizer.js";
import type { CodeConfig, TrainOptions } from "./options.js";
import type { RunDraft } from "./recorder.js";
import { resumedConfig } from "./resume.js";
import { openStore } from "./store.js";
import { keepStreams, openStored, withoutStreams } from "./stored-data.js";
import { tableSetup } from "./table-task.js";
import type { Task } from "./task.js";

/** A run that is ready to start. */
export interface Prepared {
  readonly settings: RunSettings;
  readonly store: RunStore;
  readonly task: Task;
  readonly optimizer: LoopOptimizer;
  readonly generator: Generator;
  readonly capabilities: Capabilities;
  /** The manifest as far as it is known before the first step. */
  readonly draft: (initialWeights: string) => RunDraft;
  readonly userConfig: object;
  /** Folder of the run to go on with. */
  readonly resume?: string;
  /** Called when the run has ended: frees what was made for it, and gives back what was lent. */
  readonly release: () => void | Promise<void>;
}

export async function prepareConfig(
  given: TrainingConfigInput | undefined,
  options: TrainOptions,
  open: OpenDevice,
): Promise<Prepared> {
  const { input, store: found, resume } = await configToUse(given, options);
  // The config is checked before a stream is read to its end.
  const { out } = resolveConfig(await withoutStreams(input), options.where);
  const store = found ?? openStore(options.store ?? out, "train");
  const userConfig = { ...input, data: await keepStreams(input.data, store) };
  const config = resolveConfig({ ...userConfig, data: await openStored(userConfig.data, store) }, options.where);
  const capabilities = await open(deviceSettings(config));
  const generator = new Generator(config.seed);
  const setup = await (isTable(config.data) ? tableSetup : languageSetup)(config, generator, capabilities.device);
  const release = async () => {
    setup.task.model.dispose();
    await setup.close?.();
  };
  let optimizer: LoopOptimizer;
  try {
    optimizer = makeOptimizer(setup.task, config.training);
  } catch (error) {
    await release();
    throw error;
  }
  return {
    settings: config,
    capabilities,
    generator,
    store,
    userConfig,
    resume,
    task: setup.task,
    release: async () => {
      optimizer.dispose();
      await release();
    },
    optimizer,
    draft: (initialWeights) => configDraft(config, setup, capabilities, initialWeights),
  };
}

/** The config given, or the one a resumed run was started with, with what of it may be given anew. */
async function configToUse(
  given: TrainingConfigInput | undefined,
  { resume, store, where: named }: TrainOptions,
): Promise<{ input: TrainingConfigInput; store?: RunStore; resume?: string }> {
  if (resume === undefined) {
    if (given === undefined) throw new ConfigError("train: needs a config.", { where: "train" });
    return { input: given };
  }
  const place = openStore(store ?? (given as { out?: string } | undefined)?.out ?? "runs", "train");
  const folder = await findRunFolder(place, resume);
  const where = `${folder}/config.json`;
  const found = parseJson(await readText(place, where), { where });
  const saved = plainObject(found, { where, path: "", errorType: FormatError }, "an object");
  const input = await resumedConfig(folder, saved as unknown as TrainingConfigInput, given, named);
  return { input, store: place, resume: folder };
}

export async function prepareCode(config: CodeConfig, options: TrainOptions, open: OpenDevice): Promise<Prepared> {
  const { optimizer, codeVersion } = config;
  const task = new ModuleTask(config);
  if (optimizer !== undefined && !isOptimizer(optimizer)) {
    throw new ConfigError(`train: needs an optimizer of tenon/optim, or one like it, got ${show(optimizer)}.`, {
      where: "train",
      hint: 'For example new SGD(parameters, { lr: 0.1 }); by name it goes into training: { optimizer: "sgd" }.',
    });
  }
  // A step of the user's own may update what it likes.
  if (optimizer && !task.step) checkOwner("train", task.model, optimizer);
  const told = Object.fromEntries(Object.entries(config).filter(([name]) => settingNames.includes(name)));
  // An optimizer brings its rate along, where none is told.
  if (optimizer) {
    const at = { where: options.where ?? "train", path: "training", errorType: ConfigError };
    told["training"] = { learningRate: optimizer.lr, ...plainObject(config.training ?? {}, at, "an object") };
  }
  const settings = resolveSettings(told, options.where);
  const capabilities = await open({ ...deviceSettings(settings), device: deviceOf(task.model, settings) });
  requireNumerics(task.model, capabilities);
  const store = openStore(options.store ?? settings.out, "train");
  const fingerprint = await fingerprintOf(task);
  const { code, provisional = task.provisional } = await codeOf("train", codeVersion);
  const hashed = hashedSettings(settings, capabilities);
  const generator = new Generator(settings.seed);
  const resume = options.resume === undefined ? undefined : await findRunFolder(store, options.resume);
  const loopOptimizer: LoopOptimizer = optimizer
    ? new LentOptimizer(optimizer)
    : makeOptimizer(task, settings.training);
  const returnGenerator = lendGenerator(task.model, generator);
  return {
    settings,
    capabilities,
    generator,
    task,
    store,
    release: async () => {
      loopOptimizer.dispose();
      returnGenerator();
      await task.source
        .close()
        .catch((error) =>
          warn("batches-not-closed", `train: the batches threw when they were closed: ${error}`, { error }),
        );
    },
    optimizer: loopOptimizer,
    userConfig: hashed,
    resume,
    draft: (initialWeights) => ({
      ...settingsDraft(settings, capabilities, initialWeights),
      code,
      config: hashed,
      tokenizerHash: null,
      data: { fingerprint, sources: [], split: null },
      ...(provisional === undefined ? {} : { provisional }),
    }),
  };
}

async function fingerprintOf({ source }: ModuleTask): Promise<string> {
  const fingerprint: unknown = await source.fingerprint();
  if (typeof fingerprint === "string" && /^[0-9a-f]{64}$/.test(fingerprint)) return fingerprint;
  throw new ConfigError(`train: needs 64 hex digits from fingerprint() of the batches, got ${show(fingerprint)}.`, {
    where: "train",
    hint: "It is the SHA-256 of their content (sha256Hex), so that equal ones give equal batches.",
  });
}

function isOptimizer(value: unknown): boolean {
  const { lr, step, stateDict, loadStateDict } = Object(value);
  return typeof lr === "number" && [step, stateDict, loadStateDict].every((method) => typeof method === "function");
}

/** Dropouts without a generator of their own draw from the run's as long as it lasts. */
function lendGenerator(model: Module, generator: Generator): () => void {
  const drops = [...model.modules()].filter((module) => module instanceof Dropout && !module.generator) as Dropout[];
  for (const drop of drops) drop.generator = generator;
  return () => {
    for (const drop of drops) drop.generator = undefined;
  };
}

/** Parameters stay on the device that they were made on, even where `init` has replaced it: the run must not say otherwise. */
function requireNumerics(model: Module, { numerics }: Capabilities): void {
  for (const { backend } of model.parameters()) {
    if (backend.info.numerics === numerics) continue;
    const made = backend.info.numerics;
    throw new ConfigError(`train: needs parameters made with numerics "${numerics}", got some made with "${made}".`, {
      where: "train",
      hint: `Train with numerics: "${made}", or make them after await init({ numerics: "${numerics}" }).`,
    });
  }
}

/** Code runs where its parameters are: a run must not say that it was elsewhere. */
function deviceOf(model: Module, { device }: RunSettings): RunSettings["device"] {
  for (const parameter of model.parameters()) {
    if (device === "auto" || device === parameter.device) return parameter.device;
    throw new ConfigError(`train: needs parameters on ${device}, which the config asks for, got ${parameter.device}.`, {
      where: "train",
      hint: `Make them after await init({ device: "${device}" }), or leave device out.`,
    });
  }
  return device;
}

const deviceSettings = ({ device, numerics, deterministic, threads, memoryBudget }: RunSettings): DeviceSettings => ({
  device,
  numerics,
  deterministic,
  threads,
  memoryBudget,
});
