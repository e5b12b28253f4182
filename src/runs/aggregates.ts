/** Running mean, min, max, last and best of every metric: per epoch and for the whole run. */

import type { MetricRecord } from "./metrics.js";

/** NaN and infinities are counted apart and take no part in the other values. */
export interface Aggregate {
  readonly count: number;
  readonly mean: number;
  readonly min: number;
  readonly max: number;
  readonly last: number;
  /** The lowest value, or the highest for metrics that are better when higher (accuracy, scores). */
  readonly best: number;
  readonly bestStep: number;
  /** Values that were not finite. */
  readonly notFinite: number;
}

/** Is more better? By the name, as the field uses it. */
export const higherIsBetter = (name: string): boolean =>
  /(^|[^a-z])(acc|accuracy|f1|auc|bleu|rouge|score|reward|precision|recall|r2)([^a-z]|$)/i.test(
    name.replace(/([a-z])([A-Z])/g, "$1_$2"),
  );

class Running {
  count = 0;
  sum = 0;
  min = Number.POSITIVE_INFINITY;
  max = Number.NEGATIVE_INFINITY;
  minStep = 0;
  maxStep = 0;
  last = Number.NaN;
  notFinite = 0;

  add(value: number, step: number): void {
    this.last = value;
    if (!Number.isFinite(value)) {
      this.notFinite++;
      return;
    }
    this.count++;
    this.sum += value;
    if (value < this.min) [this.min, this.minStep] = [value, step];
    if (value > this.max) [this.max, this.maxStep] = [value, step];
  }

  result(name: string): Aggregate {
    const { count, sum, last, notFinite } = this;
    const empty = count === 0;
    const [best, bestStep] = higherIsBetter(name) ? [this.max, this.maxStep] : [this.min, this.minStep];
    return {
      count,
      mean: empty ? Number.NaN : sum / count,
      min: empty ? Number.NaN : this.min,
      max: empty ? Number.NaN : this.max,
      last,
      best: empty ? Number.NaN : best,
      bestStep,
      notFinite,
    };
  }
}

export class Aggregates {
  private readonly run = new Map<string, Running>();
  private readonly epochs = new Map<number, Map<string, Running>>();

  /** Aggregates of records that were read back. */
  static from(records: readonly MetricRecord[]): Aggregates {
    const aggregates = new Aggregates();
    for (const { step, epoch, values } of records) aggregates.add(values, step, epoch);
    return aggregates;
  }

  add(values: Readonly<Record<string, number>>, step: number, epoch = 0): void {
    let ofEpoch = this.epochs.get(epoch);
    if (!ofEpoch) this.epochs.set(epoch, (ofEpoch = new Map()));
    for (const [name, value] of Object.entries(values)) {
      for (const into of [this.run, ofEpoch]) {
        let running = into.get(name);
        if (!running) into.set(name, (running = new Running()));
        running.add(value, step);
      }
    }
  }

  /** Epochs that have records, in order. */
  get passes(): number[] {
    return [...this.epochs.keys()].sort((a, b) => a - b);
  }

  /** Aggregates by metric: of the whole run, or of one epoch. */
  of(epoch?: number): Record<string, Aggregate> {
    const found = epoch === undefined ? this.run : (this.epochs.get(epoch) ?? new Map<string, Running>());
    return Object.fromEntries([...found].map(([name, running]) => [name, running.result(name)]));
  }
}
