/** What the training loop trains: batches in, a loss out. A language model from a config is one task, user code another. */

import type { FileContent } from "../artifacts/checkpoint.js";
import type { BatchSource } from "../data/batch-source.js";
import type { Module } from "../nn/index.js";
import type { Tensor } from "../tensor/tensor.js";

/** One micro-batch, computed: the sum of its losses, not yet divided, and how many labels it covers. */
export interface MicroBatch {
  /** Synchronous; runs inside a scope. */
  lossSum(): Tensor;
  readonly count: number;
  /** Tokens (or rows) read. */
  readonly tokens: number;
}

export interface Task {
  readonly model: Module;
  readonly source: BatchSource<unknown>;
  /** The next micro-batch, or null when the source is exhausted. */
  next(): Promise<MicroBatch | null>;
  /** A whole optimizer step of the task's own, in place of the loop's; null when the source is exhausted. */
  step?(): Promise<{ loss: number; tokens: number } | null>;
  /** Mean loss over the validation split, or a part of it. */
  evaluate?(whole: boolean): Promise<number>;
  /** A text that shows what the model can do now. */
  sample?(): Promise<string>;
  /** Rows of a micro-batch, and the loss of one with fewer: for advice when memory does not suffice. */
  readonly batchSize?: number;
  fits?(rows: number): Tensor;
  /** Small files of a checkpoint besides the weights. */
  files(): Record<string, FileContent>;
}

/** Puts a source that ends back to its start: training goes on over it. */
export async function nextOrRewind<B>(source: BatchSource<B>, start: unknown): Promise<B | null> {
  const batch = await source.next();
  if (batch !== null && batch !== undefined) return batch;
  source.restore(start as never);
  return (await source.next()) ?? null;
}
