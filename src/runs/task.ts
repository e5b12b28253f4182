/**
 * What the training loop trains: batches in, a loss out. A language model from a config is one task, a table another,
 * user code a third.
 */

import type { FileContent } from "../artifacts/checkpoint.js";
import type { DataReference } from "../artifacts/manifest.js";
import type { BatchSource } from "../data/batch-source.js";
import type { Module } from "../nn/index.js";
import type { Tensor } from "../tensor/tensor.js";

/** What a model reads: tokens of a text, or rows of anything else. */
export type Unit = "tokens" | "rows";

/** One micro-batch, computed: the sum of its losses, not yet divided, and how many labels it covers. */
export interface MicroBatch {
  /** Synchronous; runs inside a scope. */
  lossSum(): Tensor;
  readonly count: number;
  /** Tokens (or rows) read. */
  readonly tokens: number;
}

/** What validation gives: the mean loss, and other measures by name, such as `valAccuracy`. */
export interface Evaluation {
  readonly loss: number;
  readonly metrics?: Readonly<Record<string, number>>;
}

export interface Task {
  readonly model: Module;
  /** What `tokens` of micro-batches counts. */
  readonly unit: Unit;
  readonly source: BatchSource<unknown>;
  /** The next micro-batch, or null when the source is exhausted. */
  next(): Promise<MicroBatch | null>;
  /** A whole optimizer step of the task's own, in place of the loop's; null when the source is exhausted. */
  step?(): Promise<{ loss: number; tokens: number } | null>;
  /** Measures over the validation split, or a part of it. */
  evaluate?(whole: boolean): Promise<Evaluation>;
  /** A text that shows what the model can do now. */
  sample?(): Promise<string>;
  /** Rows of a micro-batch, and the loss of one with fewer: for advice when memory does not suffice. */
  readonly batchSize?: number;
  fits?(rows: number): Tensor;
  /** Small files of a checkpoint besides the weights. */
  files(): Record<string, FileContent>;
}

/** A task made from a config, and what the run's identity says about its data. */
export interface Setup {
  readonly task: Task;
  /** Of content, split and transformations. */
  readonly fingerprint: string;
  readonly sources: readonly DataReference[];
  /** Null where no tokenizer takes part. */
  readonly tokenizerHash: string | null;
  /** What the hashed config says in place of places. */
  readonly hashed: { readonly dataHash: string; readonly data?: Readonly<Record<string, unknown>> };
}

/** Puts a source that ends back to its start: training goes on over it. */
export async function nextOrRewind<B>(source: BatchSource<B>, start: unknown): Promise<B | null> {
  const batch = await source.next();
  if (batch !== null && batch !== undefined) return batch;
  source.restore(start as never);
  return (await source.next()) ?? null;
}
