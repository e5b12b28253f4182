/**
 * What the training loop trains: batches in, a loss out. A language model from a config is one task, a table another,
 * user code a third.
 */

import type { FileContent } from "../artifacts/checkpoint.js";
import type { DataReference } from "../artifacts/manifest.js";
import type { BatchSource, Json } from "../data/batch-source.js";
import { stateNumber } from "../data/token-blocks.js";
import type { Module } from "../nn/index.js";
import type { Tensor } from "../tensor/tensor.js";

/** What a model reads: tokens of a text, or rows of anything else. */
export type Unit = "tokens" | "rows";

/** One micro-batch, computed: the sum of its losses, not yet divided, and how many labels it covers. */
export interface MicroBatch {
  /** Synchronous; runs inside a scope. */
  lossSum(): Tensor;
  /**
   * Adds the gradients of that sum divided by `count` to those of the parameters, and gives it without history; where
   * the task has a way of its own. Synchronous.
   */
  backward?(count: number): Tensor;
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
  /** Rows of a micro-batch, and one with fewer: for advice when memory does not suffice. */
  readonly batchSize?: number;
  fits?(rows: number): MicroBatch;
  /** Small files of a checkpoint besides the weights. */
  files(): Record<string, FileContent>;
}

/** What one step takes of a task. */
export type StepTask = Pick<Task, "model" | "next" | "step" | "fits">;

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
  /** Frees what the data hold open. */
  readonly close?: () => Promise<void>;
}

/** A source that ends, begun again and again; what it adds to the state is the number of the pass. */
export class Repeated<B> implements BatchSource<B> {
  private readonly start: Json;
  private epoch = 0;
  /** The source's own count, where it has one. */
  private inner: number | undefined;

  constructor(private readonly source: BatchSource<B>) {
    this.start = source.state();
    this.inner = epochOf(source);
  }

  async next(): Promise<B | null> {
    let batch = await this.source.next();
    const ended = batch === null || batch === undefined;
    if (ended) {
      this.source.restore(this.start);
      batch = await this.source.next();
    }
    const inner = epochOf(this.source);
    if (ended || inner !== this.inner) this.epoch++;
    this.inner = inner;
    return batch ?? null;
  }

  state(): { readonly epoch: number; readonly of: Json } {
    return { epoch: this.epoch, of: this.source.state() };
  }

  restore(state: Json): void {
    this.epoch = stateNumber(state, "epoch", "train");
    this.source.restore((state as { of: Json }).of);
    this.inner = epochOf(this.source);
  }

  fingerprint(): Promise<string> {
    return this.source.fingerprint();
  }

  /** Ends what a pass left in the middle holds open, where the source knows how. */
  async close(): Promise<void> {
    const { close } = this.source as { close?: unknown };
    if (typeof close === "function") await close.call(this.source);
  }
}

/** The epoch of the batch that a source gave last, from 0; undefined where it knows none (blocks drawn at random). */
export function epochOf(source: BatchSource<unknown>): number | undefined {
  const { epoch } = Object(source.state()) as { epoch?: unknown };
  return typeof epoch === "number" ? epoch : undefined;
}
