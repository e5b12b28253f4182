/** `createModel` and `loadModel`: from a config, or a folder in the Hugging Face layout, to a model. */

import { type FolderLike, openFolder, sourceText } from "../artifacts/sources.js";
import { openWeights } from "../artifacts/weights.js";
import type { Backend, DeviceName } from "../backend/backend.js";
import { openDevice, withDevice } from "../backend/devices.js";
import { requireRoom } from "../backend/storage.js";
import { byteSize } from "../core/dtype.js";
import { ConfigError, FormatError, kindOf, listOf, nearest, show, showShape } from "../core/errors.js";
import { parseJson } from "../core/json.js";
import { checkOptions } from "../core/options.js";
import { Generator } from "../core/random.js";
import { sizeOf } from "../core/shape.js";
import { warnOnce } from "../core/warnings.js";
import { deferInit, initialize } from "../nn/init.js";
import type { StateValue } from "../nn/state.js";
import { builtWhole } from "../tensor/scope.js";
import type { ConvNet } from "./convnet.js";
import { Gpt2 } from "./gpt2.js";
import type { LanguageModel } from "./language-model.js";
import type { Mlp } from "./mlp.js";
import type { Model } from "./model.js";
import { stateValues, type Weights } from "./weights.js";

/** A model family: builds from a config, and knows the quirks of its files, if there are any. */
interface Family {
  new (config: object): Model;
  /** Names of the fields of its config; others are kept and mean nothing. */
  fieldNames(): readonly string[];
  sanitize?<T>(weights: Record<string, T>): Record<string, T>;
}

/** Families that are not for language are loaded when they are asked for. */
const families: Record<string, () => Family | Promise<Family>> = {
  gpt2: () => Gpt2,
  mlp: async () => (await import("./mlp.js")).Mlp,
  convnet: async () => (await import("./convnet.js")).ConvNet,
};

function familyOf(config: object, where: string): () => Family | Promise<Family> {
  const type = (config as { model_type?: unknown }).model_type;
  if (typeof type === "string" && Object.hasOwn(families, type)) return families[type];
  const near = typeof type === "string" ? nearest(type, Object.keys(families)) : undefined;
  throw new ConfigError(`${where}: unknown model_type ${show(type)}.`, {
    where,
    hint: near ? `Did you mean "${near}"?` : `Known are ${listOf(Object.keys(families))}.`,
  });
}

export interface CreateOptions {
  /** Of the initial values, where no weights are given; the default generator's unless given. */
  seed?: number;
  device?: DeviceName;
}

/** A config of one family. */
type ConfigOf<Type extends string> = { readonly model_type: Type; readonly [field: string]: unknown };

/**
 * A model of the family `config.model_type` names, with given or new weights. Families that are not for language have
 * types of their own; where a config is known at run time only, the caller names the type: `createModel<Mlp>(config)`.
 */
export function createModel(config: ConfigOf<"mlp">, weights?: Weights, options?: CreateOptions): Promise<Mlp>;
export function createModel(config: ConfigOf<"convnet">, weights?: Weights, options?: CreateOptions): Promise<ConvNet>;
export function createModel<M extends Model = LanguageModel>(
  config: object,
  weights?: Weights,
  options?: CreateOptions,
): Promise<M>;
export async function createModel(config: object, weights?: Weights, options: CreateOptions = {}): Promise<Model> {
  checkOptions("createModel", options, ["seed", "device"]);
  if (typeof config !== "object" || config === null)
    throw new ConfigError(`createModel: needs a config object, got ${kindOf(config)}.`, {
      where: "createModel",
      hint: 'For example { model_type: "gpt2", n_layer: 2 }.',
    });
  const Family = await familyOf(config, "createModel")();
  warnOfMisspelling(config, ["model_type", ...Family.fieldNames()]);
  return build(Family, config, weights, options);
}

/** Fields that no family knows are kept, since files of other tools have them; in code they are more likely misspelt. */
function warnOfMisspelling(config: object, known: readonly string[]): void {
  for (const name of Object.keys(config)) {
    const near = known.includes(name) ? undefined : nearest(name, known, 2);
    if (near !== undefined)
      warnOnce(
        "unknown-field",
        `createModel: the config's field "${name}" is not known and has no effect. Did you mean "${near}"?`,
        { field: name, nearest: near },
      );
  }
}

async function build(
  Family: Family,
  config: object,
  weights: Weights | undefined,
  { seed, device }: CreateOptions,
  where = "createModel",
): Promise<Model> {
  const backend = await openDevice(device);
  if (weights) requirePlace(weights, backend);
  const model = builtWhole(() => withDevice(device, () => deferInit(() => new Family(config))));
  try {
    if (weights) fill(model, Family.sanitize?.(weights as Record<string, StateValue>) ?? weights, where);
    else
      initialize(model, { rule: model.initialRule, ...(seed === undefined ? {} : { generator: new Generator(seed) }) });
    await model.warmUp();
    return model;
  } catch (error) {
    model.dispose();
    throw error;
  }
}

/** A weight that the device cannot hold is refused by its name, before anything is uploaded. */
function requirePlace(weights: Weights, backend: Backend): void {
  for (const [name, value] of Object.entries(weights)) {
    const { shape = [] } = Object(value) as { shape?: readonly number[] };
    requireRoom(backend, byteSize("float32", sizeOf(shape)), () => `${name} ${showShape(shape)}`);
  }
}

/** Copies values of files or tensors into a model; every name must be known and none missing. */
function fill(model: Model, weights: Weights, where: string): void {
  const known = Object.fromEntries(Object.entries(weights).filter(([name]) => !isTiedHead(model, name)));
  model.loadStateDict(stateValues(known), { where });
}

/** Some files hold the tied output embedding a second time. */
const isTiedHead = (model: Model, name: string): boolean =>
  name === "lm_head.weight" && model.config.tie_word_embeddings === true;

export interface LoadOptions {
  device?: DeviceName;
}

/**
 * Loads config.json, the weights, and the tokenizer where there is one, from a path, a URL or files by name. The type is
 * a language model's unless told: `loadModel<Mlp>(folder)`.
 */
export async function loadModel<M extends Model = LanguageModel>(
  source: FolderLike,
  options: LoadOptions = {},
): Promise<M> {
  checkOptions("loadModel", options, ["device"]);
  const { device } = options;
  const folder = openFolder(source);
  const text = async (name: string): Promise<string | undefined> => {
    const file = await folder.find(name);
    return file && sourceText(file);
  };
  const json = async (name: string): Promise<Record<string, unknown> | undefined> => {
    const content = await text(name);
    if (content === undefined) return undefined;
    const where = `${folder.name}/${name}`;
    const value = parseJson(content, { where, maxDepth: 100 });
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
    throw new FormatError(`${where}: a JSON object expected.`, { where });
  };
  const config = await json("config.json");
  if (!config) {
    throw new FormatError(`${folder.name}: config.json expected, found none.`, {
      where: folder.name,
      hint: "Give the folder of a checkpoint in the Hugging Face layout.",
    });
  }
  const family = familyOf(config, `${folder.name}/config.json`);
  const reader = await openWeights(folder);
  const weights: Record<string, StateValue> = {};
  try {
    for (const name of reader.entries.keys()) weights[name] = (await reader.read(name)) as unknown as StateValue;
  } finally {
    await reader.close();
  }
  const model = (await build(await family(), config, weights, { device }, folder.name)) as M;
  try {
    await model.readFiles({ name: folder.name, json, text });
  } catch (error) {
    model.dispose();
    throw error;
  }
  return model.eval();
}
