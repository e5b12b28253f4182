/**
 * Launches that are recorded again without being asked for one by one: choosing kernels, memory and bindings costs several
 * times what recording the launches does.
 */

import type { Recording } from "../backend.js";
import type { Commands, Launch } from "./commands.js";
import type { Piece, Pool, Reserve, Slot } from "./pool.js";
import type { Variant } from "./shader.js";

/** Work that takes more memory, on the side and for what it gives, takes so long that recording it is no matter. */
const MOST_BYTES = 2 ** 28;

interface Device {
  operation: string;
  readonly pool: Pool;
  /** Records what is held back. */
  settle(): void;
}

export class LaunchRecording implements Recording {
  /** Are launches noted, or does a live part run? */
  noting = true;
  /** Made by the work. */
  readonly pieces = new Set<Piece>();
  /** Buffers of launches: one that becomes free meanwhile stays with the recording, and is free for it alone. */
  readonly slots = new Set<Slot>();
  readonly own: Reserve = { free: new Map(), batch: Number.POSITIVE_INFINITY };
  /** How many sizes of free buffers there are to be. */
  private sizes = 0;
  private readonly steps: (() => void)[] = [];
  /** Where memory that outlives the work lies. */
  private readonly places = new Map<Piece, Slot>();
  private readonly written = new Set<Piece>();
  /** Numbers of others that launches took as they were. */
  private readonly numbers = new Map<Piece, Uint8Array | undefined>();
  private repeatable = true;
  readonly dispose: () => void;

  constructor(
    private readonly device: Device,
    private readonly commands: Commands,
  ) {
    this.dispose = givingBack(device.pool, this.own);
  }

  noteLaunch(launch: Launch, pieces: readonly Piece[], variant: Variant, group: GPUBindGroup): void {
    this.steps.push(() => this.commands.launch(launch, variant, group));
    for (const [i, piece] of pieces.entries()) this.note(piece, launch.slots[i]);
    for (const i of launch.kernel.written) this.written.add(pieces[i]);
  }

  /** Numbers that the work brought along. */
  noteUpload(piece: Piece, slot: Slot, bytes: Uint8Array): void {
    this.steps.push(() => this.commands.upload(slot, bytes));
    this.note(piece, slot);
    this.written.add(piece);
  }

  /** A launch has the number that is known of a piece as a parameter. */
  noteKnown(piece: Piece): void {
    if (!this.pieces.has(piece)) this.numbers.set(piece, piece.known);
  }

  private note(piece: Piece, slot: Slot): void {
    this.slots.add(slot);
    this.places.set(piece, slot);
  }

  /** Something was done that repeating would leave out. */
  spoil(): void {
    if (this.noting) this.repeatable = false;
  }

  live(part: () => void): void {
    const { device } = this;
    const { operation } = device;
    const step = () => {
      device.operation = operation;
      part();
      device.settle();
    };
    device.settle();
    this.noting = false;
    try {
      step();
    } finally {
      this.noting = true;
    }
    // After what it needed on the device of numbers that were known.
    this.steps.push(step);
  }

  /** The work is over. Tells whether it can be repeated; if not, nothing is left of the recording. */
  close(): boolean {
    for (const piece of this.places.keys()) {
      if (!piece.released) continue;
      this.places.delete(piece);
      this.written.delete(piece);
    }
    const { free } = this.own;
    let bytes = 0;
    for (const [size, slots] of free) bytes += size * slots.length;
    for (const piece of this.pieces) if (!piece.released) bytes += piece.bytes;
    this.pieces.clear();
    if (bytes > MOST_BYTES) this.repeatable = false;
    if (!this.repeatable) this.dispose();
    else this.device.pool.leave(this.own);
    this.sizes = free.size;
    this.own.batch = this.commands.batch;
    return this.repeatable;
  }

  repeat(): boolean {
    const { own } = this;
    if (own.free.size < this.sizes) return false; // taken back, since nobody asked for a long time
    for (const slot of this.slots) if (slot.refused) return false;
    for (const [piece, slot] of this.places) if (piece.slot !== slot) return false;
    for (const [piece, known] of this.numbers) if (piece.known !== known) return false;
    this.device.settle();
    for (const piece of this.written) piece.checked = undefined;
    own.batch = Number.POSITIVE_INFINITY;
    try {
      for (const step of this.steps) step();
    } finally {
      own.batch = this.commands.batch;
    }
    return true;
  }
}

const givingBack = (pool: Pool, reserve: Reserve) => () => pool.takeBack(reserve);
