/**
 * The numbers of a run: `metrics.jsonl` holds what a replay must reproduce, `timing.jsonl` the times, `samples.jsonl`
 * the texts. Every record goes to the files, to the aggregates and to the sinks.
 */

import { ConfigError, kindOf, oneWordOf, RunError, show } from "../core/errors.js";
import type { RunStore } from "../core/store.js";
import { Aggregates } from "./aggregates.js";
import { LineFile, readLines } from "./lines.js";
import { type Sink, SinkGroup } from "./sinks.js";

/** Values of one step by name. In the file NaN and infinities are texts. */
export interface MetricRecord {
  readonly step: number;
  /** The pass over the data that the step belongs to, from 0; absent where the data have no passes. */
  readonly epoch?: number;
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
  /** Which epoch (from 0) records belong to; undefined where there are none. */
  epoch: number | undefined;
  private readonly sinks: SinkGroup;
  private ended = false;

  private constructor(
    private readonly files: Record<LineKind, LineFile>,
    /** Mean, min, max, last and best of every metric, per epoch and for the run. */
    readonly aggregates: Aggregates,
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
    const kept = options.resumeAt ? await readMetrics(store, folder) : [];
    return new MetricsLog(files, Aggregates.from(kept), options);
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
    this.refuseEnded();
    checkRecord(step, values);
    this.files.timing.record({ step, ...values });
    this.sinks.write({ kind: "timing", step, values });
  }

  /** A text that the model wrote. */
  sample(step: number, text: string, more: Readonly<Record<string, unknown>> = {}): void {
    this.refuseEnded();
    checkStep("sample", step);
    if (typeof text !== "string") {
      throw new ConfigError(`sample: needs a text, got ${kindOf(text)}.`, { where: "sample", step });
    }
    this.files.samples.record({ step, text, ...more });
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

  /** Makes everything durable; nothing can be logged from the call on: it would be in no file. */
  async close(): Promise<void> {
    this.ended = true;
    await this.flush();
    await this.sinks.close();
  }

  private refuseEnded(): void {
    if (this.ended) throw new RunError("log: the run has ended, nothing is added to it.", { where: "log" });
  }

  private record(values: Readonly<Record<string, number>>, step: number): void {
    this.refuseEnded();
    checkRecord(step, values);
    const { epoch } = this;
    this.files.metrics.record({ step, ...(epoch === undefined ? {} : { epoch }), ...values });
    this.aggregates.add(values, step, epoch);
    this.sinks.write({ kind: "metrics", step, values });
  }
}

/** Names that a value cannot have: a record's own fields, and what readers of JSON refuse. */
const RESERVED = ["", "step", "epoch", "kind", "__proto__"];

/** Throws unless it is the number of a step. */
export function checkStep(where: string, step: unknown): void {
  if (Number.isSafeInteger(step) && (step as number) >= 0) return;
  throw new ConfigError(`${where}: needs a step that is a whole number from 0, got ${show(step)}.`, { where, step });
}

function checkRecord(step: number, values: Readonly<Record<string, number>>): void {
  checkStep("log", step);
  for (const [name, value] of Object.entries(values)) {
    if (RESERVED.includes(name)) {
      const others = oneWordOf(RESERVED.filter((word) => /^[a-z]/.test(word)));
      throw new ConfigError(`log: needs a value by a name other than ${others}, got "${name}".`, {
        where: "log",
        name,
        hint: "These are fields of the record itself: choose another name.",
      });
    }
    if (typeof value !== "number") {
      throw new ConfigError(`log: needs a number for "${name}", got ${kindOf(value)}.`, { where: "log", name });
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
  return records.map(({ step, ...rest }) => {
    const { epoch, ...others } = rest;
    // A loop of one's own may log fractions of epochs: those are a value like others.
    const whole = typeof epoch === "number" && Number.isSafeInteger(epoch) && epoch >= 0;
    const values = Object.entries(whole ? others : rest).map(([name, value]) => [name, Number(value)]);
    return { step: Number(step), ...(whole ? { epoch } : {}), values: Object.fromEntries(values) };
  });
}

/** The records of `samples.jsonl` of a run, in order. */
export const readSamples = async (store: RunStore, folder: string): Promise<{ step: number; text: string }[]> =>
  (await readLines(store, `${folder}/samples.jsonl`, FILES.samples)) as never;

/** One metric over the steps that have it. */
export function curve(records: readonly MetricRecord[], name: string): { steps: number[]; values: number[] } {
  const found = records.filter(({ values }) => Object.hasOwn(values, name));
  return { steps: found.map(({ step }) => step), values: found.map(({ values }) => values[name]) };
}
