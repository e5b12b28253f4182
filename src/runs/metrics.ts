/**
 * The numbers of a run: `metrics.jsonl` holds what a replay must reproduce, `timing.jsonl` the times, `samples.jsonl`
 * the texts. Every record goes to the files, to the aggregates and to the sinks.
 */

import { ConfigError } from "../core/errors.js";
import type { RunStore } from "../core/store.js";
import { Aggregates } from "./aggregates.js";
import { LineFile, readLines } from "./lines.js";
import { type Sink, SinkGroup } from "./sinks.js";

/** Values of one step by name. In the file NaN and infinities are texts. */
export interface MetricRecord {
  readonly step: number;
  readonly values: Readonly<Record<string, number>>;
}

const FILES = { metrics: "tenon-metrics", timing: "tenon-timing", samples: "tenon-samples" } as const;
type LineKind = keyof typeof FILES;
const KINDS = Object.keys(FILES) as LineKind[];

/** Byte lengths of the line files, as a checkpoint keeps them. */
export type Offsets = Record<LineKind, number>;

export interface MetricsOptions {
  readonly sinks?: readonly Sink[];
  /** Cut the files back to these lengths: the run continues from a checkpoint. */
  readonly resumeAt?: Readonly<Record<string, number>>;
  /** What a sink's failure is reported to; warnings unless told. */
  readonly onSinkError?: (sink: Sink, error: unknown) => void;
}

/** Writer of a run's line files. */
export class MetricsLog {
  /** Mean, min, max, last and best of every metric, per epoch and for the run. */
  readonly aggregates = new Aggregates();
  /** Which epoch records belong to, for the aggregates. */
  epoch = 0;
  private readonly sinks: SinkGroup;

  private constructor(
    private readonly files: Record<LineKind, LineFile>,
    options: MetricsOptions,
  ) {
    this.sinks = new SinkGroup(options.sinks ?? [], options.onSinkError);
  }

  /** Opens the line files in `folder` (a run's). On resume the aggregates are made again from what is kept. */
  static async open(store: RunStore, folder: string, options: MetricsOptions = {}): Promise<MetricsLog> {
    const files = {} as Record<LineKind, LineFile>;
    for (const kind of KINDS) {
      const path = `${folder}/${kind}.jsonl`;
      files[kind] = await LineFile.open(store, path, FILES[kind], options.resumeAt && (options.resumeAt[kind] ?? 0));
    }
    const log = new MetricsLog(files, options);
    if (options.resumeAt) {
      for (const { step, values } of await readMetrics(store, folder)) log.aggregates.add(values, step);
    }
    return log;
  }

  /** One reproducible value, or several of one step. */
  log(name: string, value: number, step: number): void;
  log(values: Readonly<Record<string, number>>, step: number): void;
  log(name: string | Readonly<Record<string, number>>, value: number, step?: number): void {
    if (typeof name === "string") this.record({ [name]: value }, step as number);
    else this.record(name, value);
  }

  /** Times and rates: wall-clock values, which take part in no comparison. */
  timing(step: number, values: Readonly<Record<string, number>>): void {
    checkRecord(step, values);
    this.files.timing.write({ step, ...values });
    this.sinks.write({ kind: "timing", step, values });
  }

  /** A text that the model wrote. */
  sample(step: number, text: string, more: Readonly<Record<string, unknown>> = {}): void {
    this.files.samples.write({ step, text, ...more });
    this.sinks.write({ kind: "sample", step, text });
  }

  /** Lengths of the files with all that was logged so far; flush before a checkpoint relies on them. */
  get offsets(): Offsets {
    return Object.fromEntries(KINDS.map((kind) => [kind, this.files[kind].offset])) as Offsets;
  }

  /** Makes everything durable and waits for the sinks. */
  async flush(): Promise<void> {
    for (const kind of KINDS) await this.files[kind].flush();
    await this.sinks.flush();
  }

  /** Flushes only when enough waits; call it between steps. */
  async flushIfFull(): Promise<void> {
    if (KINDS.some((kind) => this.files[kind].full)) await this.flush();
  }

  async close(): Promise<void> {
    await this.flush();
    await this.sinks.close();
  }

  private record(values: Readonly<Record<string, number>>, step: number): void {
    checkRecord(step, values);
    this.files.metrics.write({ step, ...values });
    this.aggregates.add(values, step, this.epoch);
    this.sinks.write({ kind: "metrics", step, values });
  }
}

function checkRecord(step: number, values: Readonly<Record<string, number>>): void {
  if (!Number.isSafeInteger(step) || step < 0) {
    throw new ConfigError(`log: needs a step that is a whole number from 0, got ${step}.`, { where: "log", step });
  }
  for (const [name, value] of Object.entries(values)) {
    if (typeof value !== "number" || name === "" || name === "step") {
      throw new ConfigError(`log: needs a number by a name other than "step", got ${typeof value} for "${name}".`, {
        where: "log",
        name,
      });
    }
  }
}

/** The records of `metrics.jsonl` (or `timing.jsonl`) of a run, in order; texts "NaN", "Infinity" are numbers again. */
export async function readMetrics(
  store: RunStore,
  folder: string,
  kind: "metrics" | "timing" = "metrics",
): Promise<MetricRecord[]> {
  const records = await readLines(store, `${folder}/${kind}.jsonl`, FILES[kind]);
  return records.map(({ step, ...values }) => ({
    step: Number(step),
    values: Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value)])),
  }));
}

/** The records of `samples.jsonl` of a run, in order. */
export const readSamples = async (store: RunStore, folder: string): Promise<{ step: number; text: string }[]> =>
  (await readLines(store, `${folder}/samples.jsonl`, FILES.samples)) as never;

/** One metric over the steps that have it. */
export function curve(records: readonly MetricRecord[], name: string): { steps: number[]; values: number[] } {
  const found = records.filter(({ values }) => Object.hasOwn(values, name));
  return { steps: found.map(({ step }) => step), values: found.map(({ values }) => values[name]) };
}
