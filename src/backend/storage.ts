/** Storage: one piece of a device's memory, counted by references, with a version that mutation raises. */

import { byteSize, type DType } from "../core/dtype.js";
import { DeviceError, MemoryBudgetError, showShape } from "../core/errors.js";
import { type Shape, sizeOf } from "../core/shape.js";
import type { Backend, Handle } from "./backend.js";

export class Storage {
  /** Raised by every op that writes in place; autograd compares it. */
  version = 0;
  private references = 1;
  /** What allocated it, while sites are traced. */
  private site: AllocationSite | undefined;

  private constructor(
    readonly backend: Backend,
    readonly handle: Handle,
    readonly bytes: number,
  ) {}

  /**
   * Allocates; before anything changes, throws MemoryBudgetError if that would exceed the budget, and DeviceError if the
   * device holds no tensor as large.
   */
  static allocate(backend: Backend, shape: Shape, dtype: DType): Storage {
    const bytes = byteSize(dtype, sizeOf(shape));
    requireRoom(backend, bytes, () => `a ${dtype} tensor ${showShape(shape)}`);
    if (bytes > budget - liveBytes) refuseAllocation(bytes);
    const storage = new Storage(backend, backend.alloc(bytes), bytes);
    liveBytes += bytes;
    if (sites) storage.site = noteSite(sites, bytes);
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
      if (this.site) {
        this.site.bytes -= this.bytes;
        this.site.count--;
      }
      this.backend.free(this.handle, this.bytes);
    }
  }

  /** Is there exactly one owner? Then that owner may write in place. */
  get exclusive(): boolean {
    return this.references === 1;
  }
}

/** Throws DeviceError where no tensor on the device can have so many bytes. */
export function requireRoom({ device, largestTensor = Infinity }: Backend, bytes: number, what: () => string): void {
  if (bytes <= largestTensor) return;
  throw new DeviceError(
    `${device}: ${what()} needs ${showBytes(bytes)}, got a limit of ${showBytes(largestTensor)} per tensor of this adapter.`,
    { where: device, bytes, limit: largestTensor, hint: "Use a smaller batch or model, or the cpu device." },
  );
}

let budget = Number.POSITIVE_INFINITY;
let liveBytes = 0;

function refuseAllocation(bytes: number): never {
  const largest = allocationSites()
    .slice(0, 3)
    .map(({ site, bytes }) => `${site} ${showBytes(bytes)}`);
  throw new MemoryBudgetError(
    `allocation: needs ${showBytes(bytes)} more, got ${showBytes(liveBytes)} in use of a budget of ${showBytes(budget)}.`,
    {
      where: "allocation",
      bytes,
      live: liveBytes,
      budget,
      hint: `Free tensors, use a smaller batch, or raise memoryBudget.${largest.length ? ` Largest: ${largest.join(", ")}.` : ""}`,
    },
  );
}

/** Storage that one place in a program holds: an operation and the module it ran in. */
export interface AllocationSite {
  site: string;
  bytes: number;
  count: number;
}

let sites: Map<string, AllocationSite> | undefined;
let currentSite = "";

/** Starts or stops noting what allocates; storage that lives already stays without a site. */
export function noteAllocations(on: boolean): void {
  sites = on ? new Map() : undefined;
}

/** Runs a function whose allocations belong to a site; an inner site wins. */
export function atSite<T>(site: string, fn: () => T): T {
  const before = currentSite;
  currentSite = site;
  try {
    return fn();
  } finally {
    currentSite = before;
  }
}

function noteSite(known: Map<string, AllocationSite>, bytes: number): AllocationSite {
  const name = currentSite || "outside of operations";
  let site = known.get(name);
  if (site === undefined) known.set(name, (site = { site: name, bytes: 0, count: 0 }));
  site.bytes += bytes;
  site.count++;
  return site;
}

/** The sites that hold storage now, the largest first; none unless they are traced. */
export const allocationSites = (): AllocationSite[] =>
  [...(sites?.values() ?? [])]
    .filter(({ count }) => count > 0)
    .map((site) => ({ ...site }))
    .sort((a, b) => b.bytes - a.bytes);

/** Bytes that all tensors on all devices may use together. */
export function setMemoryBudget(bytes: number | undefined): void {
  budget = bytes ?? Number.POSITIVE_INFINITY;
}

export const memoryBudget = (): number => budget;

/** `1.5 MiB`, for messages. */
export function showBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  // What would be shown as 1024.0 of a unit is 1.0 of the next.
  while (bytes >= 1023.95 && unit < units.length - 1) {
    bytes /= 1024;
    unit++;
  }
  return `${unit === 0 ? bytes : bytes.toFixed(1)} ${units[unit]}`;
}
