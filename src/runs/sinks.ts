/**
 * Sinks: where a run's numbers go besides its own folder. Several at once; one that throws, or never answers, is
 * reported once and stops nothing.
 */

import { ConfigError, kindOf, RunError, show } from "../core/errors.js";
import { platform } from "../core/platform.js";
import type { RunStore } from "../core/store.js";
import { type WarningListener, warn } from "../core/warnings.js";
import { GrowingFile } from "./growing-file.js";
import { LineFile, placeOfLines, placeOfTable } from "./lines.js";
import { openStore } from "./store.js";

const utf8 = new TextEncoder();

export interface SinkRecord {
  readonly kind: "metrics" | "timing" | "sample";
  readonly step: number;
  /** Of metrics and timing. */
  readonly values?: Readonly<Record<string, number>>;
  /** Of samples. */
  readonly text?: string;
}

/**
 * A receiver of records. Promises are awaited before the next record is given. A resumed run gives the records after
 * its checkpoint again: only the run's own files are cut back.
 */
export interface Sink {
  /** For messages. */
  readonly name: string;
  write(record: SinkRecord): void | Promise<void>;
  /** Makes durable what was written. */
  flush?(): void | Promise<void>;
  close?(): void | Promise<void>;
}

/** A file for a sink: a path (Node: of the file system; browsers: of the private one), or a place in a store. */
export type SinkTarget = string | { readonly store: RunStore; readonly path: string };

export function sinkFile(target: SinkTarget): { store: RunStore; path: string } {
  if (typeof target !== "string") return target;
  const cut = Math.max(target.lastIndexOf("/"), platform().name === "node" ? target.lastIndexOf("\\") : -1);
  const folder = cut < 0 ? "." : target.slice(0, cut) || "/";
  return { store: openStore(folder), path: target.slice(cut + 1) };
}

/** Plain lines: `step 250  loss 1.9312  learningRate 0.001`. The writer is passed in, as in `consoleSink(console.log)`. */
export function consoleSink(print: (line: string) => void): Sink {
  return {
    name: "consoleSink",
    write({ kind, step, values, text }) {
      if (kind === "timing") return;
      const shown = Object.entries(values ?? {}).map(([name, value]) => `${name} ${showNumber(value)}`);
      print([`step ${step}`, ...shown, ...(text === undefined ? [] : [text])].join("  "));
    },
  };
}

/** Five significant digits, without trailing zeros. */
export const showNumber = (value: number): string =>
  Number.isInteger(value) || !Number.isFinite(value) ? String(value) : String(Number(value.toPrecision(5)));

/** Bytes that wait at most for a sink's file that cannot be written: further records are dropped. */
const MOST = 64 * 2 ** 20;

/** A sink that writes to a file that grows; `put` writes what a record is there. */
export const fileSink = <F extends GrowingFile>(
  name: string,
  file: F,
  put: (file: F, record: SinkRecord) => void,
): Sink => ({
  name,
  async write(record) {
    if (file.waits < MOST) put(file, record);
    if (file.full) await file.flush();
  },
  flush: () => file.flush(),
  close: () => file.flush(),
});

/** JSON lines: a first line with format and version, then `{"kind":"metrics","step":1,"loss":4.17}`. */
export function jsonlSink(target: SinkTarget): Sink {
  const file = new LineFile(async () => {
    const { store, path } = sinkFile(target);
    return placeOfLines(store, path, "tenon-metrics");
  });
  return fileSink("jsonlSink", file, (lines, { kind, step, values, text }) =>
    lines.record({ kind, step, ...values, ...(text === undefined ? {} : { text }) }),
  );
}

/** A table `step,name,value`: one line per value, whatever metrics a step has. */
export function csvSink(target: SinkTarget): Sink {
  const file = new GrowingFile(async () => {
    const { store, path } = sinkFile(target);
    return placeOfTable(store, path, "step,name,value");
  });
  return fileSink("csvSink", file, (table, { kind, step, values = {} }) => {
    if (kind !== "metrics") return;
    for (const [name, value] of Object.entries(values)) table.write(utf8.encode(`${step},${csvCell(name)},${value}\n`));
  });
}

/** RFC 4180: quoted where a separator, quote or line end is inside. */
export const csvCell = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** Throws unless these are sinks, or nothing. */
export function checkSinks(where: string, sinks: unknown): void {
  if (sinks === undefined) return;
  const hint = 'For example sinks: [csvSink("values.csv")].';
  if (!Array.isArray(sinks))
    throw new ConfigError(`${where}: needs sinks as a list, got ${show(sinks)}.`, { where, hint });
  for (const sink of sinks) {
    if (typeof Object(sink).write === "function") continue;
    throw new ConfigError(`${where}: needs sinks with write(record), got ${kindOf(sink)}.`, { where, hint });
  }
}

/** Milliseconds that a sink may take over one record. */
const PATIENCE = 10_000;

interface Lane {
  readonly sink: Sink;
  last: Promise<void>;
  failed: boolean;
  /** Actions that it finished; by this a slow one is told from one that stands still. */
  done: number;
  /** Nothing is given to it any more. */
  givenUp: boolean;
}

/** Several sinks as one that never throws. Each one gets its records in order; one that never answers is given up. */
export class SinkGroup {
  private readonly lanes: Lane[];

  constructor(
    sinks: readonly Sink[],
    private readonly onError: (sink: Sink, error: unknown) => void = warnOf,
    private readonly patience = PATIENCE,
  ) {
    this.lanes = sinks.map((sink) => ({ sink, last: Promise.resolve(), failed: false, done: 0, givenUp: false }));
  }

  write(record: SinkRecord): void {
    this.each((sink) => sink.write(record));
  }

  async flush(): Promise<void> {
    this.each((sink) => sink.flush?.());
    await this.settled();
  }

  async close(): Promise<void> {
    this.each((sink) => sink.close?.());
    await this.settled();
  }

  private each(action: (sink: Sink) => void | Promise<void>): void {
    for (const lane of this.lanes) {
      if (lane.givenUp) continue;
      lane.last = lane.last
        .then(() => (lane.givenUp ? undefined : action(lane.sink)))
        .catch((error) => this.report(lane, error))
        .then(() => void lane.done++);
    }
  }

  private async settled(): Promise<void> {
    await Promise.all(this.lanes.map((lane) => lane.givenUp || this.settledOne(lane)));
  }

  private async settledOne(lane: Lane): Promise<void> {
    let ended = false;
    const end = lane.last.then(() => {
      ended = true;
    });
    while (!ended) {
      const { done } = lane;
      await within(end, this.patience);
      if (ended || lane.done > done) continue;
      lane.givenUp = true;
      const silence = `said nothing for ${this.patience / 1000} s and is given no more records.`;
      this.report(lane, new RunError(`${lane.sink.name}: ${silence}`, { where: lane.sink.name }));
      return;
    }
  }

  private report(lane: Lane, error: unknown): void {
    if (!lane.failed) this.onError(lane.sink, error);
    lane.failed = true;
  }
}

/** Waits for a promise, but not for ever. */
async function within(promise: Promise<void>, milliseconds: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  await Promise.race([promise, new Promise<void>((resolve) => (timer = setTimeout(resolve, milliseconds)))]);
  clearTimeout(timer);
}

/** Reports a sink's failure as a warning; to the run that it belongs to, where that is known. */
export function warnOf(sink: Sink, error: unknown, to?: WarningListener): void {
  const said = error instanceof Error ? error.message : show(error);
  warn("sink-failed", `${sink.name}: threw, the run goes on: ${said}`, { sink: sink.name, error }, to);
}
