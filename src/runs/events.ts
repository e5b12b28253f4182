/**
 * A run as an object: its events as a stream for any number of readers, `stop()`, and the result as a promise. The
 * work runs whether anyone reads or not; a reader that leaves stops nothing.
 */

import type { Warning, WarningListener } from "../core/warnings.js";
import type { Unit } from "./task.js";

/** What a training run tells, in order. `step` counts optimizer steps from 1. */
export type TrainingEvent =
  | {
      readonly type: "start";
      readonly runId: string;
      readonly executionId: string;
      /** Folder of the run in its store; with the store's name for a reader. */
      readonly runDir: string;
      readonly steps: number;
      /** Step from which a resumed run goes on; 0 for a new one. */
      readonly fromStep: number;
      /** Device, threads, SIMD, numerics, and why anything is missing: the first line that is shown. */
      readonly environment: Readonly<Record<string, unknown>>;
      readonly parameters: number;
      /** What `tokens` and `tokensPerSecond` count: tokens of a text, rows of anything else. */
      readonly unit: Unit;
    }
  | {
      readonly type: "step";
      readonly step: number;
      readonly steps: number;
      readonly loss: number;
      readonly learningRate: number;
      readonly gradNorm: number;
      /** Tokens trained on so far. */
      readonly tokens: number;
      /** By the clock that was passed in; absent without one. */
      readonly tokensPerSecond?: number;
    }
  | { readonly type: "metric"; readonly step: number; readonly name: string; readonly value: number }
  | {
      readonly type: "eval";
      readonly step: number;
      readonly valLoss: number;
      /** Other measures by name: `valAccuracy`; `valMae`, `valRmse` and `valR2`. */
      readonly metrics: Readonly<Record<string, number>>;
      readonly final: boolean;
    }
  | { readonly type: "sample"; readonly step: number; readonly text: string }
  | { readonly type: "checkpoint"; readonly step: number; readonly path: string; readonly weightsHash: string }
  | ({ readonly type: "warning" } & Warning)
  | { readonly type: "stopped"; readonly step: number; readonly executionId: string; readonly resume: string }
  | { readonly type: "done"; readonly result: TrainingResult };

/** What `await run` gives; also the last line of `tenon train --json`. */
export interface TrainingResult {
  readonly runId: string;
  readonly executionId: string;
  readonly runDir: string;
  readonly steps: number;
  readonly trainLoss: number;
  readonly valLoss: number;
  /** Other measures of the last validation, by name. */
  readonly metrics: Readonly<Record<string, number>>;
  readonly weightsHash: string;
  /** Of a table: rows per second. */
  readonly tokensPerSecond: number;
  readonly unit: Unit;
  readonly device: string;
  readonly threads: number;
  readonly numerics: string;
  /** Bytes of tensors when the run ended, and the most there were at once. */
  readonly memory: { readonly live: number; readonly pooled: number; readonly peak: number };
  /** The first step whose loss was NaN or infinite; absent where all were finite. */
  readonly divergedAt?: number;
  /** True when the run was stopped before its last step. */
  readonly stopped?: boolean;
}

/** One event and, once there is one, the next: readers walk this chain, and what none of them can reach is freed. */
interface Link<E> {
  event?: E;
  next?: Link<E>;
}

/** Events kept for readers that start late; readers that started earlier miss nothing. */
const HISTORY = 1000;

let open = 0;

/** How many runs of this process have not ended. */
export const runsAtWork = (): number => open;

/** A piece of work with events. `TrainingRun` is the one for training. */
export class Run<E, R> implements AsyncIterable<E>, PromiseLike<R> {
  private first: Link<E> = {};
  private last: Link<E> = this.first;
  private kept = 0;
  private ended = false;
  private observed = false;
  private wake: (() => void)[] = [];
  private readonly controller = new AbortController();
  private readonly outcome: Promise<R>;

  constructor(work: (emit: (event: E) => void, signal: AbortSignal) => Promise<R>) {
    open++;
    // Work starts after the caller's own turn, so that it can attach readers first.
    this.outcome = Promise.resolve().then(() => work((event) => this.emit(event), this.controller.signal));
    this.outcome.then(
      () => this.end(),
      (error) => {
        this.end();
        // A failure that nobody looks at must not vanish: it goes to the host as an unhandled rejection.
        if (!this.observed) void Promise.reject(error);
      },
    );
  }

  /** The result; rejects with what the work threw. */
  get result(): Promise<R> {
    this.observed = true;
    return this.outcome;
  }

  /** True from `stop()` on. */
  get stopping(): boolean {
    return this.controller.signal.aborted;
  }

  /** Asks the work to end at the next step, checkpoint included; resolves with the result so far. */
  stop(reason?: unknown): Promise<R> {
    this.controller.abort(reason);
    return this.result;
  }

  // biome-ignore lint/suspicious/noThenProperty: `await run` gives the result by contract
  then<A = R, B = never>(
    done?: ((value: R) => A | PromiseLike<A>) | null,
    failed?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.result.then(done, failed);
  }

  /**
   * Reads events from the first one that is kept (all of them, for a reader that starts with the run). Ends when the
   * work ends, throwing what it threw.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<E, void, undefined> {
    this.observed = true;
    for (let at = this.first; ; ) {
      if (at.next) {
        at = at.next;
        yield at.event as E;
      } else if (this.ended) {
        await this.outcome;
        return;
      } else {
        await new Promise<void>((resolve) => this.wake.push(resolve));
      }
    }
  }

  private emit(event: E): void {
    this.last = this.last.next = { event };
    if (++this.kept > HISTORY) {
      this.first = this.first.next as Link<E>;
      this.kept--;
    }
    this.wakeReaders();
  }

  private end(): void {
    this.ended = true;
    open--;
    this.wakeReaders();
  }

  private wakeReaders(): void {
    const sleeping = this.wake;
    this.wake = [];
    for (const resume of sleeping) resume();
  }
}

/** Tells of warnings as events. */
export const warningsTo =
  (emit: (event: TrainingEvent) => void): WarningListener =>
  (warning) =>
    emit({ type: "warning", ...warning });

/** A training run: what `train()` returns at once. */
export type TrainingRun = Run<TrainingEvent, TrainingResult>;

/** Starts work that tells events through `emit` and ends early when `signal` is aborted. */
export const createRun = <E = TrainingEvent, R = TrainingResult>(
  work: (emit: (event: E) => void, signal: AbortSignal) => Promise<R>,
): Run<E, R> => new Run(work);
