/** What all language models share: loss, training steps, generation, saving. A family adds its layers. */

import type { DeviceName } from "../backend/backend.js";
import { breathe } from "../core/breathe.js";
import { ConfigError, kindOf, ShapeError, show, showShape } from "../core/errors.js";
import { checkOptions } from "../core/options.js";
import type { InitialRule } from "../nn/index.js";
import { rehearse } from "../nn/rehearse.js";
import { linear, linearCrossEntropy, narrow, reshape, select, stack } from "../ops/index.js";
import type { AdamW, Optimizer } from "../optim/index.js";
import { tidy } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { loadTokenizer, type Tokenizer, type TokenizerDefinition } from "../tokenizers/index.js";
import type { KeyValueCache } from "./cache.js";
import { generate, prepareGeneration, type StreamedToken, stream } from "./generation.js";
import type { GenerateOptions } from "./generation-options.js";
import type { Generation } from "./generation-row.js";
import { readIds, type TokenIds } from "./ids.js";
import { type JsonReader, jsonFile, Model } from "./model.js";
import type { Prompt } from "./prompt.js";

/** Rows of ids, and labels of the same shape (-100: ignored) where they differ from the ids. */
export interface Batch {
  ids: TokenIds;
  labels?: TokenIds;
  /** [B, T] of flat arrays. */
  shape?: readonly number[];
}

/** How a training step is made. */
export interface TrainStepOptions {
  /** One AdamW that the model keeps, unless given. */
  optimizer?: Optimizer<{ lr: number }>;
  /** Sets the optimizer's learning rate for this step. */
  learningRate?: number;
  /** Largest norm of all gradients together; gradients are not clipped unless given. */
  clipNorm?: number;
  /** Of the AdamW that the model makes at its first step. */
  weightDecay?: number;
  betas?: readonly [number, number];
  eps?: number;
}

/** What a training step tells. */
export interface StepResult {
  /** Mean loss in nats per label that counts; NaN where none does. */
  loss: number;
  /** Norm of all gradients together, before clipping. */
  gradNorm: number;
}

const stepOptionNames = ["optimizer", "learningRate", "clipNorm", "weightDecay", "betas", "eps"];

/** Refuses what would spoil the weights, or be ignored, before anything is computed. */
function checkStep(batch: Batch, options: TrainStepOptions): void {
  const refuse = (expected: string, got: unknown): never => {
    throw new ConfigError(`trainStep: needs ${expected}, got ${show(got)}.`, { where: "trainStep" });
  };
  checkOptions("trainStep", options, stepOptionNames);
  if (typeof batch !== "object" || batch === null || batch.ids === undefined) {
    throw new ConfigError(`trainStep: needs a batch { ids, labels? }, got ${kindOf(batch)}.`, {
      where: "trainStep",
      hint: "For example trainStep({ ids: [[1, 2, 3]] }).",
    });
  }
  checkOptions("trainStep: batch", batch, ["ids", "labels", "shape"]);
  const { optimizer, learningRate = 0, clipNorm = 1 } = options;
  if (!(Number.isFinite(learningRate) && learningRate >= 0))
    refuse("a finite number from 0 up for learningRate", learningRate);
  if (!(typeof clipNorm === "number" && clipNorm > 0)) refuse("a number above 0 for clipNorm", clipNorm);
  if (optimizer !== undefined && typeof optimizer?.step !== "function")
    refuse("an optimizer of tenon/optim for optimizer", optimizer);
}

/** A model of token ids: logits, loss, training steps, generation, saving. */
export abstract class LanguageModel extends Model {
  /** Most positions of one forward pass. */
  abstract get contextLength(): number;
  abstract get vocabSize(): number;
  /** Layers and columns of a key-value cache. */
  abstract get cacheShape(): { layers: number; width: number };
  abstract override get initialRule(): InitialRule;
  /** Rows of the output embedding [V, C]. */
  abstract get head(): Tensor;
  /** The last hidden states [B, T, C]; with a cache, `ids` follow what it holds. */
  abstract hidden(ids: Tensor, cache?: KeyValueCache): Tensor;

  /** Encodes prompts and decodes what is generated; without one, prompts are token ids. */
  declare tokenizer?: Tokenizer;
  /** Fields of generation_config.json. */
  declare generationConfig?: Record<string, unknown>;
  declare private ownOptimizer?: Optimizer<{ lr: number }>;
  /** Has the device prepared for training steps? */
  declare private preparedToTrain: boolean;

  constructor() {
    super();
    const hidden = { value: undefined, writable: true, configurable: true, enumerable: false };
    Object.defineProperties(this, {
      tokenizer: { ...hidden },
      generationConfig: { ...hidden },
      ownOptimizer: { ...hidden },
      preparedToTrain: { ...hidden, value: false },
    });
  }

  override get device(): DeviceName {
    return this.head.device;
  }

  /** Logits [B, T, V] of ids [B, T]. */
  forward(ids: TokenIds): Tensor {
    const input = this.ids("forward", ids);
    return linear(this.hidden(input), this.head);
  }

  /** Logits [B, V] of the position after the last of `ids`, which follow what the cache holds. */
  nextLogits(ids: Tensor, cache: KeyValueCache): Tensor {
    const states = this.hidden(ids, cache);
    cache.length += ids.shape[1];
    return linear(select(states, 1, ids.shape[1] - 1), this.head);
  }

  /**
   * Cross-entropy in nats of each token given those before it: labels [B, T] (the ids themselves unless given) are
   * shifted inside, so that T ids give T - 1 terms; -100 is ignored. The mean over labels that count, or their sum.
   */
  loss(
    ids: TokenIds,
    labels: TokenIds | undefined = ids,
    options: { reduction?: "mean" | "sum"; shape?: readonly number[] } = {},
  ): Tensor {
    checkOptions("loss", options, ["reduction", "shape"]);
    const { reduction = "mean", shape } = options;
    const input = this.ids("loss", ids, { maxLength: this.contextLength + 1, shape });
    const target =
      labels === ids
        ? input
        : this.ids("loss", labels, { ignoreIndex: -100, maxLength: this.contextLength + 1, shape });
    const [B, T] = input.shape;
    if (target.shape[0] !== B || target.shape[1] !== T) {
      throw new ShapeError(
        `loss: needs labels of the shape of the ids, got ${showShape(target.shape)} and ${showShape(input.shape)}.`,
        { where: "loss" },
      );
    }
    if (T < 2)
      throw new ShapeError(`loss: needs at least 2 tokens in a row, got ${T}.`, {
        where: "loss",
        hint: "Each token is predicted from those before it.",
      });
    const states = this.hidden(narrow(input, 1, 0, T - 1)); // (B, T - 1, C)
    const next = reshape(narrow(target, 1, 1, T - 1), [-1]); // (B * (T - 1))
    return linearCrossEntropy(reshape(states, [B * (T - 1), -1]), this.head, next, { reduction });
  }

  /** One optimizer step on a batch: forward, backward, clipping, update. */
  async trainStep(batch: Batch, options: TrainStepOptions = {}): Promise<StepResult> {
    checkStep(batch, options);
    const { learningRate, clipNorm } = options;
    // Loaded here, so that a page that only generates does not carry the optimizers.
    const [{ clipCoefficient, gradNorm }, { checkOwner }] = await Promise.all([
      import("../optim/index.js"),
      import("../optim/owner.js"),
    ]);
    if (options.optimizer) checkOwner("trainStep", this, options.optimizer);
    const optimizer = options.optimizer ?? (this.ownOptimizer ??= await this.makeOptimizer(options));
    if (learningRate !== undefined) optimizer.lr = learningRate;
    this.train();
    const gradients = () => {
      const loss = this.loss(batch.ids, batch.labels, { shape: batch.shape });
      loss.backward();
      const norm = gradNorm(this.parameters());
      return { loss, norm, scale: clipNorm === undefined ? undefined : clipCoefficient(norm, clipNorm) };
    };
    if (!this.preparedToTrain) await rehearse(this, gradients);
    this.preparedToTrain = true;
    const figures = tidy(() => {
      this.zeroGrad();
      const { loss, norm, scale } = gradients();
      optimizer.step(undefined, { scale });
      return stack([loss.detach(), norm]);
    });
    const [loss, norm] = await figures.data(); // the one time that the step waits for the device
    figures.dispose();
    await breathe(); // on the CPU nothing else lets others have their turn
    return { loss, gradNorm: norm };
  }

  private async makeOptimizer({
    weightDecay = 0.01,
    betas = [0.9, 0.999],
    eps = 1e-8,
  }: TrainStepOptions): Promise<AdamW> {
    const { AdamW } = await import("../optim/index.js");
    return new AdamW(this.namedParameters(), { weightDecay, betas, eps });
  }

  /** Frees parameters, gradients, and the state of the AdamW that the model keeps. */
  override dispose(): void {
    this.ownOptimizer?.dispose();
    super.dispose();
  }

  override warmUp(): Promise<void> {
    return prepareGeneration(this);
  }

  /** Text (or ids) that follows a prompt; an array of prompts gives an array of results. */
  generate(prompt: Prompt, options?: GenerateOptions): Promise<Generation>;
  generate(prompt: readonly Prompt[], options?: GenerateOptions): Promise<Generation[]>;
  generate(prompt: Prompt | readonly Prompt[], options?: GenerateOptions): Promise<Generation | Generation[]> {
    return generate(this, prompt, options);
  }

  /** The tokens of one generation as they are made. */
  stream(prompt: Prompt, options?: GenerateOptions): AsyncIterable<StreamedToken> {
    return stream(this, prompt, options);
  }

  override get tokenizerHash(): string | null {
    return this.tokenizer?.hash ?? null;
  }

  /** config.json, generation_config.json, and the tokenizer's two files where there are such. */
  override files(): Record<string, string> {
    const { config, generationConfig, tokenizer } = this;
    const { config: tokenizerConfig } = tokenizer?.extras ?? {};
    const tokens = { bos_token_id: config.bos_token_id ?? null, eos_token_id: config.eos_token_id ?? null };
    return {
      ...super.files(),
      "generation_config.json": jsonFile(generationConfig ?? { _from_model_config: true, ...tokens }),
      ...(tokenizer ? { "tokenizer.json": jsonFile(tokenizer.toJSON()) } : {}),
      ...(tokenizerConfig ? { "tokenizer_config.json": jsonFile(tokenizerConfig) } : {}),
    };
  }

  override async readFiles(read: JsonReader): Promise<void> {
    const tokenizer = await read("tokenizer.json");
    if (tokenizer) {
      const config = await read("tokenizer_config.json");
      this.tokenizer = await loadTokenizer(tokenizer as unknown as TokenizerDefinition, { config });
    }
    this.generationConfig = await read("generation_config.json");
  }

  private ids(
    where: string,
    ids: TokenIds,
    rules: { maxLength?: number; ignoreIndex?: number; shape?: readonly number[] } = {},
  ): Tensor {
    return readIds(ids, {
      where,
      vocabSize: this.vocabSize,
      device: this.device,
      maxLength: this.contextLength,
      ...rules,
    });
  }
}
