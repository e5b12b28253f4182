/**
 * One linear memory for all tensors, and the allocator on it: a stack of free blocks per size class. Freed blocks are
 * kept (the first touch of a page costs far more than anything else here); when nothing fits and the memory cannot grow,
 * a block of just the size that was asked for will do, and free neighbours are merged and cut anew before the request is
 * refused.
 */

import { MemoryBudgetError } from "../../core/errors.js";
import { showBytes } from "../storage.js";

const PAGE = 65536;
/** Bytes below this address belong to the thread pool's control block; address 0 is never handed out. */
export const HEAP_START = 4096;
/** All blocks start and end on multiples of this. */
export const ALIGNMENT = 64;
/** Kernels may read (never write) up to this far past a block: the end of the memory is kept free. */
const GUARD = 256;
const GROW_STEP = 16 * 1024 * 1024;
const GIB = 1024 ** 3;

export interface MemoryStatistics {
  /** Bytes in blocks that are in use (rounded up to their size class). */
  live: number;
  /** Bytes in freed blocks, ready for use again. */
  pooled: number;
  /** The most bytes that were ever in use at once. */
  peak: number;
  /** Bytes the engine has given to the memory so far. */
  reserved: number;
  /** The most it can become. */
  maximum: number;
}

/**
 * The bytes a request really takes: multiples of 64 up to 256, then four classes per octave, so that at most a fifth
 * is lost.
 */
export function classBytes(bytes: number): number {
  if (bytes <= 256) return aligned(bytes);
  const step = powers[(29 - Math.clz32(bytes - 1)) & 31]; // whatever it is above 4 GiB, a number
  return Math.ceil(bytes / step) * step;
}

/** The smallest block that holds a request. */
const aligned = (bytes: number): number => Math.max(1, Math.ceil(bytes / ALIGNMENT)) * ALIGNMENT;

/** 2^n by n: the operator `**` is a function call. */
const powers = Array.from({ length: 33 }, (_, n) => 2 ** n);

/** Position of a class (as returned by `classBytes`) in the list of all classes. */
function classIndex(size: number): number {
  if (size <= 256) return size / ALIGNMENT - 1;
  const octave = 31 - Math.clz32(size - 1);
  return 4 * (octave - 7) + (size / powers[octave - 2] - 5);
}

interface Region {
  address: number;
  bytes: number;
}

export class LinearMemory {
  readonly memory: WebAssembly.Memory;
  readonly shared: boolean;
  /** Maximum in pages of 64 KiB: what modules that import this memory must declare. */
  readonly maximumPages: number;
  private readonly free: number[][] = [];
  /** Memory never cut yet, or merged back from freed blocks. The last one ends where the memory ends. */
  private regions: Region[];
  /** Bytes of the blocks in use that are smaller than their class, by address. */
  private readonly exact = new Map<number, number>();
  private live = 0;
  private pooled = 0;
  private peak = 0;
  private buffer: ArrayBufferLike;
  private views: { f32: Float32Array; i32: Int32Array; u32: Uint32Array; u16: Uint16Array; u8: Uint8Array };

  /** @param maximumBytes an upper bound for tests; by default the largest of 4, 2, 1 and 0.5 GiB the engine grants */
  constructor({ shared, maximumBytes = 4 * GIB }: { shared: boolean; maximumBytes?: number }) {
    const { memory, pages } = createMemory(shared, maximumBytes);
    this.memory = memory;
    this.maximumPages = pages;
    this.buffer = memory.buffer;
    this.shared = shared;
    this.views = viewsOf(this.buffer);
    this.regions = [{ address: HEAP_START, bytes: this.buffer.byteLength - HEAP_START - GUARD }];
  }

  /** Views of the whole memory, fresh after growth. Index with `address >>> 2` for 32-bit elements. */
  get f32(): Float32Array {
    return this.current().f32;
  }
  get i32(): Int32Array {
    return this.current().i32;
  }
  get u32(): Uint32Array {
    return this.current().u32;
  }
  get u16(): Uint16Array {
    return this.current().u16;
  }
  get u8(): Uint8Array {
    return this.current().u8;
  }

  private current() {
    // Growth replaces the buffer object of either kind of memory.
    if (this.buffer !== this.memory.buffer) {
      this.buffer = this.memory.buffer;
      this.views = viewsOf(this.buffer);
    }
    return this.views;
  }

  /**
   * The address of a block of at least `bytes` bytes, aligned to 64; its contents are undefined.
   * Throws MemoryBudgetError when the engine's maximum is reached; everything stays usable.
   */
  alloc(bytes: number): number {
    let size = classBytes(bytes);
    const stack = this.free[classIndex(size)];
    let address: number | undefined = stack?.pop();
    if (address !== undefined) this.pooled -= size;
    else {
      const block = this.cut(size, aligned(bytes));
      if (block.bytes < size) this.exact.set(block.address, (size = block.bytes));
      address = block.address;
    }
    this.live += size;
    if (this.live > this.peak) this.peak = this.live;
    return address;
  }

  /** Gives back a block; `bytes` is what it was asked for. */
  release(address: number, bytes: number): void {
    const exact = this.exact.get(address);
    if (exact !== undefined) {
      this.exact.delete(address);
      this.regions.unshift({ address, bytes: exact });
      this.live -= exact;
      return;
    }
    const size = classBytes(bytes);
    const index = classIndex(size);
    (this.free[index] ??= []).push(address);
    this.live -= size;
    this.pooled += size;
  }

  /** A block that is never given back and not counted as in use: kernels' code, small tables. */
  allocForever(bytes: number): number {
    return this.cut(aligned(bytes)).address;
  }

  statistics(): MemoryStatistics {
    return {
      live: this.live,
      pooled: this.pooled,
      peak: this.peak,
      reserved: this.memory.buffer.byteLength,
      maximum: this.maximumPages * PAGE,
    };
  }

  /** Starts a new measurement of the peak. */
  resetPeak(): void {
    this.peak = this.live;
  }

  /** A new block of `size` bytes, or else of `least`: from regions, a grown memory, or merged blocks, in this order of cost. */
  private cut(size: number, least = size): Region {
    const fit = () => this.takeOrGrow(size) ?? this.takeOrGrow(least);
    // Blocks merged at the end may need only the rest of the memory.
    const block = fit() ?? (this.merge() ? fit() : undefined);
    if (block) return block;
    const [needed, most, maximum, live] = [least, this.largestPiece(least), this.maximumPages * PAGE, this.live].map(
      showBytes,
    );
    throw new MemoryBudgetError(
      `cpu: an allocation needs ${needed} in one piece, got at most ${most} of ${maximum} (${live} in use).`,
      {
        where: "cpu",
        bytes: least,
        hint: "Use a smaller batch or model, or dispose of tensors that are no longer needed.",
      },
    );
  }

  private takeOrGrow(size: number): Region | undefined {
    return this.take(size) ?? (this.grow(size) ? this.take(size) : undefined);
  }

  private take(size: number): Region | undefined {
    const at = this.regions.findIndex((candidate) => candidate.bytes >= size);
    if (at < 0) return undefined;
    const region = this.regions[at];
    const { address } = region;
    region.address += size;
    region.bytes -= size;
    // The last one is there to be grown.
    if (region.bytes === 0 && at < this.regions.length - 1) this.regions.splice(at, 1);
    return { address, bytes: size };
  }

  /** What there is for a request that is refused: the largest region, or the last one grown, if that would be too little. */
  private largestPiece(size: number): number {
    const last = this.regions[this.regions.length - 1];
    const grown = last.bytes + this.maximumPages * PAGE - this.memory.buffer.byteLength;
    return this.regions.reduce((most, region) => Math.max(most, region.bytes), grown < size ? grown : 0);
  }

  /** Grows so that `size` bytes fit at the end; in steps, because each growth may cost a system call. */
  private grow(size: number): boolean {
    const now = this.memory.buffer.byteLength;
    const last = this.regions[this.regions.length - 1];
    const missing = size - last.bytes;
    for (const wanted of [Math.max(missing, GROW_STEP, Math.floor(now / 8)), missing]) {
      const pages = Math.min(Math.ceil(wanted / PAGE), this.maximumPages - now / PAGE);
      if (pages * PAGE < missing) continue;
      try {
        this.memory.grow(pages);
      } catch {
        continue; // the engine or the system refuses: try less, then free blocks
      }
      last.bytes += pages * PAGE;
      return true;
    }
    return false;
  }

  /** Turns all pooled blocks back into regions, merging neighbours. True when there may have been anything to merge. */
  private merge(): boolean {
    if (this.pooled === 0 && this.regions.length === 1) return false;
    const pieces = [...this.regions];
    for (const [index, stack] of this.free.entries()) {
      if (!stack) continue;
      const bytes = bytesOfClass(index);
      for (const address of stack) pieces.push({ address, bytes });
      stack.length = 0;
    }
    pieces.sort((a, b) => a.address - b.address || a.bytes - b.bytes);
    this.regions = [];
    for (const piece of pieces) {
      const last = this.regions[this.regions.length - 1];
      if (last && last.address + last.bytes === piece.address) last.bytes += piece.bytes;
      else this.regions.push({ ...piece });
    }
    this.pooled = 0;
    return true;
  }
}

function bytesOfClass(index: number): number {
  if (index < 4) return (index + 1) * ALIGNMENT;
  return ((index & 3) + 5) * powers[(index >> 2) + 5];
}

function viewsOf(buffer: ArrayBufferLike) {
  return {
    f32: new Float32Array(buffer),
    i32: new Int32Array(buffer),
    u32: new Uint32Array(buffer),
    u16: new Uint16Array(buffer),
    u8: new Uint8Array(buffer),
  };
}

/** A memory with the largest maximum the engine grants: the address space is reserved, not the memory. */
function createMemory(shared: boolean, maximumBytes: number): { memory: WebAssembly.Memory; pages: number } {
  let refusal: unknown;
  for (const limit of [4 * GIB, 2 * GIB, GIB, GIB / 2]) {
    const pages = Math.floor(Math.min(limit, maximumBytes) / PAGE);
    try {
      return { memory: new WebAssembly.Memory({ initial: 1, maximum: pages, shared }), pages };
    } catch (error) {
      refusal = error;
    }
  }
  throw new MemoryBudgetError("cpu: needs at least 0.5 GiB of address space, got a refusal by the engine.", {
    where: "cpu",
    cause: refusal,
  });
}
