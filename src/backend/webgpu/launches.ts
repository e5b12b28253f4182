/** Launches: from operands to buffers, pipelines and recorded commands; or only as far as their pipelines, when rehearsed. */

import type { Abilities } from "./adapter.js";
import { BindGroups, layoutOf, type OnGpu, pieceOf, requireBindings } from "./bindings.js";
import type { Commands, Groups, Launch, Numbers } from "./commands.js";
import type { Failures } from "./failures.js";
import type { Pipelines } from "./pipelines.js";
import type { Piece, Pool, Slot } from "./pool.js";
import type { LaunchRecording } from "./recording.js";
import type { Epilogue, Kernel, Layout } from "./shader.js";

/** A launch with what its pipeline depends on. Its buffers are those that its operands had when it was called. */
interface PreparedLaunch extends Launch {
  readonly layout: Layout;
  readonly pieces: readonly Piece[];
}

interface HeldLaunch {
  readonly launch: PreparedLaunch & { readonly numbers: readonly number[] };
  readonly result: Piece;
  /** The kernel with work to do on each result. */
  finish(epilogue: Epilogue): Kernel;
}

/** The pipelines that work asked for, and what was known of pieces before it wrote to them. */
interface Rehearsal {
  readonly coming: Promise<void>[];
  readonly written: [Piece, Uint8Array | undefined][];
}

export class Launches {
  readonly bindGroups: BindGroups;
  rehearsed: Rehearsal | undefined;
  recording: LaunchRecording | undefined;
  private held: HeldLaunch | undefined;

  constructor(
    device: GPUDevice,
    private readonly failures: Failures,
    private readonly abilities: Abilities,
    private readonly pool: Pool,
    private readonly pipelines: Pipelines,
    private readonly commands: Commands,
  ) {
    this.bindGroups = new BindGroups(device, pool.range, commands.numbers);
  }

  run(
    op: string,
    kernel: Kernel,
    operands: readonly (OnGpu | Piece)[],
    numbers: Numbers,
    groups: Groups,
    first: number,
  ): void {
    this.record(this.prepare(op, kernel, operands, numbers, groups), first);
  }

  hold(
    op: string,
    kernel: Kernel,
    operands: readonly (OnGpu | Piece)[],
    result: Piece,
    numbers: readonly number[],
    groups: Groups,
    finish: (epilogue: Epilogue) => Kernel,
  ): void {
    const launch = this.prepare(op, kernel, operands, numbers, groups);
    if (launch.layout.cut) {
      this.record(launch);
      return;
    }
    // Nothing is uploaded to them before this is recorded, though they may be given back until then.
    for (const slot of launch.slots) {
      slot.batch = this.commands.batch;
      if (this.recording?.noting) this.recording.slots.add(slot);
    }
    this.held = { launch: { ...launch, numbers }, result, finish };
  }

  private prepare(
    given: string,
    kernel: Kernel,
    operands: readonly (OnGpu | Piece)[],
    numbers: Numbers,
    groups: Groups,
  ): PreparedLaunch {
    this.failures.requireDevice();
    this.recordHeld();
    const pieces = operands.map(pieceOf);
    const { range } = this.pool;
    const layout = layoutOf(kernel, pieces, range);
    const op = given || kernel.source.name;
    if (layout.cut) requireBindings(op, kernel, operands, layout, range, this.abilities.bindings);
    const slots = this.rehearsed ? [] : this.slotsOf(pieces, kernel);
    return { op, kernel, layout, pieces, slots, numbers, groups };
  }

  private record(launch: PreparedLaunch, first = 0): void {
    const { kernel, layout, pieces, slots } = launch;
    if (this.rehearsed) {
      this.rehearsed.coming.push(this.pipelines.ahead(kernel, layout));
      return;
    }
    for (const i of kernel.written) pieces[i].checked = undefined;
    const variant = this.pipelines.variant(kernel, layout);
    const group = this.bindGroups.group(variant, slots, kernel, first);
    this.commands.launch(launch, variant, group);
    if (this.recording?.noting) this.recording.noteLaunch(launch, pieces, variant, group);
  }

  /** Before anything that must come after it. */
  recordHeld(): void {
    const { held } = this;
    this.held = undefined;
    if (held) this.record(held.launch);
  }

  get heldResult(): Piece | undefined {
    return this.held?.result;
  }

  join(op: string, epilogue: Epilogue, inputs: readonly Piece[], output: Piece, numbers: readonly number[]): boolean {
    const { held } = this;
    if (!held) return false;
    const { launch, result, finish } = held;
    const added = [...inputs.filter((piece) => piece !== result), output];
    const pieces = [...launch.pieces, ...added];
    const { range } = this.pool;
    if (pieces.length > this.abilities.bindings || added.some(({ bytes }) => bytes > range)) return false;
    // It is written beside the others, and they are read after it is.
    if (pieces.indexOf(output) < pieces.length - 1) return false;
    const slots = [...launch.slots];
    if (!this.rehearsed) for (const piece of added) slots.push(this.use(piece));
    // An upload records what is held; and what is written may be a buffer that was given back since, or a shelf.
    const target = slots.at(-1)?.buffer;
    if (this.held !== held || slots.some(({ buffer }, i) => buffer === target && i < slots.length - 1)) return false;
    this.held = undefined;
    const { joined } = launch.kernel;
    let kernel = joined.get(epilogue);
    if (!kernel) joined.set(epilogue, (kernel = finish(epilogue)));
    const layout = layoutOf(kernel, pieces, range);
    const all = [...launch.numbers, ...numbers];
    const { groups } = launch;
    this.record({ op: `${launch.op} with ${op}`, kernel, layout, pieces, slots, numbers: all, groups });
    return true;
  }

  /** The buffers of a launch. A kernel that writes to a shelf may not read another place of it, so that piece moves out. */
  private slotsOf(pieces: readonly Piece[], { source: { buffers } }: Kernel): Slot[] {
    const slots = pieces.map((piece) => this.use(piece));
    if (!slots.some(({ shelf }) => shelf)) return slots;
    pieces.forEach((piece, i) => {
      const clash = (slot: Slot, j: number) =>
        slot.buffer === slots[i].buffer && slot !== slots[i] && (buffers[i].writes || buffers[j].writes);
      if (!slots[i].shelf || !slots.some(clash)) return;
      this.recording?.spoil();
      if (piece.slot?.shelf) this.pool.unshelve(piece, this.commands);
      slots[i] = piece.slot!;
    });
    return slots;
  }

  shelve(pieces: readonly Piece[]): void {
    if (this.rehearsed) return;
    this.recordHeld();
    this.recording?.spoil();
    for (const piece of pieces) this.use(piece);
    this.pool.shelve(pieces, this.commands);
  }

  /** The buffer of a piece, with what is known of its contents put on the device. */
  use(piece: Piece): Slot {
    if (piece.slot) return piece.slot;
    const { known } = piece;
    const slot = this.pool.slotFor(piece, this.commands.batch, known !== undefined);
    if (known) {
      piece.known = undefined;
      this.recordHeld();
      this.commands.upload(slot, known);
      if (this.recording?.pieces.has(piece)) this.recording.noteUpload(piece, slot, known);
    }
    return slot;
  }

  /** The pipelines that work would need, in the making; it leaves nothing behind. */
  rehearse(work: () => void): Promise<void>[] {
    this.recordHeld();
    const { coming, written }: Rehearsal = (this.rehearsed = { coming: [], written: [] });
    try {
      work();
    } catch {
      // Done in earnest it throws again, where somebody waits for it.
    } finally {
      this.recordHeld();
      this.rehearsed = undefined;
      for (const [piece, known] of written.reverse()) piece.known = known;
    }
    return coming;
  }
}
