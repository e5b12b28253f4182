/** Datasets: typed rows in a deterministic order, from any source, through any steps, to batches. */

import { ConfigError, DataError, show } from "../core/errors.js";
import { Batches, type BatchOptions } from "./batches.js";
import { type BucketOptions, bucketStage } from "./bucket.js";
import { eachItem } from "./each-item.js";
import {
  filterStage,
  flatMapStage,
  type MapContext,
  type MapOptions,
  type Mapper,
  mapStage,
  type StepIdentity,
} from "./map.js";
import { type PackOptions, packStage, type TokenBlock } from "./pack.js";
import { type Provenance, provenanceOf, reportOf } from "./provenance.js";
import type { Ratios } from "./ratio.js";
import type { Row } from "./row.js";
import { fieldNamed, type Schema } from "./schema.js";
import { type ShuffleOptions, shuffleStage } from "./shuffle.js";
import { type SplitByOptions, type SplitOptions, splitByColumn, splitStages } from "./split.js";
import { natural, type Stage } from "./stage.js";
import { cacheStage, concatStage, interleaveStage, prefetchStage, rangeStage, repeatStage } from "./steps.js";
import { type EncodedRow, encodeStage, type TableEncoding } from "./table.js";
import type { ReadReport } from "./violation.js";

/** Where a dataset stands: `position` items of epoch `epoch` have been given. */
export interface DatasetState {
  epoch: number;
  position: number;
}

/**
 * Rows, or whatever the steps made of them, in an order that is a function of source, steps, seeds and epoch alone: not
 * of chunk sizes, timing or concurrency. Nothing is read before it is asked for; every pass streams.
 *
 * A loop `for await (const row of dataset)` is one epoch. The next loop is the next epoch; a loop that was left early is
 * made again from its start, unless `restore()` sets another place.
 */
export class Dataset<T = Row> implements AsyncIterable<T> {
  private epoch = 0;
  private position = 0;
  private start = 0;

  constructor(
    /** @internal */
    readonly stage: Stage<T>,
  ) {}

  /** Schema of the rows. Throws DataError where it is not known: before `await`, or after map() without a schema. */
  get schema(): Schema {
    const { schema } = this.stage;
    if (schema) return schema;
    throw new DataError("dataset.schema: is not known here.", {
      where: "dataset.schema",
      hint: "Await the dataset first, e.g. await fromCsv(…); after map() pass the option schema.",
    });
  }

  /** Counts and violations of the latest pass over the (first) source, and of the rows that `splitBy` dropped. */
  get report(): ReadReport | undefined {
    return reportOf(this.stage);
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<T> {
    this.position = this.start;
    this.start = 0;
    const chunks = this.stage.open({ epoch: this.epoch, skip: this.position });
    const given = () => {
      this.position++;
    };
    return eachItem(chunks, given, () => {
      this.epoch++;
      this.position = 0;
    });
  }

  /** The rest of the epoch as an array. */
  async toArray(): Promise<T[]> {
    const items: T[] = [];
    for await (const item of this) items.push(item);
    return items;
  }

  /** Number of rows, as the source knows it, else by a pass. */
  async count(): Promise<number> {
    const known = await this.stage.count?.();
    if (known !== undefined) return known;
    const access = await this.stage.access?.(0);
    if (access) return access.length;
    let count = 0;
    for await (const chunk of this.stage.open({ epoch: 0, skip: 0 })) count += chunk.length;
    return count;
  }

  /** Where the dataset stands; `restore` continues there, in any process, with the same pipeline. */
  state(): DatasetState {
    return { epoch: this.epoch, position: this.start || this.position };
  }

  restore(state: DatasetState): void {
    const whole = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
    if (!whole(state?.epoch) || !whole(state?.position)) {
      throw new DataError(`dataset.restore: needs { epoch, position }, got ${JSON.stringify(state)}.`, {
        where: "dataset.restore",
      });
    }
    this.epoch = state.epoch;
    this.position = this.start = state.position;
  }

  /** Maps each row. Asynchronous functions may overlap (`concurrency`); the order stays. */
  map<U>(fn: Mapper<T, U>, options?: MapOptions): Dataset<U> {
    return new Dataset(mapStage(this.stage, fn, options));
  }

  /** Keeps the rows for which `test` is true. */
  filter(test: (row: T, context: { index: number }) => boolean | Promise<boolean>, options?: StepIdentity): Dataset<T> {
    return new Dataset(filterStage(this.stage, test, options));
  }

  /** Maps each row to any number of rows. */
  flatMap<U>(
    fn: (row: T, context: MapContext) => Iterable<U> | Promise<Iterable<U>>,
    options?: MapOptions,
  ): Dataset<U> {
    return new Dataset(flatMapStage(this.stage, fn, options));
  }

  /** The first `count` rows. */
  take(count: number): Dataset<T> {
    return new Dataset(rangeStage(this.stage, 0, natural(count, "take: count")));
  }

  /** All but the first `count` rows. */
  skip(count: number): Dataset<T> {
    return new Dataset(rangeStage(this.stage, natural(count, "skip: count"), Number.POSITIVE_INFINITY));
  }

  /** These rows, then those of the others. */
  concat(...others: Dataset<T>[]): Dataset<T> {
    return new Dataset(concatStage([this.stage, ...stagesOf(others, "concat")]));
  }

  /** One row of each dataset in turn, until all have ended. */
  interleave(...others: Dataset<T>[]): Dataset<T> {
    return new Dataset(interleaveStage([this.stage, ...stagesOf(others, "interleave")]));
  }

  /** `times` epochs in one; without end unless told. */
  repeat(times = Number.POSITIVE_INFINITY): Dataset<T> {
    return new Dataset(repeatStage(this.stage, times));
  }

  /** Keeps the rows of the first pass in memory. */
  cache(): Dataset<T> {
    return new Dataset(cacheStage(this.stage));
  }

  /** Reads ahead while the consumer works, by up to `count` internal chunks. */
  prefetch(count = 1): Dataset<T> {
    return new Dataset(prefetchStage(this.stage, count));
  }

  /**
   * A new order every epoch, a function of seed and epoch. Exact and without extra memory where rows are reachable by
   * number (`fromRows`, `fromIdx`, `cache`); else through a buffer of `bufferSize` rows.
   */
  shuffle(options?: ShuffleOptions | number): Dataset<T> {
    return new Dataset(shuffleStage(this.stage, typeof options === "number" ? { seed: options } : options));
  }

  /**
   * Parts by ratio, e.g. `{ train: 0.8, val: 0.2 }`. A row's part depends on the seed and the
   * row's number (or its stratum and number within it, or its group), so appended rows change nothing.
   */
  split<R extends Ratios>(ratios: R, options?: SplitOptions): { [K in keyof R]: Dataset<T> } {
    this.requireColumns([options?.stratify, options?.group], "split");
    return datasets(splitStages(this.stage, ratios, options)) as { [K in keyof R]: Dataset<T> };
  }

  /**
   * Parts by the values of a column: `splitBy("set", { train: "train", val: ["dev", "test"] })`. A row whose value no
   * part names is an error when it is read, unless `{ others: "drop" }` leaves such rows out
   * (and counts them in `report`).
   */
  splitBy<P extends Readonly<Record<string, unknown>>>(
    column: string,
    parts: P,
    options?: SplitByOptions,
  ): { [K in keyof P]: Dataset<T> } {
    this.requireColumns([column], "splitBy");
    return datasets(splitByColumn(this.stage, column, parts, options)) as { [K in keyof P]: Dataset<T> };
  }

  /** Features and targets as numbers, by an encoding that `fitTable` learnt from the training part. */
  encode(encoding: TableEncoding): Dataset<EncodedRow> {
    return new Dataset(encodeStage(this.stage as Stage<Row>, encoding));
  }

  /** Packs token rows into blocks of equal length. */
  pack(options: PackOptions): Dataset<TokenBlock> {
    return new Dataset(packStage(this.stage as Stage, options));
  }

  /** Reorders rows so that those of a batch have similar lengths. */
  bucket(options: BucketOptions): Dataset<T> {
    return new Dataset(bucketStage(this.stage, options));
  }

  /** Batches of typed arrays, the batch dimension first. A number is the batch size. */
  batch(options: BatchOptions | number): Batches {
    return new Batches(this.stage as Stage, typeof options === "number" ? { batchSize: options } : options);
  }

  /** SHA-256 of content, schema and steps. Reads the sources once. */
  async fingerprint(): Promise<string> {
    return (await this.provenance()).fingerprint;
  }

  /** What a manifest records. Reads the sources once. */
  async provenance(): Promise<Provenance> {
    return provenanceOf(this.stage);
  }

  private requireColumns(columns: (string | undefined)[], where: string): void {
    const { schema } = this.stage;
    if (schema) for (const column of columns) if (column !== undefined) fieldNamed(schema, column, where);
  }
}

/**
 * What readers give: usable at once in a pipeline; after `await` its schema is known. A variable that holds one may hold
 * what steps and splits make of it too.
 */
export type OpeningDataset<T = Row> = Dataset<T> | AwaitableDataset<T>;

/** A dataset whose schema is still to be read: complete after `await`. */
export class AwaitableDataset<T = Row> extends Dataset<T> implements PromiseLike<Dataset<T>> {
  // biome-ignore lint/suspicious/noThenProperty: awaiting a dataset is how its schema becomes known
  then<A = Dataset<T>, B = never>(
    resolve?: ((dataset: Dataset<T>) => A | PromiseLike<A>) | null,
    reject?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.stage
      .prepare()
      .then(() => new Dataset(this.stage))
      .then(resolve, reject);
  }
}

function stagesOf<T>(others: readonly Dataset<T>[], where: string): Stage<T>[] {
  for (const other of others) {
    if (other?.stage) continue;
    throw new ConfigError(`${where}: needs datasets, got ${show(other)}.`, {
      where,
      hint: Array.isArray(other)
        ? `Rows in memory become one with fromRows; of datasets in a list, ${where}(...list).`
        : undefined,
    });
  }
  return others.map((other) => other.stage);
}

const datasets = <T>(stages: Record<string, Stage<T>>): Record<string, Dataset<T>> =>
  Object.fromEntries(Object.entries(stages).map(([name, stage]) => [name, new Dataset(stage)]));
