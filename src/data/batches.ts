/** Batches: columns of typed arrays with shapes, the batch dimension first. The last step before tensors. */

import { ConfigError, DataError, show } from "../core/errors.js";
import { canonicalJson } from "../core/json.js";
import { sha256Hex } from "../core/sha256.js";
import type { BatchSource, Json } from "./batch-source.js";
import { BufferPool } from "./buffer-pool.js";
import { type BatchColumn, type CollateOptions, collate } from "./collate.js";
import { checkKinds } from "./options.js";
import { provenanceOf } from "./provenance.js";
import { positive, type Stage } from "./stage.js";

export interface BatchOptions extends CollateOptions {
  /** Rows of a batch. */
  batchSize: number;
  /** Leaves out a last batch with fewer rows; false unless told. */
  dropLast?: boolean;
  /** Epochs until `next()` gives null; 1 unless told, `Infinity` for training without end. A batch never spans two. */
  epochs?: number;
  /**
   * Lets `batch.release()` hand the arrays back to later batches; false unless told. Released arrays become empty for
   * whoever still holds them (their memory is transferred), so a batch that is kept is never overwritten.
   */
  reuseBuffers?: boolean;
}

export interface Batch {
  /** Rows. */
  size: number;
  /** Columns by name, each with `shape[0] === size`. */
  columns: Record<string, BatchColumn>;
  /** Gives the arrays back for reuse, with `reuseBuffers`; else does nothing. The batch must not be used afterwards. */
  release(): void;
}

/** Where a source of batches stands: `batch` batches of epoch `epoch` have been given. */
export interface BatchesState {
  epoch: number;
  batch: number;
}

const SIDES = ["left", "right"] as const;

const isByColumn = (padValue: object): boolean =>
  padValue !== null && typeof padValue === "object" && Object.values(padValue).every((n) => typeof n === "number");

/** A pass (or `epochs` passes) in batches. Also an async iterable: one loop runs until the source is exhausted. */
export class Batches implements BatchSource<Batch>, AsyncIterable<Batch> {
  private readonly stage: Stage;
  private readonly options: BatchOptions;
  private readonly pool: BufferPool;
  private epoch = 0;
  private batch = 0;
  private reader: AsyncIterator<unknown[]> | undefined;
  private held: unknown[] = [];
  private at = 0;

  constructor(stage: Stage, options: BatchOptions) {
    checkKinds("batch", options, {
      batchSize: "other",
      dropLast: "flag",
      epochs: "other",
      reuseBuffers: "flag",
      columns: "texts",
      ragged: ["pad", "truncate", "error"],
      maxLength: "other",
      padValue: "other",
      padSide: SIDES,
      truncateSide: SIDES,
      multipleOf: "other",
      allowEmpty: "flag",
    });
    const { batchSize, epochs = 1, maxLength, multipleOf, padValue } = options;
    if (padValue !== undefined && typeof padValue !== "number" && !isByColumn(padValue)) {
      throw new ConfigError(`batch: padValue needs a number, or numbers by column, got ${show(padValue)}.`, {
        where: "batch",
      });
    }
    positive(batchSize, "batch: batchSize");
    if (maxLength !== undefined) positive(maxLength, "batch: maxLength");
    if (multipleOf !== undefined) positive(multipleOf, "batch: multipleOf");
    if (!(epochs === Number.POSITIVE_INFINITY || (Number.isSafeInteger(epochs) && epochs > 0))) {
      throw new ConfigError(`batch: epochs needs a positive integer or Infinity, got ${epochs}.`, { where: "batch" });
    }
    this.stage = stage;
    this.options = options;
    this.pool = new BufferPool(options.reuseBuffers ?? false);
  }

  /** The next batch, or null after the last one of the last epoch. */
  async next(): Promise<Batch | null> {
    const { epochs = 1, batchSize, dropLast = false } = this.options;
    while (this.epoch < epochs) {
      this.reader ??= await this.openAt(this.epoch, this.batch * batchSize);
      const rows = await this.orClose(() => this.take(batchSize));
      if (rows.length === batchSize || (rows.length > 0 && !dropLast)) {
        const batch = await this.orClose(() => this.collate(rows));
        this.batch++;
        return batch;
      }
      if (this.batch === 0 && epochs === Number.POSITIVE_INFINITY) {
        throw new DataError(`batch: an epoch has ${rows.length} rows, no batch of ${batchSize} can be made.`, {
          where: "batch",
          hint: "Check filters, or lower batchSize.",
        });
      }
      this.reader = undefined;
      this.epoch++;
      this.batch = 0;
    }
    return null;
  }

  /** After an error the place is the same, and whoever asks again meets the error again: it is no end of the data. */
  private async orClose<R>(work: () => R | Promise<R>): Promise<R> {
    try {
      return await work();
    } catch (error) {
      await this.close().catch(() => {});
      throw error;
    }
  }

  private async openAt(epoch: number, skip: number): Promise<AsyncIterator<unknown[]>> {
    await this.stage.prepare();
    this.held = [];
    this.at = 0;
    return this.stage.open({ epoch, skip })[Symbol.asyncIterator]();
  }

  private async take(count: number): Promise<unknown[]> {
    const rows: unknown[] = [];
    while (rows.length < count) {
      if (this.at === this.held.length) {
        const { done, value } = await this.reader!.next();
        if (done) break;
        this.held = value;
        this.at = 0;
      }
      const end = Math.min(this.held.length, this.at + count - rows.length);
      for (; this.at < end; this.at++) rows.push(this.held[this.at]);
    }
    return rows;
  }

  private collate(rows: unknown[]): Batch {
    const columns = collate(rows as Record<string, unknown>[], this.stage.schema, this.options, this.pool);
    return { size: rows.length, columns, release: () => this.pool.release(columns) };
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch> {
    try {
      for (let batch = await this.next(); batch; batch = await this.next()) yield batch;
      this.restore({ epoch: 0, batch: 0 });
    } finally {
      await this.close();
    }
  }

  state(): BatchesState & { readonly [key: string]: Json } {
    return { epoch: this.epoch, batch: this.batch };
  }

  restore(state: Json): void {
    const { epoch, batch } = (state ?? {}) as unknown as BatchesState;
    if (![epoch, batch].every((value) => Number.isSafeInteger(value) && value >= 0)) {
      throw new DataError(`batches.restore: needs { epoch, batch }, got ${JSON.stringify(state)}.`, {
        where: "batches.restore",
      });
    }
    this.close().catch(() => {});
    this.epoch = epoch;
    this.batch = batch;
  }

  /** Frees files and connections of a pass that is not finished; the state stays. */
  async close(): Promise<void> {
    const { reader } = this;
    this.reader = undefined;
    await reader?.return?.();
  }

  /** SHA-256 of content, schema, steps and batching. */
  async fingerprint(): Promise<string> {
    const { reuseBuffers: _, epochs: __, ...options } = this.options;
    return sha256Hex(canonicalJson({ batch: options, of: (await provenanceOf(this.stage)).fingerprint }));
  }

  /** Bytes of arrays made by this source: lying ready for reuse, and allocated in total. */
  memory(): { pooledBytes: number; allocatedBytes: number } {
    return this.pool.memory();
  }
}
