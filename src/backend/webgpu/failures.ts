/**
 * What went wrong on the device. Commands run later than they are called, so their errors arrive later too: they are
 * collected here and reject the next read, naming the operations of the batch.
 */

import { DeviceError, listOf, type TenonError } from "../../core/errors.js";
import { badIndex } from "../indices.js";
import { outOfMemory } from "./pool.js";

/** One check of indices, as the device's report refers to it. */
interface IndexCheck {
  readonly op: string;
  readonly size: number;
}

export class Failures {
  private first: TenonError | undefined;
  /** Of no scope; it may come before what a scope tells, yet follow from it: nothing can be done with a refused buffer. */
  private uncaptured: TenonError | undefined;
  private lostWith: DeviceError | undefined;
  private readonly pending = new Set<Promise<void>>();
  private readonly checks = new Map<number, IndexCheck>();
  private lastCheck = 0;
  /** How many times indices were bad: what was checked before the last of them may be what was bad. */
  reports = 0;

  constructor(device: GPUDevice) {
    device.onuncapturederror = ({ error }) => {
      this.uncaptured ??= deviceError("a command failed", error);
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
  watchAllocation(scope: Promise<GPUError | null>, bytes: number): void {
    this.watch(scope, (error) => outOfMemory(bytes, error));
  }

  /** A scope that guarded the making of a kernel. */
  watchKernel(scope: Promise<GPUError | null>, name: string): void {
    this.watch(scope, (error) => deviceError(`the kernel of ${name} was refused`, error));
  }

  /** A scope that guarded a batch of operations. */
  watchBatch(scope: Promise<GPUError | null>, log: readonly string[]): void {
    this.watch(scope, (error) => {
      const counts = new Map<string, number>();
      for (const op of log) counts.set(op, (counts.get(op) ?? 0) + 1);
      const ops = [...counts].map(([op, count]) => (count > 1 ? `${op} (${count} times)` : op));
      return deviceError(`a batch of ${listOf(ops)} failed`, error);
    });
  }

  private watch(scope: Promise<GPUError | null>, explain: (error: GPUError) => TenonError): void {
    const settled = scope.then(
      (error) => {
        if (error) this.first ??= explain(error);
      },
      () => {}, // the device is lost, which is reported by itself
    );
    this.pending.add(settled);
    settled.then(() => this.pending.delete(settled));
  }

  /** The number under which the device reports a check of indices. */
  check(op: string, size: number): number {
    this.checks.set(++this.lastCheck, { op, size });
    return this.lastCheck;
  }

  /** The last check asked for; 0 when all have been reported on. */
  get openCheck(): number {
    return this.checks.size > 0 ? this.lastCheck : 0;
  }

  /**
   * Takes in a report that was made after check `upTo`: the number of the first check that failed (all ones if none),
   * the position and the index. Tells whether one failed.
   */
  takeReport([failed, position, index]: Int32Array, upTo: number): boolean {
    const check = this.checks.get(failed);
    for (const number of this.checks.keys()) if (number <= upTo) this.checks.delete(number);
    if (failed === -1) return false;
    this.reports++;
    if (!check) return true;
    try {
      badIndex(check.op, check.size, index, position);
    } catch (error) {
      this.first ??= error as TenonError;
    }
    return true;
  }

  /** Waits for everything that is under way; throws the first failure, once. */
  async settle(): Promise<void> {
    await Promise.all(this.pending);
    const error = this.first ?? this.uncaptured;
    this.first = this.uncaptured = undefined;
    if (error) throw error;
    this.requireDevice();
  }
}

const deviceError = (what: string, error: GPUError): DeviceError =>
  new DeviceError(`webgpu: ${what}: ${error.message}`, { where: "webgpu", cause: error });
