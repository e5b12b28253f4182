/**
 * The command stream. Launches and copies are recorded into one encoder, and submitted when somebody waits for a value,
 * when an upload must come after recorded commands, and after every few launches. Recording costs no buffer per launch:
 * the numbers of a whole batch lie in one uniform buffer.
 */

import type { Failures } from "./failures.js";
import { Parameters } from "./parameters.js";
import type { Slot } from "./pool.js";
import type { Kernel, Variant } from "./shader.js";

/** How many workgroups: a number is spread over two dims where one has not room enough. */
export type Groups = number;

/**
 * Launches of a batch at most: the card works on one while the next is recorded. On Dawn without a card, recording the
 * 167 launches of a small GPT's step takes 5% longer by 32, 20% by 16.
 */
const LAUNCHES = 32;

const TIDY_EVERY = 64;

/** Running totals, for tests and for reports of what a step costs. */
export interface Counters {
  dispatches: number;
  submits: number;
  reads: number;
  uploads: number;
}

/** The numbers of a launch; a function where they differ each time that it is recorded. */
export type Numbers = readonly number[] | (() => readonly number[]);

/** One launch of an operation: its buffers, and its numbers in the order of the kernel's source. */
export interface Launch {
  readonly op: string;
  readonly kernel: Kernel;
  readonly slots: readonly Slot[];
  readonly numbers: Numbers;
  readonly groups: Groups;
}

const valuesOf = (numbers: Numbers): readonly number[] => (typeof numbers === "function" ? numbers() : numbers);

export class Commands {
  readonly counters: Counters = { dispatches: 0, submits: 0, reads: 0, uploads: 0 };
  /** The batch that is recorded now. */
  batch = 0;
  private readonly queue: GPUQueue;
  private readonly parameters: Parameters;
  private encoder: GPUCommandEncoder | undefined;
  private pass: GPUComputePassEncoder | undefined;
  private log: string[] = [];
  /** Reads asked for when the batch was begun. */
  private from = 0;
  private flushing: Promise<void> | undefined;

  constructor(
    private readonly device: GPUDevice,
    private readonly failures: Failures,
    /** Workgroups that a launch may have along one dim. */
    private readonly most: number,
    /** Called now and then, with the number of the next batch. */
    private readonly tidyUp: (batch: number) => void,
  ) {
    this.queue = device.queue;
    this.parameters = new Parameters(device);
  }

  /** The uniform buffer that holds the numbers of every launch. */
  get numbers(): GPUBuffer {
    return this.parameters.buffer;
  }

  /** Records a launch by a pipeline of its kernel, its buffers bound by a group. */
  launch({ op, kernel, slots, numbers, groups }: Launch, { pipeline }: Variant, group: GPUBindGroup): void {
    if (!this.parameters.hasRoom(kernel)) this.flush();
    for (const slot of slots) slot.batch = this.batch;
    this.pass ??= this.open().beginComputePass();
    const { pass, most } = this;
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group, [this.parameters.write(kernel, valuesOf(numbers), groups)]);
    const rows = Math.ceil(groups / most);
    pass.dispatchWorkgroups(rows === 1 ? groups : most, rows);
    this.counters.dispatches++;
    if (this.log.push(op) === LAUNCHES) this.flush();
  }

  /** Records a copy from one buffer to another, of what fits. */
  copy(from: Slot, to: Slot): void {
    const size = Math.min(from.size, to.size);
    this.open().copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, size);
    from.batch = to.batch = this.batch;
  }

  /** Records a copy out of a buffer, to where this side can read it. */
  copyOut(from: Slot, staging: GPUBuffer, at: number, bytes: number): void {
    if (bytes > 0) this.open().copyBufferToBuffer(from.buffer, from.offset, staging, at, bytes);
    from.batch = this.batch;
  }

  /** Bytes into a buffer, after everything recorded so far. */
  upload(slot: Slot, bytes: Uint8Array): void {
    if (slot.batch === this.batch) this.flush();
    this.counters.uploads++;
    const whole = bytes.length & ~3;
    if (whole > 0) this.queue.writeBuffer(slot.buffer, slot.offset, bytes as Uint8Array<ArrayBuffer>, 0, whole);
    if (whole === bytes.length) return;
    const rest = new Uint8Array(4);
    rest.set(bytes.subarray(whole));
    this.queue.writeBuffer(slot.buffer, slot.offset + whole, rest);
  }

  /** The encoder, between passes. */
  private open(): GPUCommandEncoder {
    this.pass?.end();
    this.pass = undefined;
    if (!this.encoder) {
      this.device.pushErrorScope("validation");
      this.encoder = this.device.createCommandEncoder();
      this.from = this.failures.position;
    }
    return this.encoder;
  }

  /** Submits what was recorded. */
  flush(): void {
    if (!this.encoder) return;
    this.pass?.end();
    this.parameters.upload(this.queue);
    this.queue.submit([this.encoder.finish()]);
    this.failures.watchBatch(this.device.popErrorScope(), this.log, this.from);
    this.counters.submits++;
    this.pass = undefined;
    this.encoder = undefined;
    this.log = [];
    if (++this.batch % TIDY_EVERY === 0) this.tidyUp(this.batch);
  }

  /** Reads that are asked for in one go share a submit. */
  flushSoon(): Promise<void> {
    this.flushing ??= Promise.resolve().then(() => {
      this.flushing = undefined;
      this.flush();
    });
    return this.flushing;
  }
}
