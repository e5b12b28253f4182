/**
 * The training config: one JSON object, the same for `tenon train` and `train()`. Every field but `data` has a default
 * that learns. Checked before anything starts; errors name the field, what it needs and what it got.
 */

import {
  boolean,
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
  plainObject,
  refuse,
  refuseKey,
  type Schema,
  text,
} from "../artifacts/schema.js";
import { ConfigError, listOf } from "../core/errors.js";

/** Where data come from: a path, a URL, or in code a Blob or File; several are read one after the other. */
export type DataPlace = string | URL | Blob;

export const DATA_KINDS = ["text", "csv", "jsonl", "json", "parquet", "idx", "corpus"] as const;
export type DataKind = (typeof DATA_KINDS)[number];

export interface DataConfig {
  /** Exactly one of these names the data. `corpus` is a built-in one ("tales"). */
  readonly text?: DataPlace | readonly DataPlace[];
  readonly csv?: DataPlace | readonly DataPlace[];
  readonly jsonl?: DataPlace | readonly DataPlace[];
  readonly json?: DataPlace | readonly DataPlace[];
  readonly parquet?: DataPlace | readonly DataPlace[];
  readonly idx?: DataPlace | readonly DataPlace[];
  readonly corpus?: string;
  /** Shares of the data; together at most 1. */
  readonly split: { readonly train: number; readonly val: number; readonly test?: number };
  /** Columns and their types, for tables. */
  readonly schema?: unknown;
  readonly features?: readonly string[];
  readonly target?: string;
  readonly collate?: unknown;
  /** Characters to make, for built-in corpora. */
  readonly length?: number;
}

export type TokenizerConfig = string | { readonly train: "bpe" | "unigram" | "wordpiece"; readonly vocabSize: number };

export interface ModelConfig {
  readonly model_type: string;
  readonly [field: string]: unknown;
}

export interface TrainingOptions {
  /** Optimizer steps. */
  readonly steps: number;
  /** Rows of a micro-batch. */
  readonly batchSize: number;
  /** Tokens of a row. */
  readonly blockSize: number;
  /** Micro-batches whose gradients one step sums. */
  readonly accumulate: number;
  readonly optimizer: "adamw" | "adam" | "sgd" | "muon";
  readonly learningRate: number;
  /** Where the cosine and linear schedules end. */
  readonly minLearningRate: number;
  readonly schedule: "constant" | "linear" | "cosine";
  readonly warmupSteps: number;
  readonly weightDecay: number;
  readonly betas: readonly [number, number];
  readonly eps: number;
  /** Of `sgd` and `muon`. */
  readonly momentum: number;
  /** Largest norm of all gradients together; null does not clip. */
  readonly clipNorm: number | null;
  readonly dropout: number;
  /** Steps between validations; the last step always has one. */
  readonly evalEvery: number;
  /** Share of the validation split that evaluations before the last read. */
  readonly evalFraction: number;
  readonly checkpointEvery: number;
  /** Steps between records in `metrics.jsonl`. */
  readonly logEvery: number;
  /** Steps between samples; 0 writes none. */
  readonly sampleEvery: number;
  readonly sampleTokens: number;
}

/** A config with every default filled in. */
export interface TrainingConfig {
  readonly data: DataConfig;
  /** `"char"`, `"byte"`, a path or URL of a `tokenizer.json`, or what to train. */
  readonly tokenizer: TokenizerConfig;
  readonly model: ModelConfig;
  readonly training: TrainingOptions;
  readonly precision: "float32";
  readonly seed: number;
  readonly device: "auto" | "cpu" | "webgpu" | "reference";
  readonly numerics: "portable" | "fast";
  readonly deterministic: boolean | "warn";
  readonly threads?: number;
  /** Bytes. */
  readonly memoryBudget?: number;
  /** Folder that holds the runs. */
  readonly out: string;
}

/** What callers write: only `data` is required. */
export type TrainingConfigInput = { readonly data: Partial<DataConfig> } & {
  readonly [K in Exclude<keyof TrainingConfig, "data">]?: TrainingConfig[K] extends infer V
    ? V extends readonly unknown[] | string | number | boolean
      ? V
      : Partial<V>
    : never;
};

const place: Schema<DataPlace> = {
  expects: "a path, URL or Blob",
  check(value, at) {
    const isBlob = typeof Blob !== "undefined" && value instanceof Blob;
    return isBlob || value instanceof URL || (typeof value === "string" && value !== "")
      ? (value as DataPlace)
      : refuse(at, "a path, URL or Blob", value);
  },
};

const places: Schema<DataPlace | DataPlace[]> = {
  expects: "a path, URL or Blob, or a list of them",
  check: (value, at) =>
    Array.isArray(value) && value.length > 0 ? list(place).check(value, at) : place.check(value, at),
};

const belowOne = (rule: { default?: number } = {}) => number({ min: 0, max: 1 - 1e-9, ...rule });
const share = (rule: { default?: number } = {}) => number({ min: 0, max: 1, ...rule });

const dataFields = object({
  text: optional(places),
  csv: optional(places),
  jsonl: optional(places),
  json: optional(places),
  parquet: optional(places),
  idx: optional(places),
  corpus: optional(text()),
  split: object({ train: share(), val: share(), test: optional(share()) }, { default: { train: 0.9, val: 0.1 } }),
  schema: optional({ expects: "a schema", check: (value) => value }),
  features: optional(list(text())),
  target: optional(text()),
  collate: optional({ expects: "a collation", check: (value) => value }),
  length: optional(integer({ min: 1 })),
});

const dataSchema: Schema<DataConfig> = {
  expects: `an object with one of ${listOf([...DATA_KINDS], "or")}`,
  check(value, at) {
    const data = dataFields.check(value, at) as DataConfig;
    const kinds = DATA_KINDS.filter((kind) => data[kind] !== undefined);
    if (kinds.length !== 1) refuse(at, `exactly one of ${listOf([...DATA_KINDS], "or")}`, kinds.length ? kinds : value);
    const { train, val, test = 0 } = data.split;
    const split = inside(at, "split");
    if (train === 0) refuse(inside(split, "train"), "a number above 0", train);
    if (train + val + test > 1 + 1e-9) refuse(split, "shares that sum to 1 at most", train + val + test);
    return data;
  },
};

const trainedTokenizer = object({
  train: oneOf(["bpe", "unigram", "wordpiece"]),
  vocabSize: integer({ min: 1, default: 2048 }),
});

const tokenizerSchema: Schema<TokenizerConfig> = {
  expects: '"char", "byte", the place of a tokenizer.json, or { "train": "bpe", "vocabSize": 2048 }',
  default: "char",
  check(value, at) {
    if (typeof value === "string" && value !== "") return value;
    if (typeof value !== "object" || value === null) return refuse(at, tokenizerSchema.expects, value);
    return trainedTokenizer.check(value, at);
  },
};

const gpt2 = object({
  model_type: text(),
  n_layer: integer({ min: 1, default: 4 }),
  n_head: integer({ min: 1, default: 4 }),
  n_embd: integer({ min: 1, default: 128 }),
  n_positions: optional(integer({ min: 1 })),
  n_inner: optional(nullable(integer({ min: 1 }))),
  vocab_size: optional(integer({ min: 1 })),
  activation_function: optional(text()),
  layer_norm_epsilon: optional(number({ above: 0 })),
  initializer_range: optional(number({ above: 0 })),
  tie_word_embeddings: optional(boolean()),
  resid_pdrop: optional(share()),
  embd_pdrop: optional(share()),
  attn_pdrop: optional(share()),
});

/** Models whose fields are checked here; `createModel` checks those of any other. */
const modelSchemas: Record<string, Schema<unknown>> = { gpt2 };

const modelSchema: Schema<ModelConfig> = {
  expects: "an object with model_type",
  default: {},
  check(value, at) {
    const given = plainObject(value, at, modelSchema.expects);
    const type = text({ default: "gpt2" }).check(given.model_type ?? "gpt2", inside(at, "model_type"));
    const config = { ...given, model_type: type };
    return (modelSchemas[type]?.check(config, at) ?? config) as ModelConfig;
  },
};

const trainingSchema = object(
  {
    steps: integer({ min: 1, default: 2000 }),
    batchSize: integer({ min: 1, default: 12 }),
    blockSize: integer({ min: 1, default: 64 }),
    accumulate: integer({ min: 1, default: 1 }),
    optimizer: oneOf(["adamw", "adam", "sgd", "muon"], { default: "adamw" }),
    learningRate: number({ above: 0, default: 1e-3 }),
    minLearningRate: optional(number({ min: 0 })),
    schedule: oneOf(["constant", "linear", "cosine"], { default: "cosine" }),
    warmupSteps: optional(integer({ min: 0 })),
    weightDecay: number({ min: 0, default: 0.1 }),
    betas: list(belowOne(), { length: 2, default: [0.9, 0.99] }) as unknown as Schema<readonly [number, number]>,
    eps: number({ above: 0, default: 1e-8 }),
    momentum: number({ min: 0, max: 1, default: 0.9 }),
    clipNorm: nullable(number({ above: 0, default: 1 })),
    dropout: belowOne({ default: 0 }),
    evalEvery: integer({ min: 1, default: 250 }),
    evalFraction: number({ above: 0, max: 1, default: 0.1 }),
    checkpointEvery: integer({ min: 1, default: 500 }),
    logEvery: integer({ min: 1, default: 1 }),
    sampleEvery: optional(integer({ min: 0 })),
    sampleTokens: integer({ min: 1, default: 200 }),
  },
  { default: {} },
);

const precisionSchema: Schema<"float32"> = {
  expects: '"float32"',
  default: "float32",
  check: (value, at) =>
    value === "float32" ? value : refuse(at, '"float32", the only precision that exists so far', value),
};

const configSchema = object({
  $schema: optional(text()),
  format: optional(oneOf(["tenon-config"])),
  formatVersion: optional(text()),
  data: dataSchema,
  tokenizer: tokenizerSchema,
  model: modelSchema,
  training: trainingSchema,
  precision: precisionSchema,
  seed: integer({ min: 0, default: 1337 }),
  device: oneOf(["auto", "cpu", "webgpu", "reference"], { default: "auto" }),
  numerics: oneOf(["portable", "fast"], { default: "portable" }),
  deterministic: oneOf([true, false, "warn"], { default: "warn" }),
  threads: optional(integer({ min: 1, max: 1024 })),
  memoryBudget: optional(integer({ min: 1 })),
  out: text({ default: "runs" }),
});

/**
 * Checks a config and fills in its defaults; the input is left alone. Throws ConfigError naming `where` (the file),
 * the field, what it needs and what it got; unknown keys are told the nearest known one.
 */
export function resolveConfig(input: unknown, where = "config"): TrainingConfig {
  const { $schema, format, formatVersion, ...config } = check(configSchema, input, where);
  const { training, model } = config;
  const at: Place = { where, path: "training", errorType: ConfigError };
  const { steps, blockSize, learningRate, evalEvery } = training;
  const warmupSteps = training.warmupSteps ?? Math.min(100, Math.floor(steps / 10));
  if (warmupSteps > steps) refuse(inside(at, "warmupSteps"), `at most the ${steps} steps of the run`, warmupSteps);
  const minLearningRate = training.minLearningRate ?? learningRate / 10;
  if (minLearningRate > learningRate) {
    refuse(inside(at, "minLearningRate"), `at most the learning rate ${learningRate}`, minLearningRate);
  }
  return {
    ...config,
    model: model.model_type === "gpt2" ? resolveGpt2(model, blockSize, where) : model,
    training: { ...training, warmupSteps, minLearningRate, sampleEvery: training.sampleEvery ?? evalEvery },
  } as TrainingConfig;
}

function resolveGpt2(model: ModelConfig, blockSize: number, where: string): ModelConfig {
  const at: Place = { where, path: "model", errorType: ConfigError };
  const { n_embd: width, n_head: heads, n_positions: positions = blockSize } = model as Record<string, number>;
  if (width % heads !== 0) refuse(inside(at, "n_embd"), `a multiple of n_head (${heads})`, width);
  if (positions < blockSize) refuse(inside(at, "n_positions"), `at least blockSize (${blockSize})`, positions);
  return { ...model, n_positions: positions };
}

/** Sets one field by its dotted path, for command-line flags: `override(config, "training.steps", 20)`. */
export function override(config: Record<string, unknown>, path: string, value: unknown): Record<string, unknown> {
  const [key, ...rest] = path.split(".");
  if (key === "__proto__") refuseKey(key, [], { where: "override", path: "", errorType: ConfigError });
  if (rest.length === 0) return { ...config, [key]: value };
  const inner = (config[key] ?? {}) as Record<string, unknown>;
  return { ...config, [key]: override(inner, rest.join("."), value) };
}
