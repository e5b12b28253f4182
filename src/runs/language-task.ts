/** A language model on text, from a config: text, tokenizer, split, model, batches. */

import type { DataReference } from "../artifacts/manifest.js";
import { sourceText } from "../artifacts/sources.js";
import type { DeviceName } from "../backend/backend.js";
import { ConfigError, DataError } from "../core/errors.js";
import { canonicalJson } from "../core/json.js";
import type { Generator } from "../core/random.js";
import { sha256Hex } from "../core/sha256.js";
import type { TokenBatch } from "../data/batch-source.js";
import { SequentialBlocks, splitText, TokenBlocks } from "../data/index.js";
import { tales } from "../data/tales.js";
import { createModel, type LanguageModel } from "../models/index.js";
import { setGenerator } from "../nn/index.js";
import { byteTokenizer, charTokenizer, loadTokenizer, type Tokenizer, trainTokenizer } from "../tokenizers/index.js";
import type { TrainingConfig } from "./config.js";
import { type DataPlace, openPlace } from "./data-config.js";
import { meanLoss } from "./loop.js";
import type { Evaluation, MicroBatch, Setup, Task } from "./task.js";

/** Text and where it came from. */
export interface LoadedText {
  readonly text: string;
  readonly sources: readonly DataReference[];
  /** SHA-256 over the sources in order. */
  readonly hash: string;
}

/** Reads the text that `data` names; several files are joined in order. */
export async function loadText({ data, seed }: Pick<TrainingConfig, "data" | "seed">): Promise<LoadedText> {
  if (data.corpus !== undefined) {
    if (data.corpus !== "tales")
      throw new ConfigError(`config: data.corpus needs "tales", got ${JSON.stringify(data.corpus)}.`, {
        where: "data.corpus",
      });
    const text = tales({ seed, length: data.length ?? 1_000_000 });
    return { text, sources: [reference("tales", text)], hash: sha256Hex(text) };
  }
  if (data.text === undefined) {
    throw new ConfigError("config: data needs text or corpus for a language model.", {
      where: "data",
      hint: 'For example "data": { "text": "book.txt" }.',
    });
  }
  const places = Array.isArray(data.text) ? (data.text as DataPlace[]) : [data.text as DataPlace];
  const sources: DataReference[] = [];
  let text = "";
  for (const place of places) {
    const source = await openPlace(place);
    const part = (await sourceText(source)).replace(/^\ufeff/, "");
    if (part.trim() === "")
      throw new DataError(`${source.name}: holds no text.`, {
        where: source.name,
        hint: "Give a file with at least a few thousand characters.",
      });
    sources.push(reference(source.name, part));
    text += part;
  }
  return {
    text,
    sources,
    hash: sources.length === 1 ? sources[0].sha256 : sha256Hex(canonicalJson(sources.map(({ sha256 }) => sha256))),
  };
}

function reference(name: string, text: string): DataReference {
  const bytes = new TextEncoder().encode(text);
  return { name, size: bytes.length, sha256: sha256Hex(bytes) };
}

/** The tokenizer a config names. A trained one learns from the training split alone; characters are those of all text. */
async function makeTokenizer({ tokenizer }: TrainingConfig, text: string, trainText: string): Promise<Tokenizer> {
  if (tokenizer === "char") return charTokenizer(text);
  if (tokenizer === "byte") return byteTokenizer();
  if (typeof tokenizer === "string") return loadTokenizer(tokenizer);
  return trainTokenizer(trainText, { model: tokenizer.train, vocabSize: tokenizer.vocabSize });
}

/** Everything a config names, loaded and checked. */
export async function languageSetup(config: TrainingConfig, generator: Generator, device: DeviceName): Promise<Setup> {
  const text = await loadText(config);
  const parts = splitText(text.text, { train: config.data.split.train, val: config.data.split.val });
  const tokenizer = await makeTokenizer(config, text.text, parts.train);
  const { batchSize, blockSize, dropout, evalFraction } = config.training;
  const encode = (part: string) => Int32Array.from(tokenizer.encode(part, { addSpecialTokens: false }).ids);
  const options = { batchSize, blockSize, nextToken: true };
  const name = text.sources.map((source) => source.name).join(", ");
  const source = named(name, () => new TokenBlocks(encode(parts.train), { ...options, seed: config.seed }));
  const held = config.data.split.val > 0 ? encode(parts.val) : undefined;
  const validation = held && ((fraction: number) => new SequentialBlocks(held, { ...options, fraction }));
  if (validation) named(`${name} (validation split)`, () => validation(1));

  const drops =
    dropout > 0
      ? { embd_pdrop: dropout, attn_pdrop: dropout, resid_pdrop: dropout }
      : { embd_pdrop: 0, attn_pdrop: 0, resid_pdrop: 0 };
  const modelConfig = {
    vocab_size: tokenizer.idBound,
    n_positions: blockSize,
    bos_token_id: null,
    eos_token_id: null,
    ...drops,
    ...config.model,
  };
  const model = await createModel(modelConfig, undefined, { seed: config.seed, device });
  model.tokenizer = tokenizer;
  setGenerator(model, generator);
  const fingerprint = sha256Hex(
    canonicalJson({ train: await source.fingerprint(), split: config.data.split, text: text.hash }),
  );
  return {
    task: new LanguageTask(model, source, validation, evalFraction, config),
    fingerprint,
    sources: text.sources,
    tokenizerHash: tokenizer.hash,
    hashed: { dataHash: text.hash },
  };
}

/** Errors about too little text name the file. */
function named<T>(name: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (error instanceof DataError)
      throw new DataError(`${name}: ${error.message.replace(/^\w+: /, "")}`, {
        ...error.details,
        hint: undefined,
        where: name,
      });
    throw error;
  }
}

export class LanguageTask implements Task {
  readonly unit = "tokens";
  readonly batchSize: number;

  constructor(
    readonly model: LanguageModel,
    readonly source: TokenBlocks,
    private readonly validation: ((fraction: number) => SequentialBlocks) | undefined,
    private readonly evalFraction: number,
    private readonly config: TrainingConfig,
  ) {
    this.batchSize = config.training.batchSize;
    if (!validation) this.evaluate = undefined;
  }

  async next(): Promise<MicroBatch> {
    return this.microBatch((await this.source.next()) as TokenBatch);
  }

  private microBatch({ ids, shape }: TokenBatch): MicroBatch {
    const count = shape[0] * (shape[1] - 1);
    return { lossSum: () => this.model.loss(ids, undefined, { reduction: "sum", shape }), count, tokens: count };
  }

  fits(rows: number) {
    const width = this.config.training.blockSize + 1;
    return this.model.loss(new Int32Array(rows * width), undefined, { shape: [rows, width] });
  }

  evaluate? = async (whole: boolean): Promise<Evaluation> => {
    const source = this.validation!(whole ? 1 : this.evalFraction);
    const microBatch = (batch: TokenBatch) => this.microBatch(batch);
    async function* batches() {
      for (let batch = await source.next(); batch !== null; batch = await source.next()) yield microBatch(batch);
    }
    return { loss: await meanLoss(this.model, batches()) };
  };

  async sample(): Promise<string> {
    const { sampleTokens } = this.config.training;
    const start = this.model.tokenizer?.encode("\n").ids[0] ?? 0;
    const { text } = await this.model.generate([start], {
      maxTokens: sampleTokens,
      temperature: 0.8,
      seed: this.config.seed,
    });
    return text;
  }

  files(): Record<string, string> {
    return this.model.files();
  }
}
