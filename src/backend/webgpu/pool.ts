/**
 * Memory of the device. A tensor owns a `Piece`; a piece gets a buffer when it is first used, so that a piece whose
 * first use is an upload takes a buffer that no recorded command touches, and the upload needs no submit before it.
 * Free buffers are kept by size class and leave when nothing has asked for them for a while.
 */

import { DeviceError, MemoryBudgetError } from "../../core/errors.js";
import type { BackendMemory } from "../backend.js";
import { showBytes } from "../storage.js";

/** A buffer of the pool, or a place on a shelf. */
export interface Slot {
  readonly id: number;
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
  readonly shelf?: Shelf;
  /** The batch of commands that last used it. */
  batch: number;
  /** The device had no memory for it, which it tells when the buffer is in use: no command that uses it runs. */
  refused?: boolean;
}

/** What a tensor holds: its size, and its buffer once it has one. */
export class Piece {
  slot: Slot | undefined;
  /** A few bytes that are known here and not yet on the device: numbers beside tensors. Kernels read them as parameters. */
  known: Uint8Array | undefined;
  /** Its int32 elements were checked to lie in 0 … below - 1, or to be `except`, after so many reports of bad ones. */
  checked: { readonly below: number; readonly except?: number; readonly reports: number } | undefined;
  released = false;

  constructor(readonly bytes: number) {}
}

/** The commands under way, which copy what moves. */
interface Copying {
  readonly batch: number;
  copy(from: Slot, to: Slot): void;
}

/** A buffer that several pieces share. It is itself a piece, so that one binding reaches all of them. */
export interface Shelf {
  readonly whole: Piece;
  /** Pieces that lie on it. */
  pieces: number;
}

/** Places on shelves start at multiples of what every device can bind. */
const SHELF_STEP = 256;
export const onShelf = (piece: Piece): number => Math.ceil(piece.bytes / SHELF_STEP) * SHELF_STEP;

const SMALLEST = 256;

/** Buffers come in four sizes per power of two, so above 1 KiB at most a fifth of one is unused. */
function sizeClass(bytes: number): number {
  if (bytes <= SMALLEST) return SMALLEST;
  let step = SMALLEST;
  while (step * 8 <= bytes) step *= 2;
  return Math.ceil(bytes / step) * step;
}

/** Ranges start where every device can bind, and at whole quads of every dtype. */
const RANGE_STEP = 4096;
/** Kernels count elements, which may be bytes, in 32 bits. */
const MOST_BYTES = 2 ** 32 - SMALLEST;

/** Free buffers that this many batches did not ask for are destroyed. */
const PATIENCE = 256;

/** Buffers that somebody holds on to: those of its `slots` that become free are free for it alone. */
interface Holder {
  /** Made meanwhile. */
  readonly pieces: Set<Piece>;
  readonly slots: ReadonlySet<Slot>;
  readonly own: Reserve;
}

/** Free buffers of one holder, by size class. */
export interface Reserve {
  readonly free: Map<number, Slot[]>;
  /** The batch that last used them; infinite while they are in use. */
  batch: number;
}

export class Pool {
  private readonly free = new Map<number, Slot[]>();
  holder: Holder | undefined;
  private readonly reserves = new Set<Reserve>();
  private readonly staging = new Map<number, GPUBuffer[]>();
  private nextId = 0;
  private live = 0;
  private pooled = 0;
  private peak = 0;
  /** Buffers made so far, for tests of growth. */
  created = 0;
  /** Bytes that one binding reaches; larger buffers are bound by ranges of so many. */
  readonly range: number;
  /** Bytes of the largest buffer that kernels can reach. */
  readonly largest: number;

  constructor(
    private readonly device: GPUDevice,
    private readonly refused: (error: Promise<GPUError | null>, bytes: number, asker?: string) => void,
    private readonly forget: (slot: Slot) => void,
  ) {
    const { maxBufferSize, maxStorageBufferBindingSize, maxStorageBuffersPerShaderStage } = device.limits;
    this.range = maxStorageBufferBindingSize - (maxStorageBufferBindingSize % RANGE_STEP);
    // A product has three buffers beside the one that may need many bindings; a read takes a report along.
    const reach = this.range * (maxStorageBuffersPerShaderStage - 3);
    this.largest = Math.min(maxBufferSize - (maxBufferSize % RANGE_STEP) - SMALLEST, reach, MOST_BYTES);
  }

  alloc(bytes: number): Piece {
    if (bytes > this.largest) {
      throw new DeviceError(
        `webgpu: an operation needs ${showBytes(bytes)} on the side, got a limit of ${showBytes(this.largest)} per buffer of this adapter.`,
        { where: "webgpu", bytes, limit: this.largest, hint: "Use a smaller batch or model, or the cpu device." },
      );
    }
    this.live += bytes;
    this.peak = Math.max(this.peak, this.live);
    const piece = new Piece(bytes);
    this.holder?.pieces.add(piece);
    return piece;
  }

  /** Memory of the backend itself: it counts as no tensor's. */
  own(bytes: number): Piece {
    return new Piece(bytes);
  }

  release(piece: Piece): void {
    piece.released = true;
    this.live -= piece.bytes;
    piece.known = undefined;
    if (piece.slot) this.giveBack(piece.slot);
    piece.slot = undefined;
  }

  private giveBack(slot: Slot): void {
    const { shelf } = slot;
    if (!shelf) {
      this.recycle(slot);
      return;
    }
    const whole = shelf.whole.slot!;
    // Commands that use one place use the buffer of all.
    whole.batch = Math.max(whole.batch, slot.batch);
    if (--shelf.pieces > 0) return;
    this.recycle(whole);
    shelf.whole.slot = undefined;
  }

  /** Moves pieces that have buffers onto a new shelf, in order. */
  shelve(pieces: readonly Piece[], commands: Copying): void {
    const { batch } = commands;
    const shelf: Shelf = {
      whole: this.own(pieces.reduce((bytes, piece) => bytes + onShelf(piece), 0)),
      pieces: pieces.length,
    };
    const { buffer } = this.slotFor(shelf.whole, batch, false);
    let offset = 0;
    for (const piece of pieces) {
      const size = onShelf(piece);
      this.move(piece, { id: this.nextId++, buffer, offset, size, shelf, batch }, commands);
      offset += size;
    }
  }

  /** Moves a piece from its shelf into a buffer of its own. */
  unshelve(piece: Piece, commands: Copying): void {
    this.move(piece, this.slotFor(this.own(piece.bytes), commands.batch, false), commands);
  }

  private move(piece: Piece, to: Slot, commands: Copying): void {
    const from = piece.slot!;
    commands.copy(from, to);
    piece.slot = to;
    this.giveBack(from);
  }

  /** A buffer for a piece: any free one, or for an upload one that the batch does not use. Messages name who asks. */
  slotFor(piece: Piece, batch: number, untouched: boolean, asker?: string): Slot {
    if (piece.slot) return piece.slot;
    const size = Math.min(sizeClass(Math.max(4, piece.bytes)), this.largest);
    const held = untouched ? undefined : this.holder?.own.free.get(size);
    const list = held?.length ? held : this.free.get(size);
    let at = list ? list.length - 1 : -1;
    if (list && untouched) at = list.findIndex((slot) => slot.batch < batch);
    if (list && at >= 0) {
      piece.slot = list.splice(at, 1)[0];
      this.pooled -= size;
    } else {
      piece.slot = this.create(size, asker);
    }
    return piece.slot;
  }

  private create(size: number, asker?: string): Slot {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const buffer = this.allocate(size, usage, asker, () => this.dropRefused(slot));
    const slot: Slot = { id: this.nextId++, buffer, offset: 0, size, batch: -1 };
    return slot;
  }

  private allocate(size: number, usage: GPUBufferUsageFlags, asker?: string, whenRefused?: () => void): GPUBuffer {
    this.created++;
    this.device.pushErrorScope("out-of-memory");
    try {
      return this.device.createBuffer({ size, usage });
    } catch (cause) {
      throw outOfMemory(size, cause, asker);
    } finally {
      const answer = this.device.popErrorScope();
      this.refused(answer, size, asker);
      if (whenRefused) {
        answer.then(
          (error) => error && whenRefused(),
          () => {}, // the device is lost
        );
      }
    }
  }

  /** A refused buffer is nobody's next one: neither now, if it is free already, nor when it is given back. */
  private dropRefused(slot: Slot): void {
    slot.refused = true;
    const list = this.free.get(slot.size);
    if (!list?.includes(slot)) return;
    list.splice(list.indexOf(slot), 1);
    this.pooled -= slot.size;
    this.forget(slot);
  }

  private recycle(slot: Slot): void {
    if (slot.refused) {
      this.forget(slot);
      return;
    }
    const free = this.holder?.slots.has(slot) ? this.holder.own.free : this.free;
    const list = free.get(slot.size);
    if (list) list.push(slot);
    else free.set(slot.size, [slot]);
    this.pooled += slot.size;
  }

  /** Leaves buffers to who holds on to them, until they are taken back. */
  leave(reserve: Reserve): void {
    this.reserves.add(reserve);
  }

  takeBack(reserve: Reserve): void {
    this.reserves.delete(reserve);
    const { free } = reserve;
    for (const slot of [...free.values()].flat()) {
      this.pooled -= slot.size;
      this.recycle(slot);
    }
    free.clear();
  }

  /** Destroys free buffers that no batch since `batch - PATIENCE` used; holders lose theirs together. */
  trim(batch: number): void {
    for (const reserve of this.reserves) if (reserve.batch < batch - PATIENCE) this.takeBack(reserve);
    for (const [size, list] of this.free) {
      const kept = list.filter((slot) => slot.batch >= batch - PATIENCE);
      if (kept.length === list.length) continue;
      for (const slot of list) {
        if (kept.includes(slot)) continue;
        slot.buffer.destroy();
        this.forget(slot);
        this.pooled -= size;
      }
      this.free.set(size, kept);
    }
  }

  /** A buffer to read back through; give it back with `unstage`. */
  stage(bytes: number): GPUBuffer {
    const size = Math.min(sizeClass(bytes), this.largest + SMALLEST);
    const ready = this.staging.get(size)?.pop();
    return ready ?? this.allocate(size, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
  }

  unstage(buffer: GPUBuffer): void {
    const list = this.staging.get(buffer.size);
    // Two of a size serve reads that overlap; large ones are not kept.
    if ((list?.length ?? 0) >= 2 || buffer.size > 2 ** 24) buffer.destroy();
    else if (list) list.push(buffer);
    else this.staging.set(buffer.size, [buffer]);
  }

  /** Notes the highest use so far; the function returned forgets what came since. */
  holdPeak(): () => void {
    const { peak } = this;
    return () => {
      this.peak = peak;
    };
  }

  memory(): BackendMemory {
    return { live: this.live, pooled: this.pooled, peak: this.peak };
  }
}

export const outOfMemory = (bytes: number, cause: unknown, asker = "webgpu"): MemoryBudgetError =>
  new MemoryBudgetError(`${asker}: an allocation needs ${showBytes(bytes)}, got none from the graphics card.`, {
    where: asker,
    bytes,
    cause,
    hint: "Free tensors, use a smaller batch or model, or the cpu device.",
  });
