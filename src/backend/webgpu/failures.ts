/**
 * What went wrong on the device. Commands run later than they are called, so their errors arrive later too: they are
 * collected here and reject the next read that was asked for after those commands, naming the operations of the batch.
 */

import { DeviceError, listOf, type TenonError } from "../../core/errors.js";
import { badIndex } from "../indices.js";
import { outOfMemory } from "./pool.js";

/** One check of indices, as the device's report refers to it. */
interface IndexCheck {
  readonly op: string;
  readonly size: number;
  /** Reads asked for before. */
  readonly from: number;
}

/** An error, and the reads whose values it may have spoilt: those after number `from`, as far as they were asked for when it was told. */
interface Failure {
  readonly error: TenonError;
  readonly from: number;
  until: number;
  /** Of no scope: it may come before what a scope tells, yet follow from it, since nothing can be done with a refused buffer. */
  readonly follows: boolean;
}

/** Words of the device's report: how many checks of indices failed, then of the last of them check, position and index. */
export const REPORT_WORDS = 64;
export const REPORTED = (REPORT_WORDS - 1) / 3;

export class Failures {
  private failures: Failure[] = [];
  /** Reads asked for, and those of them that are not done. */
  private reads = 0;
  private readonly reading = new Set<number>();
  private lostWith: DeviceError | undefined;
  private readonly pending = new Set<Promise<void>>();
  private readonly checks = new Map<number, IndexCheck>();
  private lastCheck = 0;
  /** Failed checks that were taken in. */
  private reported = 0;
  /** How many times indices were bad: what was checked before the last of them may be what was bad. */
  reports = 0;

  constructor(device: GPUDevice) {
    device.onuncapturederror = ({ error }) => {
      this.note(deviceError("a command failed", error), this.oldestRead - 1, true);
    };
    device.lost.then(({ reason, message }) => {
      this.lostWith ??= new DeviceError(`webgpu: the device was lost (${message || reason || "no reason given"}).`, {
        where: "webgpu",
        lost: true,
        reason,
        hint: 'Open it again with await init({ device: "webgpu" }) and go on from the last checkpoint; tensors of before are gone.',
      });
    });
  }

  get lost(): boolean {
    return this.lostWith !== undefined;
  }

  /** Throws if the device is gone. */
  requireDevice(): void {
    if (this.lostWith) throw this.lostWith;
  }

  /** The backend was closed: every later use says so. */
  close(): void {
    this.lostWith ??= new DeviceError("webgpu: the device was closed.", { where: "webgpu" });
  }

  /** Indices that were checked count as unchecked from here on. */
  forgetChecks(): void {
    this.reports++;
  }

  /** A scope that guarded an allocation. */
  watchAllocation(scope: Promise<GPUError | null>, bytes: number, asker?: string): void {
    this.watch(scope, (error) => outOfMemory(bytes, error, asker));
  }

  /** A scope that guarded the making of a kernel. */
  watchKernel(scope: Promise<GPUError | null>, name: string): void {
    this.watch(scope, (error) => deviceError(`the kernel of ${name} was refused`, error));
  }

  /** A scope that guarded a batch of operations, begun when so many reads had been asked for. */
  watchBatch(scope: Promise<GPUError | null>, log: readonly string[], from: number): void {
    const explain = (error: GPUError) => {
      const counts = new Map<string, number>();
      for (const op of log) counts.set(op, (counts.get(op) ?? 0) + 1);
      const ops = [...counts].map(([op, count]) => (count > 1 ? `${op} (${count} times)` : op));
      return deviceError(`a batch of ${listOf(ops)} failed`, error);
    };
    this.watch(scope, explain, from);
  }

  /** How many reads have been asked for. */
  get position(): number {
    return this.reads;
  }

  private note(error: TenonError, from: number, follows = false): void {
    this.failures.push({ error, from, until: Number.POSITIVE_INFINITY, follows });
  }

  private watch(scope: Promise<GPUError | null>, explain: (error: GPUError) => TenonError, from = this.reads): void {
    const settled = scope.then(
      (error) => {
        if (error) this.note(explain(error), from);
      },
      () => {}, // the device is lost, which is reported by itself
    );
    this.pending.add(settled);
    settled.then(() => this.pending.delete(settled));
  }

  /** The number under which the device reports a check of indices. */
  check(op: string, size: number): number {
    this.checks.set(++this.lastCheck, { op, size, from: this.reads });
    return this.lastCheck;
  }

  /** The last check asked for; 0 when all have been reported on. */
  get openCheck(): number {
    return this.checks.size > 0 ? this.lastCheck : 0;
  }

  /** Takes in a report that was made after check `upTo`. */
  takeReport(report: Int32Array, upTo: number): void {
    const [failed] = report;
    for (let n = Math.max(this.reported, failed - REPORTED); n < failed; n++) {
      const [check, position, index] = report.subarray(1 + 3 * (n % REPORTED));
      const known = this.checks.get(check);
      if (!known) continue;
      try {
        badIndex(known.op, known.size, index, position);
      } catch (error) {
        this.note(error as TenonError, known.from);
      }
    }
    if (failed > this.reported) {
      this.reported = failed;
      this.reports++;
    }
    for (const number of this.checks.keys()) if (number <= upTo) this.checks.delete(number);
  }

  /** A read is asked for; its number. */
  beginRead(): number {
    this.reading.add(++this.reads);
    return this.reads;
  }

  private get oldestRead(): number {
    let oldest = this.reads + 1;
    for (const read of this.reading) oldest = Math.min(oldest, read);
    return oldest;
  }

  /**
   * Waits for everything that is under way; throws what may have spoilt the values of this read. An error is told to all
   * reads that had been asked for when it was first told, since some of them may be nobody's any more, and to none after.
   */
  async endRead(read: number): Promise<void> {
    try {
      await Promise.all(this.pending);
      const own = this.failures.filter(({ from, until }) => from < read && read <= until);
      const causes = own.filter(({ follows }) => !follows);
      const isNew = ({ until }: Failure) => until === Number.POSITIVE_INFINITY;
      const cause = causes.find(isNew) ?? causes[0] ?? own[0];
      for (const failure of own.filter(isNew)) failure.until = this.reads;
      if (cause) throw cause.error;
      this.requireDevice();
    } finally {
      this.reading.delete(read);
      const { oldestRead } = this;
      this.failures = this.failures.filter(({ until }) => until >= oldestRead);
    }
  }
}

const deviceError = (what: string, error: GPUError): DeviceError =>
  new DeviceError(`webgpu: ${what}: ${error.message}`, { where: "webgpu", cause: error });
