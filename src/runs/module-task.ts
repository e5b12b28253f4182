/** Training in code: any module with a `loss(batch)`, or bare tensors and a loss function, on any batches. */

import { ConfigError, kindOf } from "../core/errors.js";
import { canonicalJson } from "../core/json.js";
import { checkOptions } from "../core/options.js";
import { sha256Hex } from "../core/sha256.js";
import type { BatchSource, Json } from "../data/batch-source.js";
import { stateNumber } from "../data/token-blocks.js";
import { Model } from "../models/model.js";
import { Module } from "../nn/index.js";
import { mul } from "../ops/index.js";
import { keep } from "../tensor/scope.js";
import { Parameter, Tensor } from "../tensor/tensor.js";
import { settingNames } from "./config.js";
import type { CodeConfig } from "./options.js";
import { type Evaluation, type MicroBatch, Repeated, type Task } from "./task.js";

/** Batches of any kind: a source with a cursor, or anything that can be iterated (again and again). */
export type AnyBatches<B> = BatchSource<B> | Iterable<B> | AsyncIterable<B>;

/** What `train` takes in code besides the fields of a config. */
export interface CodeTask<B = any> {
  /** A module whose `loss(batch)` gives the mean loss of a batch. */
  model?: Module & { loss(batch: B): Tensor };
  /** Without a module: the tensors to train (which require gradients), by name or in a list … */
  parameters?: Readonly<Record<string, Tensor>> | readonly Tensor[];
  /** … and the mean loss of a batch. */
  loss?: (batch: B) => Tensor;
  /** Or a whole step of your own, update included; returns its loss. */
  step?: (batch: B) => number | Tensor | Promise<number | Tensor>;
  batches: AnyBatches<B>;
  /** Mean loss on data that is not trained on. */
  evaluate?: () => number | Promise<number>;
  /**
   * Names the code for the run's identity. Without it the git commit does, where there is one and nothing was changed
   * since; else the run's ID says that it is provisional.
   */
  codeVersion?: string;
  /** Names what an iterable of batches gives; without it the run's ID is provisional (sources know their content). */
  dataVersion?: string;
}

/** Names that only training in code has. */
const CODE_NAMES = ["parameters", "loss", "step", "batches", "evaluate", "codeVersion", "dataVersion", "optimizer"];

/** Is it a task in code, and not the JSON of a config? */
export const isCode = (config: object | null | undefined): config is CodeConfig =>
  typeof config === "object" &&
  config !== null &&
  !("data" in config) &&
  ((config as CodeConfig).model instanceof Module || CODE_NAMES.some((name) => name in config));

/** Bare tensors as a module. */
class Parameters extends Module {
  constructor(
    tensors: Readonly<Record<string, Tensor>>,
    private readonly compute: (batch: unknown) => Tensor,
  ) {
    super();
    for (const [name, tensor] of Object.entries(tensors)) {
      if (!(tensor instanceof Tensor))
        throw new ConfigError(`train: needs tensors as parameters, got ${kindOf(tensor)} for "${name}".`, {
          where: "train",
          hint: "For example parameters: { weight: zeros([2, 1], { requiresGrad: true }) }.",
        });
      if (name in this)
        throw new ConfigError(`train: needs names of parameters that no module has itself, got "${name}".`, {
          where: "train",
          hint: `Call it "${name}_" or the like.`,
        });
      if (!tensor.requiresGrad)
        throw new ConfigError(`train: needs parameters that require gradients, "${name}" does not.`, {
          where: "train",
          hint: "Make it with { requiresGrad: true }.",
        });
      // A bare tensor is trained in place: it counts as a parameter from here on.
      Object.setPrototypeOf(tensor, Parameter.prototype);
      (this as Record<string, unknown>)[name] = keep(tensor);
    }
    Object.defineProperty(this, "compute", { value: compute, enumerable: false });
  }

  forward(batch: unknown): Tensor {
    return this.compute(batch);
  }

  loss(batch: unknown): Tensor {
    return this.compute(batch);
  }
}

/** Counts what was taken, so that an iterable can go on where it stood: it is begun anew and the first n are passed over. */
class IterableSource<B> implements BatchSource<B> {
  private taken = 0;
  private iterator: Iterator<B> | AsyncIterator<B> | undefined;

  constructor(
    private readonly batches: Iterable<B> | AsyncIterable<B>,
    private readonly version: string | undefined,
  ) {}

  private open(): Iterator<B> | AsyncIterator<B> {
    const { batches } = this;
    return Symbol.asyncIterator in batches ? batches[Symbol.asyncIterator]() : batches[Symbol.iterator]();
  }

  async next(): Promise<B | null> {
    if (!this.iterator) {
      this.iterator = this.open();
      for (let i = 0; i < this.taken; i++) await this.iterator.next();
    }
    const { value, done } = await this.iterator.next();
    if (done) return null;
    this.taken++;
    return value;
  }

  /** A generator that is left in the middle gets to its `finally`. */
  async close(): Promise<void> {
    const { iterator } = this;
    this.iterator = undefined;
    await iterator?.return?.();
  }

  state(): Json {
    return { taken: this.taken };
  }

  restore(state: Json): void {
    this.taken = stateNumber(state, "taken", "train");
    this.iterator = undefined;
  }

  /** What an iterable will give is not known before it has; its author vouches for it. */
  async fingerprint(): Promise<string> {
    return sha256Hex(canonicalJson({ iterable: this.version ?? "unverified" }));
  }
}

export class ModuleTask implements Task {
  readonly unit = "rows";
  readonly model: Module & { loss(batch: unknown): Tensor };
  readonly source: Repeated<unknown>;
  readonly evaluate?: (whole: boolean) => Promise<Evaluation>;
  readonly step?: NonNullable<Task["step"]>;
  /** Why the run's ID does not cover its batches, where it does not. */
  readonly provisional?: string;

  constructor(config: CodeConfig) {
    checkOptions("train", config, ["model", ...CODE_NAMES, ...settingNames]);
    const { model, parameters, loss, step, batches, evaluate, dataVersion } = config;
    for (const [one, other] of [
      ["model", "parameters"],
      ["model", "loss"],
      ["step", "loss"],
    ] as const) {
      if (config[one] === undefined || config[other] === undefined) continue;
      throw new ConfigError(`train: needs ${one} or ${other}, got both.`, {
        where: "train",
        hint:
          one === "model"
            ? "A model brings its parameters and its own loss(batch); for another loss give its parameters, or step(batch)."
            : "A step of your own computes its loss.",
      });
    }
    for (const name of ["loss", "step", "evaluate"] as const) {
      if (config[name] !== undefined && typeof config[name] !== "function")
        throw new ConfigError(`train: needs a function for ${name}, got ${kindOf(config[name])}.`, { where: "train" });
    }
    if (model) this.model = model;
    else if (parameters && (loss || step)) {
      if (typeof parameters !== "object")
        throw new ConfigError(`train: needs parameters by name or in a list, got ${kindOf(parameters)}.`, {
          where: "train",
        });
      const named = Array.isArray(parameters)
        ? Object.fromEntries(parameters.map((tensor: Tensor, i: number) => [`p${i}`, tensor]))
        : parameters;
      this.model = new Parameters(named as Record<string, Tensor>, loss ?? noLoss);
    } else {
      throw new ConfigError("train: needs a model with loss(batch), or parameters with loss(batch) or step(batch).", {
        where: "train",
      });
    }
    if (step) this.step = () => this.ownStep(step);
    else if (typeof this.model.loss !== "function")
      throw new ConfigError("train: needs a model with a method loss(batch).", { where: "train" });
    if (!isIterable(batches) && typeof Object(batches).next !== "function")
      throw new ConfigError(`train: needs batches, which can be iterated again and again, got ${kindOf(batches)}.`, {
        where: "train",
        hint: "For example train({ parameters, loss, batches: [[x, y]] }).",
      });
    const known = "next" in batches && "restore" in batches;
    const lacking = known && ["next", "state", "restore", "fingerprint"].find((name) => !isMethod(batches, name));
    if (lacking)
      throw new ConfigError(`train: needs batches with ${lacking}(), as they have restore, got none.`, {
        where: "train",
        hint: "A source has next, state, restore and fingerprint (BatchSource); anything else can be an iterable.",
      });
    this.source = new Repeated(
      known ? (batches as BatchSource<unknown>) : new IterableSource(batches as Iterable<unknown>, dataVersion),
    );
    if (!known && dataVersion === undefined)
      this.provisional = "the batches of the run come from an iterable, whose content has no name (dataVersion)";
    if (evaluate) this.evaluate = async () => ({ loss: numberOf(await evaluate(), "evaluate()") });
  }

  async next(): Promise<MicroBatch | null> {
    const batch = await this.source.next();
    if (batch === null) return null;
    const rows = rowsOf(batch);
    const lossSum = () => {
      const loss = this.model.loss(batch);
      if (loss instanceof Tensor) return mul(loss, rows);
      throw new ConfigError(`train: needs a tensor from loss(batch), got ${kindOf(loss)}.`, {
        where: "train",
        hint: "loss(batch) is synchronous: read files and values where the batches are made, or write step(batch).",
      });
    };
    return { lossSum, count: rows, tokens: rows };
  }

  private async ownStep(step: NonNullable<CodeTask["step"]>): Promise<{ loss: number; tokens: number } | null> {
    const batch = await this.source.next();
    if (batch === null) return null;
    const loss = await step(batch);
    const value = loss instanceof Tensor ? Number(await loss.item()) : loss;
    return { loss: numberOf(value, "step(batch)"), tokens: rowsOf(batch) };
  }

  files(): Record<string, string> {
    return this.model instanceof Model ? this.model.files() : {};
  }
}

function numberOf(value: unknown, of: string): number {
  if (typeof value === "number") return value;
  throw new ConfigError(`train: needs a number from ${of}, the loss, got ${kindOf(value)}.`, { where: "train" });
}

const isMethod = (object: object, name: string): boolean =>
  typeof (object as Record<string, unknown>)[name] === "function";

const isIterable = (value: unknown): boolean =>
  typeof value === "object" && value !== null && (Symbol.iterator in value || Symbol.asyncIterator in value);

const noLoss = (): never => {
  throw new ConfigError("train: has a step(batch) of its own and no loss(batch).", { where: "train" });
};

/** Rows of a batch: the first size of its first tensor or array; 1 where there is none. */
function rowsOf(batch: unknown): number {
  if (batch instanceof Tensor) return batch.shape[0] ?? 1;
  if (Array.isArray(batch) || ArrayBuffer.isView(batch)) {
    const first = (batch as ArrayLike<unknown>)[0];
    return first instanceof Tensor ? (first.shape[0] ?? 1) : Math.max(1, (batch as ArrayLike<unknown>).length);
  }
  if (typeof batch === "object" && batch !== null) {
    const { shape } = batch as { shape?: unknown };
    if (Array.isArray(shape)) return shape[0] ?? 1; // of flat ids
    const [first] = Object.values(batch);
    if (first instanceof Tensor) return first.shape[0] ?? 1;
    if (Array.isArray(first)) return Math.max(1, first.length);
  }
  return 1;
}
