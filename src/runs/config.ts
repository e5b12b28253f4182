/**
 * The training config: one JSON object, the same for `tenon train` and `train()`. Every field but `data` has a default
 * that learns. Checked before anything starts; errors name the field, what it needs and what it got.
 */

import { checkStamp } from "../artifacts/format.js";
import {
  check,
  inside,
  integer,
  list,
  nullable,
  number,
  object,
  oneOf,
  optional,
  type Place,
  refuse,
  refuseKey,
  type Schema,
  text,
} from "../artifacts/schema.js";
import type { DeviceName } from "../backend/backend.js";
import { deviceChoices, MAX_THREADS, numericsChoices } from "../backend/devices.js";
import type { Numerics } from "../backend/report.js";
import { ConfigError } from "../core/errors.js";
import { type ScheduleName, schedules } from "../optim/schedule.js";
import { type DataConfig, dataSchema, dataUse, isTable } from "./data-config.js";
import { belowOne, type ModelConfig, modelSchema, resolveModel } from "./model-config.js";
import type { DataInput } from "./stored-data.js";

export type TokenizerConfig = string | { readonly train: "bpe" | "unigram" | "wordpiece"; readonly vocabSize: number };

/** What a config may name; `makeOptimizer` makes them. */
const optimizerNames = ["adamw", "adam", "sgd", "muon"] as const;
export type OptimizerName = (typeof optimizerNames)[number];

export interface TrainingOptions {
  /** Optimizer steps. */
  readonly steps: number;
  /** Rows of a micro-batch; 12 of text and 64 of tables unless told. */
  readonly batchSize: number;
  /** Tokens of a row. */
  readonly blockSize: number;
  /** Micro-batches whose gradients one step sums. */
  readonly accumulate: number;
  readonly optimizer: OptimizerName;
  readonly learningRate: number;
  /** Of `muon`: the rate of what AdamW trains; the same unless told. */
  readonly adamwLearningRate?: number;
  /** Where the cosine and linear schedules end. */
  readonly minLearningRate: number;
  readonly schedule: ScheduleName;
  readonly warmupSteps: number;
  readonly weightDecay: number;
  readonly betas: readonly [number, number];
  readonly eps: number;
  /** Of `sgd` (0.9 unless told) and of `muon` (0.95). */
  readonly momentum: number;
  /** Largest norm of all gradients together; null does not clip. */
  readonly clipNorm: number | null;
  readonly dropout: number;
  /** Steps between validations; the last step always has one. */
  readonly evalEvery: number;
  /** Share of the validation split that evaluations before the last read; a tenth of text, all of a table. */
  readonly evalFraction: number;
  readonly checkpointEvery: number;
  /** Steps between records in `metrics.jsonl`. */
  readonly logEvery: number;
  /** Steps between samples; 0 writes none. */
  readonly sampleEvery: number;
  readonly sampleTokens: number;
}

/** What a run is told besides what it learns and from what: all that training in code takes of a config. */
export interface RunSettings {
  readonly training: TrainingOptions;
  readonly precision: "float32";
  readonly seed: number;
  readonly device: DeviceName | "auto";
  readonly numerics: Numerics;
  readonly deterministic: boolean | "warn";
  readonly threads?: number;
  /** Bytes. */
  readonly memoryBudget?: number;
  /** Folder that holds the runs. */
  readonly out: string;
}

/** A config with every default filled in. */
export interface TrainingConfig extends RunSettings {
  readonly data: DataConfig;
  /** `"char"`, `"byte"`, a path or URL of a `tokenizer.json`, or what to train; `"none"` where the data are ids. */
  readonly tokenizer: TokenizerConfig;
  readonly model: ModelConfig;
}

/** What callers write: only `data` is required. */
export type TrainingConfigInput = { readonly data: DataInput } & {
  readonly [K in Exclude<keyof TrainingConfig, "data">]?: TrainingConfig[K] extends infer V
    ? V extends readonly unknown[] | string | number | boolean
      ? V
      : Partial<V>
    : never;
};

const trainedTokenizer = object({
  train: oneOf(["bpe", "unigram", "wordpiece"]),
  vocabSize: integer({ min: 1, default: 2048 }),
});

export const tokenizerSchema: Schema<TokenizerConfig> = {
  expects: '"char", "byte", the place of a tokenizer.json, or { "train": "bpe", "vocabSize": 2048 }',
  check(value, at) {
    if (typeof value === "string" && value !== "") return value;
    if (value instanceof URL) return value.href;
    if (typeof value !== "object" || value === null) return refuse(at, tokenizerSchema.expects, value);
    return trainedTokenizer.check(value, at);
  },
};

/** Is it the place of a tokenizer, and not one of those that need no file? */
export const isTokenizerPlace = (tokenizer: unknown): tokenizer is string =>
  typeof tokenizer === "string" && !["char", "byte", "none"].includes(tokenizer);

const trainingSchema = object(
  {
    steps: integer({ min: 1, default: 2000 }),
    batchSize: optional(integer({ min: 1 })),
    blockSize: integer({ min: 1, default: 64 }),
    accumulate: integer({ min: 1, default: 1 }),
    optimizer: oneOf(optimizerNames, { default: "adamw" }),
    learningRate: number({ above: 0, default: 1e-3 }),
    adamwLearningRate: optional(number({ above: 0 })),
    minLearningRate: optional(number({ min: 0 })),
    schedule: oneOf(Object.keys(schedules) as ScheduleName[], { default: "cosine" }),
    warmupSteps: optional(integer({ min: 0 })),
    weightDecay: optional(number({ min: 0 })),
    betas: list(belowOne(), { length: 2, default: [0.9, 0.99] }) as unknown as Schema<readonly [number, number]>,
    eps: number({ above: 0, default: 1e-8 }),
    momentum: optional(number({ min: 0, max: 1 })),
    clipNorm: nullable(number({ above: 0, default: 1 })),
    dropout: belowOne({ default: 0 }),
    evalEvery: integer({ min: 1, default: 250 }),
    evalFraction: optional(number({ above: 0, max: 1 })),
    checkpointEvery: integer({ min: 1, default: 500 }),
    logEvery: integer({ min: 1, default: 1 }),
    sampleEvery: optional(integer({ min: 0 })),
    sampleTokens: integer({ min: 1, default: 200 }),
  },
  { default: {} },
);

/** What suits the data, where the config says nothing: rows of tables are small, and so are their models. */
const trainingDefaults = {
  text: { batchSize: 12, weightDecay: 0.1, evalFraction: 0.1 },
  table: { batchSize: 64, weightDecay: 0.01, evalFraction: 1 },
};

const precisionSchema: Schema<"float32"> = {
  expects: '"float32"',
  default: "float32",
  check: (value, at) =>
    value === "float32" ? value : refuse(at, '"float32", the only precision that exists so far', value),
};

const settingsFields = {
  training: trainingSchema,
  precision: precisionSchema,
  seed: integer({ min: 0, default: 1337 }),
  device: oneOf(deviceChoices, { default: "auto" }),
  numerics: oneOf(numericsChoices, { default: "portable" }),
  deterministic: oneOf([true, false, "warn"], { default: "warn" }),
  threads: optional(integer({ min: 1, max: MAX_THREADS })),
  memoryBudget: optional(integer({ min: 1 })),
  out: text({ default: "runs" }),
};
const settingsSchema = object(settingsFields);
export const settingNames = Object.keys(settingsFields);
const configSchema = object({
  $schema: optional(text()),
  format: optional(oneOf(["tenon-config"])),
  formatVersion: optional(text()),
  data: dataSchema,
  tokenizer: optional(tokenizerSchema),
  model: modelSchema,
  ...settingsFields,
});

/**
 * Checks a config and fills in its defaults; the input is left alone. Throws ConfigError naming `where` (the file),
 * the field, what it needs and what it got; unknown keys are told the nearest known one.
 */
export function resolveConfig(input: unknown, where = "config"): TrainingConfig {
  const { $schema, format = "tenon-config", formatVersion, ...config } = check(configSchema, input, where);
  if (formatVersion !== undefined) checkStamp({ format, formatVersion }, format, where);
  const { data, model } = config;
  const training = resolveTraining(config.training, trainingDefaults[isTable(data) ? "table" : "text"], where);
  const tokenizer = resolveTokenizer(config.tokenizer, data, model, where);
  return { ...config, tokenizer, model: resolveModel(model, data, training.blockSize, where), training };
}

/** Ids in a file were made by a tokenizer that the config may name; all other text needs one. */
function resolveTokenizer(
  given: TokenizerConfig | undefined,
  data: DataConfig,
  model: ModelConfig,
  where: string,
): TokenizerConfig {
  const at: Place = { where, path: "tokenizer", errorType: ConfigError };
  if (dataUse(data) !== "tokens") {
    return given === "none" ? refuse(at, `${tokenizerSchema.expects}, as the data are text`, given) : (given ?? "char");
  }
  if (given === "char" || typeof given === "object") {
    refuse(at, '"byte" or the place of the tokenizer.json that made the ids', given);
  }
  if (given !== undefined && given !== "none") return given;
  const vocabulary = { where, path: "model.vocab_size", errorType: ConfigError };
  if (model["vocab_size"] === undefined) {
    refuse(vocabulary, "the number of ids, as the data are ids and no tokenizer is named", undefined);
  }
  return "none";
}

/** The same for training in code, where model and data are objects and not part of a config. */
export function resolveSettings(input: unknown, where = "train"): RunSettings {
  const settings = check(settingsSchema, input, where);
  return { ...settings, training: resolveTraining(settings.training, trainingDefaults.text, where) };
}

/** What no array of a batch may be longer than. */
const MOST_VALUES = 2 ** 31;

/** Fills in the defaults that depend on other fields. */
function resolveTraining(
  given: ReturnType<typeof trainingSchema.check>,
  defaults: (typeof trainingDefaults)["text"],
  where: string,
): TrainingOptions {
  const training = { ...defaults, ...given };
  const at: Place = { where, path: "training", errorType: ConfigError };
  const { steps, optimizer, learningRate, adamwLearningRate, evalEvery, batchSize = 1, blockSize } = training;
  if (adamwLearningRate !== undefined && optimizer !== "muon") {
    refuse(inside(at, "adamwLearningRate"), `no value where the optimizer is "${optimizer}"`, adamwLearningRate);
  }
  // A row of a table has as many values as its columns have, which is not known here.
  const width = defaults === trainingDefaults.table ? 1 : blockSize + 1;
  if (batchSize * width > MOST_VALUES) {
    const larger = batchSize >= width ? "batchSize" : "blockSize";
    const expects = `a batch of at most 2^31 values (batchSize ${batchSize} x ${width})`;
    refuse(inside(at, larger), expects, training[larger], "For larger steps, accumulate several micro-batches.");
  }
  const momentum = training.momentum ?? (optimizer === "muon" ? 0.95 : 0.9);
  const warmupSteps = training.warmupSteps ?? Math.min(100, Math.floor(steps / 10));
  if (warmupSteps > steps) refuse(inside(at, "warmupSteps"), `at most the ${steps} steps of the run`, warmupSteps);
  const minLearningRate = training.minLearningRate ?? learningRate / 10;
  if (minLearningRate > learningRate) {
    refuse(inside(at, "minLearningRate"), `at most the learning rate ${learningRate}`, minLearningRate);
  }
  const sampleEvery = training.sampleEvery ?? evalEvery;
  const ofMuon = optimizer === "muon" ? { adamwLearningRate: adamwLearningRate ?? learningRate } : {};
  return { ...training, ...ofMuon, momentum, warmupSteps, minLearningRate, sampleEvery } as TrainingOptions;
}

/**
 * Sets one field by its dotted path, for command-line flags: `override(config, "training.steps", 20)`. What is no object
 * where one must be stays as it is, to be refused with the config.
 */
export function override(config: Record<string, unknown>, path: string, value: unknown): Record<string, unknown> {
  if (typeof config !== "object" || config === null || Array.isArray(config)) return config;
  const [key, ...rest] = path.split(".");
  if (key === "__proto__") refuseKey(key, [], { where: "override", path: "", errorType: ConfigError });
  if (rest.length === 0) return { ...config, [key]: value };
  const inner = (config[key] ?? {}) as Record<string, unknown>;
  return { ...config, [key]: override(inner, rest.join("."), value) };
}
