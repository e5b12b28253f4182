/** A language model on text, from a config: data, tokenizer, model, batches. */

import { refuse } from "../artifacts/schema.js";
import type { DeviceName } from "../backend/backend.js";
import { ConfigError } from "../core/errors.js";
import type { Generator } from "../core/random.js";
import type { BatchSource, TokenBatch } from "../data/batch-source.js";
import { BatchGradients } from "../models/batch-gradients.js";
import { createModel, type LanguageModel } from "../models/index.js";
import { setGenerator } from "../nn/index.js";
import type { TrainingConfig } from "./config.js";
import { type LanguageData, openLanguageData } from "./language-data.js";
import { meanLoss } from "./loop.js";
import { languageModelConfig } from "./model-config.js";
import type { Evaluation, MicroBatch, Setup, Task } from "./task.js";

/** Everything a config names, loaded and checked. */
export async function languageSetup(config: TrainingConfig, generator: Generator, device: DeviceName): Promise<Setup> {
  const data = await openLanguageData(config);
  const { tokenizer, endOfText } = data;
  const { blockSize, dropout } = config.training;
  const { vocab_size: vocabulary } = config.model as { vocab_size?: number };
  if (tokenizer && vocabulary !== undefined && vocabulary < tokenizer.idBound) {
    await data.close?.();
    const at = { where: "config", path: "model.vocab_size", errorType: ConfigError };
    const expects = `at least the ${tokenizer.idBound} ids of the tokenizer`;
    refuse(at, expects, vocabulary, "Leave it out: the tokenizer says it.");
  }
  const modelConfig = languageModelConfig(config.model, {
    vocabSize: tokenizer?.idBound,
    endOfText,
    blockSize,
    dropout,
  });
  const model = await createModel(modelConfig, undefined, { seed: config.seed, device }).catch(async (error) => {
    await data.close?.();
    throw error;
  });
  if (tokenizer) model.tokenizer = tokenizer;
  setGenerator(model, generator);
  const task = new LanguageTask(model, data, config);
  return {
    task,
    fingerprint: data.fingerprint,
    sources: data.sources,
    tokenizerHash: tokenizer?.hash ?? null,
    hashed: { dataHash: data.hash },
    close: async () => {
      task.gradients.dispose();
      await data.close?.();
    },
  };
}

export class LanguageTask implements Task {
  readonly unit = "tokens";
  readonly batchSize: number;

  readonly source: BatchSource<TokenBatch>;
  readonly gradients: BatchGradients;

  constructor(
    readonly model: LanguageModel,
    private readonly data: LanguageData,
    private readonly config: TrainingConfig,
  ) {
    this.source = data.source;
    this.gradients = new BatchGradients(model);
    this.batchSize = config.training.batchSize;
    if (!data.validation) this.evaluate = undefined;
    if (!data.tokenizer) this.sample = undefined;
  }

  async next(): Promise<MicroBatch> {
    return this.microBatch((await this.source.next()) as TokenBatch);
  }

  private microBatch({ ids, labels, attentionMask, shape }: TokenBatch): MicroBatch {
    const [rows, width] = shape;
    const tokens = attentionMask ? attentionMask.reduce((sum, real) => sum + real, -rows) : rows * (width - 1);
    const reduction = "sum" as const;
    return {
      lossSum: () => this.model.loss(ids, labels, { reduction, shape }),
      // What is repeated keeps its gradients beside the sum of several, and there only the first of them gains by it.
      ...(this.config.training.accumulate === 1 && {
        backward: (count: number) => this.gradients.backward({ ids, labels, shape, reduction, divisor: count }),
      }),
      count: labels ? labels.filter((label, i) => label !== -100 && i % width > 0).length : tokens,
      tokens,
    };
  }

  fits(rows: number): MicroBatch {
    const width = this.config.training.blockSize + 1;
    return this.microBatch({ ids: new Int32Array(rows * width), shape: [rows, width] });
  }

  evaluate? = async (whole: boolean): Promise<Evaluation> => {
    const source = this.data.validation!(whole ? 1 : this.config.training.evalFraction);
    const microBatch = (batch: TokenBatch) => this.microBatch(batch);
    async function* batches() {
      for (let batch = await source.next(); batch !== null; batch = await source.next()) yield microBatch(batch);
    }
    return { loss: await meanLoss(this.model, batches()) };
  };

  sample? = async (): Promise<string> => {
    const { sampleTokens } = this.config.training;
    const start = this.data.endOfText ?? this.model.tokenizer?.encode("\n").ids[0] ?? 0;
    const { text } = await this.model.generate([start], {
      maxTokens: sampleTokens,
      temperature: 0.8,
      seed: this.config.seed,
    });
    return text;
  };

  files(): Record<string, string> {
    return this.model.files();
  }
}
