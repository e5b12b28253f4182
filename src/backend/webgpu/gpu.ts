/** A device with all that keeps its use cheap: memory, kernels and their pipelines, and the commands under way. */

import { DeviceError } from "../../core/errors.js";
import type { Recording } from "../backend.js";
import type { AttentionLayout } from "../kernels.js";
import { type Abilities, abilitiesOf, type FragmentSize } from "./adapter.js";
import { type OnGpu, pieceOf } from "./bindings.js";
import { Commands, type Counters, type Groups, type Numbers } from "./commands.js";
import { Failures, REPORT_WORDS } from "./failures.js";
import { type GoesWith, Launches } from "./launches.js";
import type { Product, Tiling } from "./matmul/product.js";
import { Pipelines } from "./pipelines.js";
import { type Piece, Pool } from "./pool.js";
import { LaunchRecording } from "./recording.js";
import { type Epilogue, Kernel, type KernelSource, type Prologue, THREADS } from "./shader.js";

const REPORT_BYTES = 4 * REPORT_WORDS;

/** Kernels for a processor that plays a graphics card. */
export interface SoftwareKernels {
  products(gpu: Gpu, product: Product, m: number, n: number): Tiling;
  /** A pass of attention; operands are those of the card's kernel. */
  attention(
    gpu: Gpu,
    pass: "forward" | "dq" | "dkv",
    operands: readonly (OnGpu | Piece)[],
    layout: AttentionLayout,
  ): void;
  readonly longestHead: number;
}

/** Products by the subgroup matrices of a device; nothing for products that they are not made for. */
export interface FragmentKernels {
  readonly size: FragmentSize;
  products(gpu: Gpu, product: Product, m: number, n: number, count: number): Tiling | undefined;
}

export class Gpu {
  readonly failures: Failures;
  readonly pool: Pool;
  readonly pipelines: Pipelines;
  readonly abilities: Abilities;
  /** A processor plays the graphics card. */
  readonly software: boolean;
  /** Where bad indices are noted, as `Failures` reads it. */
  readonly report: Piece;
  /** The operation whose kernels are recorded. */
  operation = "";
  private readonly commands: Commands;
  private readonly launches: Launches;
  private readonly kernels = new Map<string, Kernel>();
  /** What the kernel that runs has asked for. */
  private readonly temporaries: Piece[] = [];

  constructor(
    readonly device: GPUDevice,
    /** Kernels that only such devices need: they are loaded with them. */
    readonly only: { readonly software?: SoftwareKernels; readonly fragments?: FragmentKernels } = {},
  ) {
    this.software = only.software !== undefined;
    this.failures = new Failures(device);
    this.abilities = abilitiesOf(device);
    this.commands = new Commands(device, this.failures, this.abilities.groups, (batch) => this.pool.trim(batch));
    this.pool = new Pool(
      device,
      (scope, bytes, asker) => this.failures.watchAllocation(scope, bytes, asker),
      (slot) => this.launches.bindGroups.forget(slot),
    );
    this.pipelines = new Pipelines(device, this.failures, this.pool.range, this.abilities);
    this.launches = new Launches(device, this.failures, this.abilities, this.pool, this.pipelines, this.commands);
    this.report = this.pool.own(REPORT_BYTES);
    this.write(this.report, new Uint8Array(REPORT_BYTES));
  }

  /** Threads of a workgroup where each has work of its own: large ones, since a card starts only so many in a moment. */
  get threads(): number {
    return this.software ? THREADS : 256;
  }

  get counters(): Counters {
    return this.commands.counters;
  }

  /** Is nothing computed now, since the work is only rehearsed? */
  get rehearsing(): boolean {
    return this.launches.rehearsed !== undefined;
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
  run(kernel: Kernel, operands: readonly (OnGpu | Piece)[], numbers: Numbers, groups: Groups, first = 0): void {
    if (groups > 0) this.launches.run(this.operation, kernel, operands, numbers, groups, first);
  }

  /** As `run`, but held back until the next launch is known, which may share one with it. */
  hold(
    kernel: Kernel,
    operands: readonly (OnGpu | Piece)[],
    result: OnGpu | Piece,
    numbers: readonly number[],
    groups: Groups,
    goesWith: GoesWith,
  ): void {
    if (groups > 0) this.launches.hold(this.operation, kernel, operands, pieceOf(result), numbers, groups, goesWith);
  }

  /** What the launch that is held back will have written, where elementwise work on that may join it. */
  get heldResult(): Piece | undefined {
    return this.launches.heldResult;
  }

  /** Lets the launch that is held back do elementwise work on its result; tells whether it can. */
  join(epilogue: Epilogue, inputs: readonly OnGpu[], output: OnGpu, numbers: readonly number[]): boolean {
    return this.launches.join(this.operation, epilogue, inputs.map(pieceOf), pieceOf(output), numbers);
  }

  /** The work of the launch that is held back, as what a launch that reads its result can do first. */
  prologueOf(result: OnGpu): Prologue | undefined {
    return this.launches.prologueOf(pieceOf(result));
  }

  /**
   * A launch that does the work of the one that is held back first, of a kernel with its prologue; `operands` follow those
   * of that. It is held back in turn. Tells whether it can.
   */
  follow(
    { operands: kept }: Prologue,
    kernel: Kernel,
    operands: readonly OnGpu[],
    result: OnGpu,
    numbers: readonly number[],
    groups: Groups,
    finish: GoesWith["finish"],
  ): boolean {
    const [op, output, pieces] = [this.operation, pieceOf(result), operands.map(pieceOf)];
    return this.launches.follow({ op, kernel: () => kernel, pieces, kept, output, numbers, groups }, finish);
  }

  /** Moves pieces onto a shelf of their own, so that a kernel can bind all of them at once. */
  shelve(pieces: readonly Piece[]): void {
    this.launches.shelve(pieces);
  }

  /** A kernel that was given a shelf wrote to this piece of it. */
  touch({ slot }: Piece): void {
    if (slot) slot.batch = this.commands.batch;
  }

  /** Bytes into a piece, after everything recorded so far. */
  write(piece: Piece, bytes: Uint8Array): void {
    this.failures.requireDevice();
    piece.checked = undefined;
    if (bytes.length === 0) return;
    if (!piece.slot && bytes.length <= 16 && !this.inLivePart) {
      this.launches.rehearsed?.written.push([piece, piece.known]);
      piece.known = bytes.slice();
      return;
    }
    if (this.rehearsing) return;
    piece.known = undefined;
    this.launches.recordHeld();
    const slot = piece.slot ?? this.pool.slotFor(piece, this.commands.batch, true);
    this.commands.upload(slot, bytes);
    if (this.recording?.noting) this.recording.noteUpload(piece, slot, bytes.slice());
  }

  /** Copies bytes out. The copy takes its place among the commands now; the wait comes after. */
  async read(piece: Piece, bytes: number): Promise<Uint8Array> {
    this.failures.requireDevice();
    this.launches.recordHeld();
    this.commands.counters.reads++;
    const size = Math.ceil(bytes / 4) * 4;
    const staging = this.pool.stage(size + REPORT_BYTES);
    const slot = this.launches.use(piece);
    const report = this.launches.use(this.report);
    this.commands.copyOut(slot, staging, 0, size);
    this.commands.copyOut(report, staging, size, REPORT_BYTES);
    const checks = this.failures.openCheck;
    const read = this.failures.beginRead();
    let unreadable: unknown;
    try {
      await this.commands.flushSoon();
      await staging.mapAsync(GPUMapMode.READ, 0, size + REPORT_BYTES);
    } catch (cause) {
      unreadable = cause;
    }
    if (unreadable !== undefined) {
      await this.failures.endRead(read);
      throw new DeviceError(`webgpu: a value could not be read: ${(unreadable as Error).message}`, {
        where: "webgpu",
        cause: unreadable,
      });
    }
    const mapped = staging.getMappedRange(0, size + REPORT_BYTES);
    const result = new Uint8Array(mapped.slice(0, bytes));
    if (checks > 0) this.failures.takeReport(new Int32Array(mapped.slice(size)), checks);
    staging.unmap();
    this.pool.unstage(staging);
    await this.failures.endRead(read);
    return result;
  }

  /** Submits what was recorded. */
  flush(): void {
    this.launches.recordHeld();
    this.commands.flush();
  }

  /** Runs `work` and notes its launches. */
  record(work: (recording: Recording) => void): Recording | undefined {
    this.settle();
    this.failures.forgetChecks(); // what is recorded checks by itself
    const recording = new LaunchRecording(this, this.commands);
    this.launches.recording = this.pool.holder = recording;
    let done = false;
    try {
      work(recording);
      this.settle();
      done = true;
    } finally {
      this.launches.recording = this.pool.holder = undefined;
      if (!done) recording.dispose();
    }
    return recording.close() ? recording : undefined;
  }

  /** Does a part of a recording run which runs each time? Then what it writes is nothing that is known. */
  get inLivePart(): boolean {
    return this.recording?.noting === false;
  }

  /** A launch has the number that is known of a piece as a parameter. */
  noteKnown(piece: Piece): void {
    if (this.recording?.noting) this.recording.noteKnown(piece);
  }

  private get recording(): LaunchRecording | undefined {
    return this.launches.recording;
  }

  /** Records what is held back. */
  settle(): void {
    this.failures.requireDevice();
    this.launches.recordHeld();
  }

  /**
   * Makes the pipelines that `work` would need, several at a time and without holding up the caller: `work` runs with
   * kernels that record nothing and tensors that hold nothing. It is synchronous and leaves nothing behind. What is
   * wrong with it shows itself when it is done in earnest.
   */
  async rehearse(work: () => void): Promise<void> {
    const restorePeak = this.pool.holdPeak();
    const coming = this.launches.rehearse(work);
    restorePeak();
    await Promise.all(coming);
  }

  /** Gives everything back. */
  destroy(): void {
    this.failures.close();
    this.device.destroy();
  }
}
