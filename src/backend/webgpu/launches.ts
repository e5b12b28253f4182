/** Launches: from operands to buffers, pipelines and recorded commands; or only as far as their pipelines, when rehearsed. */

import type { Abilities } from "./adapter.js";
import { BindGroups, layoutOf, type OnGpu, pieceOf, requireBindings } from "./bindings.js";
import type { Commands, Groups, Launch, Numbers } from "./commands.js";
import type { Failures } from "./failures.js";
import type { Pipelines } from "./pipelines.js";
import type { Piece, Pool, Slot } from "./pool.js";
import type { LaunchRecording } from "./recording.js";
import { type Epilogue, type Kernel, type Layout, type Prologue, upTo } from "./shader.js";

/** A launch with what its pipeline depends on. Its buffers are those that its operands had when it was called. */
interface PreparedLaunch extends Launch {
  readonly layout: Layout;
  readonly pieces: readonly Piece[];
}

/** With what a launch can share one: elementwise work on its results, or a launch that reads its result. */
export interface GoesWith {
  /** The kernel with work to do on each result. */
  readonly finish?: (epilogue: Epilogue) => Kernel;
  readonly prologue?: () => Prologue | undefined;
}

interface HeldLaunch extends GoesWith {
  readonly launch: PreparedLaunch & { readonly numbers: readonly number[] };
  readonly result: Piece;
}

/** What a launch does besides the work of the one that is held back. */
interface More {
  readonly op: string;
  kernel(): Kernel;
  /** Those that follow the pieces of that one, of which it needs `kept`, or all. One of them is `output`. */
  readonly pieces: readonly Piece[];
  readonly kept?: readonly number[];
  readonly output: Piece;
  readonly numbers: readonly number[];
  readonly groups: Groups;
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

  /** As `run`, but held back until the next launch is known, which may do its work with its own. */
  hold(
    op: string,
    kernel: Kernel,
    operands: readonly (OnGpu | Piece)[],
    result: Piece,
    numbers: readonly number[],
    groups: Groups,
    goesWith: GoesWith,
  ): void {
    this.keep({ ...this.prepare(op, kernel, operands, numbers, groups), numbers }, result, goesWith);
  }

  private keep(launch: HeldLaunch["launch"], result: Piece, goesWith: GoesWith): void {
    if (launch.layout.cut) {
      this.record(launch);
      return;
    }
    // Nothing is uploaded to them before this is recorded, though they may be given back until then.
    for (const slot of launch.slots) {
      slot.batch = this.commands.batch;
      if (this.recording?.noting) this.recording.slots.add(slot);
    }
    this.held = { ...{ launch, result }, ...goesWith };
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
    const slots = this.rehearsed ? [] : this.slotsOf(op, pieces, kernel);
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

  /** What the launch that is held back will have written, where elementwise work on that may join it. */
  get heldResult(): Piece | undefined {
    return this.held?.finish && this.held.result;
  }

  /** The work of the launch that is held back, as what a launch that reads its result can do first. */
  prologueOf(result: Piece): Prologue | undefined {
    return this.held?.result === result ? this.held.prologue?.() : undefined;
  }

  join(op: string, epilogue: Epilogue, inputs: readonly Piece[], output: Piece, numbers: readonly number[]): boolean {
    const { held } = this;
    if (!held?.finish) return false;
    const added = [...inputs.filter((piece) => piece !== held.result), output];
    const { launch, finish } = held;
    const kernel = () => {
      const { joined } = launch.kernel;
      let kernel = joined.get(epilogue);
      if (!kernel) joined.set(epilogue, (kernel = finish(epilogue)));
      return kernel;
    };
    const { groups } = launch;
    const extended = this.extended(held, { op, kernel, pieces: added, output, numbers, groups });
    if (extended) this.record(extended);
    return extended !== undefined;
  }

  /** A launch that does the work of the one that is held back first; it is held back in turn. */
  follow(more: More, finish: GoesWith["finish"]): boolean {
    const { held } = this;
    const extended = held && this.extended(held, more);
    if (extended) this.keep(extended, more.output, { finish });
    return extended !== undefined;
  }

  /** What is held back, with more to do; then it is held no more. Nothing where that would give other results. */
  private extended(held: HeldLaunch, more: More): HeldLaunch["launch"] | undefined {
    const { launch } = held;
    const { output, groups, kept = upTo(launch.pieces.length) } = more;
    const pieces = [...kept.map((i) => launch.pieces[i]), ...more.pieces];
    const { range } = this.pool;
    if (pieces.length > this.abilities.bindings || more.pieces.some(({ bytes }) => bytes > range)) return undefined;
    // Workgroups write without waiting for each other, so what one of them writes, others may not read.
    if (pieces.filter((piece) => piece === output).length > 1) return undefined;
    if (launch.kernel.written.some((i) => more.pieces.includes(launch.pieces[i]))) return undefined;
    const slots = this.rehearsed ? [] : kept.map((i) => launch.slots[i]);
    if (!this.rehearsed) for (const piece of more.pieces) slots.push(this.use(piece));
    // An upload records what is held; and what is written may be a buffer that was given back since, or a shelf.
    if (this.held !== held || slots.filter(({ buffer }) => buffer === output.slot?.buffer).length > 1) return undefined;
    this.held = undefined;
    const kernel = more.kernel();
    const layout = layoutOf(kernel, pieces, range);
    const numbers = [...launch.numbers, ...more.numbers];
    return { op: `${launch.op} with ${more.op}`, kernel, layout, pieces, slots, numbers, groups };
  }

  /** The buffers of a launch. A kernel that writes to a shelf may not read another place of it, so that piece moves out. */
  private slotsOf(op: string, pieces: readonly Piece[], { source: { buffers } }: Kernel): Slot[] {
    const slots = pieces.map((piece) => this.use(piece, op));
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
  use(piece: Piece, asker?: string): Slot {
    if (piece.slot) return piece.slot;
    const { known } = piece;
    const slot = this.pool.slotFor(piece, this.commands.batch, known !== undefined, asker);
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
