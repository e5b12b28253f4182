/**
 * A fork-join pool on one shared memory. A task is one kernel over a range cut into shares; every thread, the caller
 * included, takes shares until none is left. Taking a share is one compare-and-swap, so a worker that still sleeps, is
 * still starting, or has died before its first share delays nobody: the others do its work. Which thread computes what
 * never changes a bit, because shares are independent outputs.
 */

import { DeviceError } from "../../core/errors.js";
import { type PlatformWorker, platform } from "../../core/platform.js";
import { HEAP_START, type LinearMemory } from "./memory.js";
import { ARGUMENTS, MAX_ARGUMENTS, RECORD_HEADER, word, workerScript } from "./worker-script.js";

export type Kernel = (...args: number[]) => void;

/** How a kernel's work is divided. */
export interface Division {
  /** Index of the argument that receives the start of the range; the next one receives its end. */
  rangeArgument: number;
  /** The whole range is [0, total). */
  total: number;
  /** Shares start at multiples of this. */
  granule?: number;
  /** Index of the argument that receives the scratch address, if the kernel uses scratch. */
  scratchArgument?: number;
  /** Scratch bytes per thread. */
  scratchBytes?: number;
  /** Estimated work in units of about one nanosecond on one thread: below the pool's threshold nobody is woken. */
  cost: number;
}

export interface PoolOptions {
  /** Threads including the caller; more than cores is allowed and slow. */
  threads: number;
  /** Rounds a worker spins before it sleeps. */
  spin?: number;
  /** Sleeps of about a millisecond after which a worker that holds a share counts as lost; two minutes unless given. */
  patience?: number;
}

/**
 * Work above this many nanoseconds is cut finer than the threads are many: a thread whose core is slow, or busy with
 * something else, then takes fewer shares instead of making all wait.
 */
const MANY_SHARES = 200_000;
const SHARES_PER_THREAD = 4;
/** Rounds of spinning (about 0.1 ms) after which the caller sleeps for at most a millisecond at a time. */
const SPIN = 20_000;
/** No kernel takes that long. */
const PATIENCE = 120_000;
/** Rounds of spinning that count as one sleep, where the caller may not sleep. */
const SPINS_PER_SLEEP = 300_000;

export class Pool {
  /** Work below this many nanoseconds stays on the calling thread. Tests set 0. */
  threshold = 6000;
  /** Why there are fewer threads than asked for. */
  reason: string | undefined;
  private readonly kernels: Kernel[] = [];
  private readonly words: Int32Array;
  private readonly values: Float64Array;
  private workers: PlatformWorker[] = [];
  /** Scratch areas of a divided task: workers keep their number when others stop. */
  private slots = 1;
  private lastRecord = 0;
  private maySleep = true;
  private readonly patience: number;
  /** Ends the wait for workers that start. */
  private waitNoMore = () => {};
  private readonly started: Promise<void>;

  /** Starts the workers; work may be given at once, they join in when they are up. */
  constructor(
    private readonly memory: LinearMemory,
    { threads, spin = 30_000, patience = PATIENCE }: PoolOptions,
  ) {
    this.patience = patience;
    if (ARGUMENTS + 8 * MAX_ARGUMENTS > HEAP_START) throw new RangeError("pool: the control block is too small.");
    this.words = new Int32Array(memory.memory.buffer, 0, HEAP_START / 4);
    this.values = new Float64Array(memory.memory.buffer, ARGUMENTS, MAX_ARGUMENTS);
    this.started = this.spawn(threads, spin);
  }

  /** Threads that take part, the caller included. */
  get threads(): number {
    return this.workers.length + 1;
  }

  /** Resolves when every worker has started, was refused, or was stopped. Waiting for it is optional. */
  ready(): Promise<void> {
    return this.started;
  }

  private spawn(threads: number, spin: number): Promise<void> {
    if (threads <= 1) return Promise.resolve();
    if (!this.memory.shared) {
      this.reason = "there is no shared memory";
      return Promise.resolve();
    }
    const starts: Promise<void>[] = [];
    const stopped = new Promise<void>((resolve) => {
      this.waitNoMore = resolve;
    });
    for (let thread = 1; thread < threads; thread++) {
      let worker: PlatformWorker;
      try {
        worker = platform().spawn(workerScript, `tenon-${thread}`);
      } catch (error) {
        this.reason = `workers were refused: ${(error as Error).message}`;
        break;
      }
      this.slots = this.workers.push(worker) + 1;
      starts.push(
        new Promise((resolve) => {
          worker.onMessage(() => resolve());
          worker.onError((error) => {
            this.reason = `a worker stopped: ${error.message}`;
            this.workers = this.workers.filter((other) => other !== worker);
            resolve();
          });
        }),
      );
      worker.post({ memory: this.memory.memory, thread, spin });
    }
    return Promise.race([Promise.all(starts), stopped]).then(() => undefined);
  }

  /**
   * Compiles a module for all threads and returns the numbers of its kernels by name. Workers read the same bytes from
   * the shared memory when they first need them.
   */
  load(bytes: Uint8Array<ArrayBuffer>): Record<string, number> {
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory: this.memory.memory } });
    // First, since there may be no memory for it: kernels must have the same numbers everywhere.
    if (this.memory.shared) this.publish(bytes);
    const numbers: Record<string, number> = {};
    for (const [name, kernel] of Object.entries(instance.exports)) {
      numbers[name] = this.kernels.push(kernel as Kernel) - 1;
    }
    return numbers;
  }

  private publish(bytes: Uint8Array): void {
    const record = this.memory.allocForever(RECORD_HEADER + bytes.length);
    const { u32, u8 } = this.memory;
    u32[record >>> 2] = 0;
    u32[(record >>> 2) + 1] = bytes.length;
    u8.set(bytes, record + RECORD_HEADER);
    if (this.lastRecord) u32[this.lastRecord >>> 2] = record;
    else this.words[word.moduleList] = record;
    this.lastRecord = record;
    Atomics.add(this.words, word.modules, 1);
  }

  /** Runs a kernel on the calling thread. */
  call(kernel: number, args: readonly number[]): void {
    this.kernels[kernel](...args);
  }

  /** Runs a kernel over its whole range, on all threads where the work is worth it; returns when it is finished. */
  run(kernel: number, args: number[], division: Division): void {
    const { total, scratchArgument, scratchBytes } = division;
    if (total <= 0) return;
    const shares = args.length > MAX_ARGUMENTS ? 1 : this.shares(division);
    if (scratchArgument === undefined || !scratchBytes) {
      this.runShares(kernel, args, division, shares);
      return;
    }
    const bytes = shares === 1 ? scratchBytes : scratchBytes * this.slots;
    const scratch = this.memory.alloc(bytes);
    args[scratchArgument] = scratch;
    try {
      this.runShares(kernel, args, division, shares);
    } finally {
      this.memory.release(scratch, bytes);
    }
  }

  private runShares(kernel: number, args: number[], division: Division, shares: number): void {
    const { rangeArgument, total } = division;
    if (shares === 1) {
      args[rangeArgument] = 0;
      args[rangeArgument + 1] = total;
      this.kernels[kernel](...args);
      return;
    }
    this.post(kernel, args, division, shares);
    const { words } = this;
    let failure: unknown;
    for (;;) {
      const remaining = Atomics.load(words, word.remaining);
      if (remaining === 0) break;
      if (Atomics.compareExchange(words, word.remaining, remaining, remaining - 1) !== remaining) continue;
      try {
        this.runShare(kernel, args, division, shares - remaining, shares);
      } catch (error) {
        failure = error; // the other shares must end before anyone may touch the task
      }
      Atomics.add(words, word.done, 1);
    }
    this.join(shares);
    if (failure) throw failure;
  }

  /** Into how many shares `run` would cut this work; 1 where it stays on the calling thread. */
  shares({ total, granule = 1, cost }: Division): number {
    const { threads } = this;
    if (threads === 1 || cost < this.threshold) return 1;
    const perThread = cost > MANY_SHARES ? SHARES_PER_THREAD : 1;
    return Math.min(threads * perThread, Math.ceil(total / granule));
  }

  private post(kernel: number, args: readonly number[], division: Division, shares: number): void {
    const { words, values } = this;
    for (let k = 0; k < args.length; k++) values[k] = args[k];
    words[word.kernel] = kernel;
    words[word.argumentCount] = args.length;
    words[word.rangeArgument] = division.rangeArgument;
    words[word.total] = division.total;
    words[word.granule] = division.granule ?? 1;
    words[word.shares] = shares;
    words[word.scratchArgument] = division.scratchArgument ?? -1;
    words[word.scratchBytes] = division.scratchBytes ?? 0;
    Atomics.store(words, word.done, 0);
    Atomics.store(words, word.remaining, shares);
    if (Atomics.load(words, word.sleeping) > 0) Atomics.notify(words, word.remaining);
  }

  private runShare(kernel: number, args: number[], division: Division, share: number, shares: number): void {
    const { rangeArgument, total, granule = 1 } = division;
    const units = Math.ceil(total / granule);
    args[rangeArgument] = Math.min(Math.floor((units * share) / shares) * granule, total);
    args[rangeArgument + 1] = Math.min(Math.floor((units * (share + 1)) / shares) * granule, total);
    this.kernels[kernel](...args);
  }

  private join(shares: number): void {
    const { words } = this;
    for (let round = 0; ; round++) {
      const done = Atomics.load(words, word.done);
      if (done === shares) break;
      if (round > SPIN && this.maySleep) this.sleepOn(done);
      if (round - SPIN < this.patience * (this.maySleep ? 1 : SPINS_PER_SLEEP)) continue;
      this.stop();
      this.reason = "a worker was lost";
      throw new DeviceError("cpu: a worker took its share of a kernel and never finished it.", {
        where: "cpu",
        hint: "The result is incomplete; run with threads: 1.",
      });
    }
    if (words[word.failed] === 0) return;
    words[word.failed] = 0;
    throw new DeviceError("cpu: a kernel failed in a worker.", {
      where: "cpu",
      hint: "Please report this; threads: 1 avoids it.",
    });
  }

  /** On a busy machine the worker may wait for the very core this thread spins on: sleep a little instead. */
  private sleepOn(done: number): void {
    const { words } = this;
    Atomics.store(words, word.joining, 1);
    try {
      Atomics.wait(words, word.done, done, 1);
    } catch {
      this.maySleep = false; // the main thread of a page may not wait
    }
    Atomics.store(words, word.joining, 0);
  }

  /** Ends the workers; the pool goes on with the calling thread alone. */
  stop(): void {
    for (const worker of this.workers) worker.terminate();
    this.workers = [];
    this.waitNoMore();
  }
}
