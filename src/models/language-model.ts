/** What all language models share: loss, training steps, generation, saving. A family adds its layers. */

import type { DeviceName } from "../backend/backend.js";
import { ShapeError, showShape } from "../core/errors.js";
import { checkOptions } from "../core/options.js";
import type { InitialRule, Module } from "../nn/index.js";
import { linear, linearCrossEntropy, narrow, reshape, select, squeeze } from "../ops/index.js";
import type { Tensor } from "../tensor/tensor.js";
import { loadTokenizer, type Tokenizer, type TokenizerSource } from "../tokenizers/index.js";
import type { KeyValueCache } from "./cache.js";
import { field, readField } from "./config.js";
import { generate, prepareGeneration, type StreamedToken, stream } from "./generation.js";
import type { GenerateOptions } from "./generation-options.js";
import type { Generation } from "./generation-row.js";
import { readIds, type TokenIds } from "./ids.js";
import { type FolderReader, jsonFile, Model } from "./model.js";
import type { Prompt } from "./prompt.js";
import type { Batch, StepResult, Trainer, TrainStepOptions } from "./trainer.js";

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
  /**
   * Do these modules of the model compute and nothing else? Then tokens and training steps may be repeated without
   * calling them. Modules of users may look at what passes, or count.
   */
  computesOnly(_modules: readonly Module[]): boolean {
    return false;
  }

  /** The last hidden states [B, T, C]; with a cache, `ids` follow what it holds. */
  abstract hidden(ids: Tensor, cache?: KeyValueCache): Tensor;

  /** Encodes prompts and decodes what is generated; without one, prompts are token ids. */
  declare tokenizer?: Tokenizer;
  /** Fields of generation_config.json. */
  declare generationConfig?: Record<string, unknown>;
  declare private trainer?: Trainer;
  declare private companions: Set<{ dispose(): void }>;

  constructor() {
    super();
    const hidden = { value: undefined, writable: true, configurable: true, enumerable: false };
    Object.defineProperties(this, {
      tokenizer: { ...hidden },
      generationConfig: { ...hidden },
      trainer: { ...hidden },
      companions: { ...hidden, value: new Set() },
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
    cache.grow(ids.shape[1]);
    // A single row is its own last, without a copy.
    const [, length] = ids.shape;
    return linear(length === 1 ? squeeze(states, 1) : select(states, 1, length - 1), this.head);
  }

  /**
   * Cross-entropy in nats of each token given those before it: labels [B, T] (the ids themselves unless given) are
   * shifted inside, so that T ids give T - 1 terms; -100 is ignored. The mean over labels that count, or their sum. A
   * batch of `trainStep` stands for its parts.
   */
  loss(
    given: TokenIds | Batch,
    givenLabels?: TokenIds,
    options: { reduction?: "mean" | "sum"; shape?: readonly number[] } = {},
  ): Tensor {
    checkOptions("loss", options, ["reduction", "shape"]);
    const { reduction = "mean" } = options;
    const batch = isBatch(given) ? given : { ids: given, labels: givenLabels, shape: options.shape };
    const { ids, labels = ids, shape } = batch;
    const [input, target = input] = this.lossInputs(ids, labels, shape);
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

  /** What `loss` reads, as tensors [B, T]: ids, and labels where they differ. */
  lossInputs(ids: TokenIds, labels: TokenIds | undefined = ids, shape?: readonly number[]): Tensor[] {
    const maxLength = this.contextLength + 1;
    const input = this.ids("loss", ids, { maxLength, shape });
    return labels === ids ? [input] : [input, this.ids("loss", labels, { ignoreIndex: -100, maxLength, shape })];
  }

  /** One optimizer step on a batch: forward, backward, clipping, update. */
  async trainStep(batch: Batch, options: TrainStepOptions = {}): Promise<StepResult> {
    // Loaded here, so that a page that only generates does not carry it.
    const { Trainer } = await import("./trainer.js");
    this.trainer ??= new Trainer(this);
    return this.trainer.step(batch, options);
  }

  /** Something that goes when the model does. */
  disposeWith(companion: { dispose(): void }): void {
    this.companions.add(companion);
  }

  /** Frees parameters, gradients, and what training keeps beside them: the state of the model's own AdamW above all. */
  override dispose(): void {
    for (const companion of this.companions) companion.dispose();
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
  stream(prompt: Prompt, options?: GenerateOptions): AsyncGenerator<StreamedToken, Generation, undefined> {
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

  override async readFiles(folder: FolderReader): Promise<void> {
    let source = (await folder.json("tokenizer.json")) as TokenizerSource | undefined;
    const vocab = source ? undefined : await folder.json("vocab.json"); // of GPT-2's older folders
    const merges = vocab && (await folder.text("merges.txt"));
    if (merges !== undefined) source = { vocab: vocab as Record<string, number>, merges };
    if (source) this.tokenizer = await loadTokenizer(source, { config: await folder.json("tokenizer_config.json") });
    const file = "generation_config.json";
    const config = await folder.json(file);
    // The one field of it that `generate` reads; the others are kept for who reads the file next.
    readField(`${folder.name}/${file}`, "eos_token_id", field.optionalToken(), config?.eos_token_id);
    this.generationConfig = config;
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

const isBatch = (given: TokenIds | Batch): given is Batch => Object.getPrototypeOf(Object(given)) === Object.prototype;
