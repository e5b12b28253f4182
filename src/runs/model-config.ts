/** The model section of a training config: the fields of the models that Tenon brings, read in the light of the data. */

import {
  boolean,
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
  type Schema,
  text,
} from "../artifacts/schema.js";
import { ConfigError, listOf, nearest } from "../core/errors.js";
import { activationNames } from "../models/config.js";
import { type DataConfig, dataKindOf, isTable } from "./data-config.js";

export interface ModelConfig {
  readonly model_type: string;
  readonly [field: string]: unknown;
}

/** A probability below 1. */
export const belowOne = (rule: { default?: number } = {}) => number({ min: 0, max: 1 - 1e-9, ...rule });

/** No more than models/gpt2.ts takes, so that it is refused here, before data are read. */
const gpt2 = object({
  model_type: text(),
  n_layer: integer({ min: 1, max: 10_000, default: 4 }),
  n_head: integer({ min: 1, default: 4 }),
  n_embd: integer({ min: 1, default: 128 }),
  n_positions: optional(integer({ min: 1 })),
  n_inner: optional(nullable(integer({ min: 1 }))),
  vocab_size: optional(integer({ min: 1 })),
  activation_function: optional(oneOf(["gelu_new", "gelu", "relu"])),
  layer_norm_epsilon: optional(number({ above: 0 })),
  initializer_range: optional(number({ above: 0 })),
  tie_word_embeddings: optional(boolean()),
  resid_pdrop: optional(belowOne()),
  embd_pdrop: optional(belowOne()),
  attn_pdrop: optional(belowOne()),
});

const sizes = () => optional(list(integer({ min: 1 })));
const hidden = {
  model_type: text(),
  hidden_sizes: sizes(),
  activation: optional(oneOf(activationNames)),
  dropout: optional(belowOne()),
};

const mlp = object(hidden);
const convnet = object({
  ...hidden,
  image_shape: optional(list(integer({ min: 1 }), { length: 3 })),
  channels: sizes(),
  kernel_size: optional(integer({ min: 1 })),
});

/** What a run of text says of its model. */
export interface RunOfText {
  readonly vocabSize: number | undefined;
  readonly endOfText: number | null | undefined;
  readonly blockSize: number;
  readonly dropout: number;
}

interface ModelKind {
  readonly schema: Schema<unknown>;
  readonly learnsTables: boolean;
  /** Checks what depends on more than one field, and fills in what the context decides. */
  resolve?(model: ModelConfig, blockSize: number, at: Place): ModelConfig;
  /** What the run says, in the family's words; what the section says goes before it. */
  ofRun?(run: RunOfText): Record<string, unknown>;
}

/** The models that a config may name: each of those that `createModel` knows. */
const models: Record<string, ModelKind> = {
  gpt2: { schema: gpt2, learnsTables: false, resolve: resolveGpt2, ofRun: gpt2OfRun },
  mlp: { schema: mlp, learnsTables: true },
  convnet: { schema: convnet, learnsTables: true },
};

export const modelSchema: Schema<ModelConfig> = {
  expects: "an object with model_type",
  default: {},
  check: (value, at) => plainObject(value, at, modelSchema.expects) as ModelConfig,
};

/** Checks the section: language models learn from text, others from tables. */
export function resolveModel(given: ModelConfig, data: DataConfig, blockSize: number, where: string): ModelConfig {
  const at: Place = { where, path: "model", errorType: ConfigError };
  const table = isTable(data);
  const type = text().check(given.model_type ?? (table ? "mlp" : "gpt2"), inside(at, "model_type"));
  const fitting = Object.keys(models).filter((name) => models[name].learnsTables === table);
  if (!fitting.includes(type)) {
    const near = nearest(type, fitting);
    const hint = near && `Did you mean "${near}"?`;
    refuse(inside(at, "model_type"), `${listOf(fitting, "or")}, as the data are ${dataKindOf(data)}`, type, hint);
  }
  const { schema, resolve } = models[type];
  const checked = schema.check({ ...given, model_type: type }, at) as ModelConfig;
  return resolve?.(checked, blockSize, at) ?? checked;
}

/** The config of a language model that a run of text trains. */
export const languageModelConfig = (model: ModelConfig, run: RunOfText): ModelConfig => ({
  ...models[model.model_type].ofRun?.(run),
  ...model,
});

function gpt2OfRun({ vocabSize, endOfText, blockSize, dropout }: RunOfText) {
  return {
    vocab_size: vocabSize,
    n_positions: blockSize,
    bos_token_id: null,
    eos_token_id: endOfText ?? null,
    embd_pdrop: dropout,
    attn_pdrop: dropout,
    resid_pdrop: dropout,
  };
}

function resolveGpt2(model: ModelConfig, blockSize: number, at: Place): ModelConfig {
  const { n_embd: width, n_head: heads, n_positions: positions = blockSize } = model as Record<string, number>;
  if (width % heads !== 0) refuse(inside(at, "n_embd"), `a multiple of n_head (${heads})`, width);
  if (positions < blockSize) refuse(inside(at, "n_positions"), `at least blockSize (${blockSize})`, positions);
  return { ...model, n_positions: positions };
}
