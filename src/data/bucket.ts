/** Length bucketing: rows of similar length side by side, so that batches need little padding. */

import { DataError } from "../core/errors.js";
import { Generator, randomPermutation } from "../core/random.js";
import { checkKinds } from "./options.js";
import type { Row } from "./row.js";
import { positive, type Stage, skipping } from "./stage.js";
import { showValue } from "./violation.js";

export interface BucketOptions {
  /** Column of lists or text whose length counts. */
  column: string;
  /** Rows of a batch: rows are sorted so that runs of this many are alike. */
  batchSize: number;
  /** Batches that are sorted together; 100 unless told. The more, the less padding and the less random the order. */
  window?: number;
  /** Seed of the order of the runs; 0 unless told. */
  seed?: number;
}

function lengthOf(row: unknown, column: string): number {
  const value = (row as Record<string, ArrayLike<unknown> | null | undefined>)[column];
  if (typeof value?.length === "number") return value.length;
  throw new DataError(`bucket: needs a list or a text in the column "${column}", got ${showValue(value)}.`, {
    where: "bucket",
    hint: "Name the column of the lists, and filter out rows without one.",
  });
}

/** Sorts windows of rows by length (ties keep their order), then shuffles the runs of each window by the seed. */
export function bucketStage<T = Row>(parent: Stage<T>, options: BucketOptions): Stage<T> {
  checkKinds("bucket", options, { column: "text", batchSize: "other", window: "other", seed: "other" });
  const { column, batchSize, window = 100, seed = 0 } = options;
  positive(batchSize, "bucket: batchSize");
  positive(window, "bucket: window");
  const generator = new Generator(seed);
  const arrange = (rows: T[], epoch: number, number: number): T[] => {
    const lengths = new Map(rows.map((row) => [row, lengthOf(row, column)]));
    const sorted = [...rows].sort((a, b) => lengths.get(a)! - lengths.get(b)!);
    const runs = Math.floor(sorted.length / batchSize);
    // A last run that is not full stays last, so that every other batch is a whole run.
    const order = randomPermutation(generator.at(`bucket ${epoch}`, number), runs);
    const out: T[] = [];
    for (const run of order) for (let i = 0; i < batchSize; i++) out.push(sorted[run * batchSize + i]);
    return out.concat(sorted.slice(runs * batchSize));
  };
  async function* arranged(epoch: number): AsyncGenerator<T[]> {
    let held: T[] = [];
    let number = 0;
    const size = window * batchSize;
    for await (const chunk of parent.open({ epoch, skip: 0 })) {
      for (const row of chunk) {
        held.push(row);
        if (held.length < size) continue;
        yield arrange(held, epoch, number++);
        held = [];
      }
    }
    if (held.length > 0) yield arrange(held, epoch, number);
  }
  return {
    parents: [parent],
    step: { bucket: { column, batchSize, window, seed } },
    changesOrder: true,
    prepare: () => parent.prepare(),
    get schema() {
      return parent.schema;
    },
    open: ({ epoch, skip }) => skipping(arranged(epoch), skip),
  };
}
