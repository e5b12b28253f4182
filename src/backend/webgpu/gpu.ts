/** A device with all that keeps its use cheap: memory, kernels and their pipelines, and the commands under way. */

import { DeviceError } from "../../core/errors.js";
import { type Abilities, abilitiesOf, type FragmentSize } from "./adapter.js";
import { BindGroups, layoutOf, type OnGpu, pieceOf, requireBindings } from "./bindings.js";
import { Commands, type Counters, type Groups } from "./commands.js";
import { Failures } from "./failures.js";
import { Pipelines } from "./pipelines.js";
import { type Piece, Pool, type Slot } from "./pool.js";
import { type Epilogue, Kernel, type KernelSource, type Layout } from "./shader.js";

const REPORT_BYTES = 16;

/** What is recorded. Its buffers are those that its operands had when it was called. */
interface Launch {
  readonly op: string;
  readonly kernel: Kernel;
  readonly layout: Layout;
  readonly pieces: readonly Piece[];
  readonly slots: readonly Slot[];
  readonly numbers: readonly number[];
  readonly groups: Groups;
}

interface HeldLaunch extends Launch {
  readonly result: Piece;
  /** The kernel, with work to do on each result. */
  kernelOf(epilogue?: Epilogue): Kernel;
}

/** The pipelines that work asked for, and what was known of pieces before it wrote to them. */
interface Rehearsal {
  readonly coming: Promise<void>[];
  readonly written: [Piece, Uint8Array | undefined][];
}

export class Gpu {
  readonly failures: Failures;
  readonly pool: Pool;
  readonly pipelines: Pipelines;
  readonly abilities: Abilities;
  /** Where the first bad index is noted: check, position, index. */
  readonly report: Piece;
  /** The operation whose kernels are recorded. */
  operation = "";
  private readonly commands: Commands;
  private readonly bindGroups: BindGroups;
  private readonly kernels = new Map<string, Kernel>();
  /** What the kernel that runs has asked for. */
  private readonly temporaries: Piece[] = [];
  private rehearsed: Rehearsal | undefined;
  private held: HeldLaunch | undefined;

  constructor(
    readonly device: GPUDevice,
    /** A processor plays the graphics card: kernels without workgroup memory are the faster ones. */
    readonly software: boolean,
    /** The subgroup matrices that the device has for products of float16. */
    readonly fragments?: FragmentSize,
  ) {
    this.failures = new Failures(device);
    this.abilities = abilitiesOf(device);
    this.commands = new Commands(device, this.failures, this.abilities.groups, (batch) => this.pool.trim(batch));
    this.pool = new Pool(
      device,
      (scope, bytes) => this.failures.watchAllocation(scope, bytes),
      (slot) => this.bindGroups.forget(slot),
    );
    this.pipelines = new Pipelines(device, this.failures, this.pool.range, this.abilities.subgroups);
    this.bindGroups = new BindGroups(device, this.pool.range, this.commands.numbers);
    this.report = this.pool.own(REPORT_BYTES);
    this.clearReport();
  }

  get counters(): Counters {
    return this.commands.counters;
  }

  /** Is nothing computed now, since the work is only rehearsed? */
  get rehearsing(): boolean {
    return this.rehearsed !== undefined;
  }

  /** Memory that no tensor owns; give it back with `pool.release`. */
  temporary(bytes: number): Piece {
    this.failures.requireDevice();
    const piece = this.pool.alloc(bytes);
    this.temporaries.push(piece);
    return piece;
  }

  /** Runs a kernel; what it took for itself is given back also where it throws in the middle. */
  within(kernel: () => void): void {
    this.temporaries.length = 0;
    try {
      kernel();
    } catch (error) {
      for (const piece of this.temporaries) if (!piece.released) this.pool.release(piece);
      throw error;
    }
  }

  /** The kernel of a key, described on first use. */
  kernel(key: string, describe: () => KernelSource): Kernel {
    let known = this.kernels.get(key);
    if (!known) this.kernels.set(key, (known = new Kernel(describe())));
    return known;
  }

  /** All kernels used so far, for the tests that compile them elsewhere. */
  sources(): KernelSource[] {
    return [...this.kernels.values()].map(({ source }) => source);
  }

  /** The next use of each kernel makes its pipeline anew. */
  forgetKernels(): void {
    this.kernels.clear();
  }

  /**
   * Records one dispatch. Operands and numbers are in the order of the kernel's source; of buffers in step the first
   * thread has element `first`.
   */
  run(
    kernel: Kernel,
    operands: readonly (OnGpu | Piece)[],
    numbers: readonly number[],
    groups: Groups,
    first = 0,
  ): void {
    if (groups === 0) return;
    const launch = this.prepare(kernel, operands, numbers, groups);
    this.record(launch, first);
  }

  /** As `run`, but held back until the next launch is known, since `join` may add to it. */
  hold(
    kernelOf: (epilogue?: Epilogue) => Kernel,
    operands: readonly (OnGpu | Piece)[],
    result: OnGpu | Piece,
    numbers: readonly number[],
    groups: Groups,
  ): void {
    if (groups === 0) return;
    const launch = this.prepare(kernelOf(), operands, numbers, groups);
    if (launch.layout.cut) this.record(launch);
    else this.held = { ...launch, result: pieceOf(result), kernelOf };
  }

  private prepare(
    kernel: Kernel,
    operands: readonly (OnGpu | Piece)[],
    numbers: readonly number[],
    groups: Groups,
  ): Launch {
    this.failures.requireDevice();
    this.recordHeld();
    const pieces = operands.map(pieceOf);
    const { range } = this.pool;
    const layout = layoutOf(kernel, pieces, range);
    const op = this.operation || kernel.source.name;
    if (layout.cut) requireBindings(op, kernel, operands, layout, range, this.abilities.bindings);
    const slots = this.rehearsed ? [] : this.slotsOf(pieces, kernel);
    for (const slot of slots) slot.batch = this.commands.batch;
    return { op, kernel, layout, pieces, slots, numbers, groups };
  }

  private record({ op, kernel, layout, pieces, slots, numbers, groups }: Launch, first = 0): void {
    if (this.rehearsed) {
      this.rehearsed.coming.push(this.pipelines.ahead(kernel, layout));
      return;
    }
    for (const i of kernel.written) pieces[i].checked = undefined;
    const variant = this.pipelines.variant(kernel, layout);
    const group = this.bindGroups.group(variant, slots, kernel, first);
    this.commands.launch(op, kernel, variant, group, slots, numbers, groups);
  }

  private recordHeld(): void {
    const { held } = this;
    this.held = undefined;
    if (held) this.record(held);
  }

  /** What the launch that is held back will have written. */
  get heldResult(): Piece | undefined {
    return this.held?.result;
  }

  /** Lets the launch that is held back do elementwise work on its result; tells whether it can. */
  join(epilogue: Epilogue, inputs: readonly OnGpu[], output: OnGpu, numbers: readonly number[]): boolean {
    const { held } = this;
    if (!held) return false;
    const out = pieceOf(output);
    const added = [...inputs.map(pieceOf).filter((piece) => piece !== held.result), out];
    const pieces = [...held.pieces, ...added];
    const { range } = this.pool;
    if (pieces.length > this.abilities.bindings || added.some(({ bytes }) => bytes > range)) return false;
    // It is written beside the others, and they are read after it is.
    if (pieces.indexOf(out) < pieces.length - 1) return false;
    const slots = [...held.slots];
    if (!this.rehearsed) for (const piece of added) slots.push(this.use(piece));
    // An upload records what is held; and the new buffer may be one that was given back since.
    if (this.held !== held || held.slots.some(({ buffer }) => buffer === slots.at(-1)!.buffer)) return false;
    this.held = undefined;
    const kernel = held.kernelOf(epilogue);
    const op = `${held.op} with ${this.operation}`;
    const all = [...held.numbers, ...numbers];
    this.record({ ...held, op, kernel, layout: layoutOf(kernel, pieces, range), pieces, slots, numbers: all });
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
      if (piece.slot?.shelf) this.pool.unshelve(piece, this.commands);
      slots[i] = piece.slot!;
    });
    return slots;
  }

  /** Moves pieces onto a shelf of their own, so that a kernel can bind all of them at once. */
  shelve(pieces: readonly Piece[]): void {
    if (this.rehearsed) return;
    this.recordHeld();
    for (const piece of pieces) this.use(piece);
    this.pool.shelve(pieces, this.commands);
  }

  /** A kernel that was given a shelf wrote to this piece of it. */
  touch({ slot }: Piece): void {
    if (slot) slot.batch = this.commands.batch;
  }

  /** The buffer of a piece, with what is known of its contents put on the device. */
  private use(piece: Piece): Slot {
    if (piece.slot) return piece.slot;
    const { known } = piece;
    const slot = this.pool.slotFor(piece, this.commands.batch, known !== undefined);
    if (known) {
      piece.known = undefined;
      this.recordHeld();
      this.commands.upload(slot, known);
    }
    return slot;
  }

  /** Bytes into a piece, after everything recorded so far. */
  write(piece: Piece, bytes: Uint8Array): void {
    this.failures.requireDevice();
    piece.checked = undefined;
    if (bytes.length === 0) return;
    if (!piece.slot && bytes.length <= 16) {
      this.rehearsed?.written.push([piece, piece.known]);
      piece.known = bytes.slice();
      return;
    }
    if (this.rehearsed) return;
    piece.known = undefined;
    this.recordHeld();
    const slot = piece.slot ?? this.pool.slotFor(piece, this.commands.batch, true);
    this.commands.upload(slot, bytes);
  }

  /** Copies bytes out. The copy takes its place among the commands now; the wait comes after. */
  async read(piece: Piece, bytes: number): Promise<Uint8Array> {
    this.failures.requireDevice();
    this.recordHeld();
    this.commands.counters.reads++;
    const size = Math.ceil(bytes / 4) * 4;
    const staging = this.pool.stage(size + REPORT_BYTES);
    const slot = this.use(piece);
    const report = this.use(this.report);
    this.commands.copyOut(slot, staging, 0, size);
    this.commands.copyOut(report, staging, size, REPORT_BYTES);
    const checks = this.failures.openCheck;
    await this.commands.flushSoon();
    try {
      await staging.mapAsync(GPUMapMode.READ, 0, size + REPORT_BYTES);
    } catch (cause) {
      await this.failures.settle();
      throw new DeviceError(`webgpu: a value could not be read: ${(cause as Error).message}`, {
        where: "webgpu",
        cause,
      });
    }
    const mapped = staging.getMappedRange(0, size + REPORT_BYTES);
    const result = new Uint8Array(mapped.slice(0, bytes));
    if (checks > 0 && this.failures.takeReport(new Int32Array(mapped.slice(size)), checks)) this.clearReport();
    staging.unmap();
    this.pool.unstage(staging);
    await this.failures.settle();
    return result;
  }

  private clearReport(): void {
    this.write(this.report, new Uint8Array(REPORT_BYTES).fill(0xff));
  }

  /** Submits what was recorded. */
  flush(): void {
    this.recordHeld();
    this.commands.flush();
  }

  /**
   * Makes the pipelines that `work` would need, several at a time and without holding up the caller: `work` runs with
   * kernels that record nothing and tensors that hold nothing. It is synchronous and leaves nothing behind. What is
   * wrong with it shows itself when it is done in earnest.
   */
  async rehearse(work: () => void): Promise<void> {
    this.recordHeld();
    const { coming, written }: Rehearsal = (this.rehearsed = { coming: [], written: [] });
    const restorePeak = this.pool.holdPeak();
    try {
      work();
    } catch {
      // Done in earnest it throws again, where somebody waits for it.
    } finally {
      this.recordHeld();
      this.rehearsed = undefined;
      for (const [piece, known] of written.reverse()) piece.known = known;
      restorePeak();
    }
    await Promise.all(coming);
  }

  /** Gives everything back. */
  destroy(): void {
    this.failures.close();
    this.device.destroy();
  }
}
