/** Storage: one piece of a device's memory, counted by references, with a version that mutation raises. */

import { MemoryBudgetError } from "../core/errors.js";
import type { Backend, Handle } from "./backend.js";

export class Storage {
  /** Raised by every op that writes in place; autograd compares it. */
  version = 0;
  private references = 1;

  private constructor(
    readonly backend: Backend,
    readonly handle: Handle,
    readonly bytes: number,
  ) {}

  /** Allocates; throws MemoryBudgetError before anything changes if that would exceed the budget. */
  static allocate(backend: Backend, bytes: number): Storage {
    if (bytes > budget - liveBytes) {
      throw new MemoryBudgetError(
        `allocation: needs ${showBytes(bytes)} more, got ${showBytes(liveBytes)} in use of a budget of ${showBytes(budget)}.`,
        {
          where: "allocation",
          bytes,
          live: liveBytes,
          budget,
          hint: "Free tensors, use a smaller batch, or raise memoryBudget.",
        },
      );
    }
    const storage = new Storage(backend, backend.alloc(bytes), bytes);
    liveBytes += bytes;
    return storage;
  }

  get alive(): boolean {
    return this.references > 0;
  }

  retain(): this {
    this.references++;
    return this;
  }

  release(): void {
    if (--this.references === 0) {
      liveBytes -= this.bytes;
      this.backend.free(this.handle, this.bytes);
    }
  }

  /** Is there exactly one owner? Then that owner may write in place. */
  get exclusive(): boolean {
    return this.references === 1;
  }
}

let budget = Number.POSITIVE_INFINITY;
let liveBytes = 0;

/** Bytes that all tensors on all devices may use together. */
export function setMemoryBudget(bytes: number | undefined): void {
  budget = bytes ?? Number.POSITIVE_INFINITY;
}

export const memoryBudget = (): number => budget;

/** `1.5 MiB`, for messages. */
export function showBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024;
    unit++;
  }
  return `${unit === 0 ? bytes : bytes.toFixed(1)} ${units[unit]}`;
}
