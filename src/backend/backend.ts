/**
 * A backend is a device: memory and a closed set of kernels (`kernels.ts`). `reference` (plain loops) is the
 * specification; `cpu` (WebAssembly SIMD) in portable numerics equals it bit for bit; `webgpu` is close to it.
 */

import type { DType, NumericArray } from "../core/dtype.js";
import type { Kernels, Operand } from "./kernels.js";

/** The devices. */
export type DeviceName = "reference" | "cpu" | "webgpu";

/** A device's own name for a piece of memory: a byte offset (cpu), an ArrayBuffer (reference), a GPUBuffer. */
export type Handle = unknown;

export interface BackendMemory {
  /** Bytes in use by tensors. */
  live: number;
  /** Bytes kept for reuse. */
  pooled: number;
  /** Highest `live` so far. */
  peak: number;
}

export interface Backend {
  readonly device: DeviceName;
  readonly kernels: Kernels;
  /** Facts for `capabilities()`, the first line of every command, and manifests. */
  readonly info: BackendInfo;
  /**
   * 16-bit floats that `matmul` takes as a and b, `linearCrossEntropy` as x and weight, and `indexSelect` as a table
   * whose rows it gives as float32. None unless told.
   */
  readonly storedWeights?: readonly DType[];
  /** The operation whose kernels run: devices that report errors later name it. */
  operation?: string;
  /** Bytes of the largest tensor, where one may be no larger than a part of the memory. */
  readonly largestTensor?: number;
  /** Memory for `bytes` bytes, at least 4-byte aligned, contents undefined. Throws MemoryBudgetError when the device has no more. */
  alloc(bytes: number): Handle;
  free(handle: Handle, bytes: number): void;
  /** Copies bytes in; the caller may reuse them at once. */
  write(handle: Handle, bytes: Uint8Array): void;
  /**
   * Copies bytes out as they are at the call, after which they may be freed or overwritten, into a fresh, unshared array;
   * the one place that waits for the device.
   */
  read(handle: Handle, bytes: number): Promise<Uint8Array>;
  /** The operand's elements in place, where the device's memory can be addressed at once (cpu, reference). */
  view?(operand: Operand): NumericArray;
  memory(): BackendMemory;
  /** Resolves when everything asynchronous has started (worker threads). */
  ready?(): Promise<void>;
  /**
   * Prepares what `work` would need, without computing anything: it runs with kernels that do nothing, on memory that
   * holds nothing, and must be synchronous and leave nothing behind. Absent where there is nothing to prepare.
   */
  rehearse?(work: () => void): Promise<void>;
  /** Does such work run now? */
  readonly rehearsing?: boolean;
  /**
   * Runs `work`, which is synchronous, and records what it asks of the device. Whatever changes from one time to the
   * next must be in `live` parts; what is written elsewhere counts as constant. Undefined where it cannot be repeated, or
   * would hold on to much memory; absent where repeating saves nothing.
   */
  record?(work: (recording: Recording) => void): Recording | undefined;
  /** Gives everything back. */
  destroy(): void;
}

/** Work on a device that can be asked for again as a whole: on the same memory, which it holds on to. */
export interface Recording {
  /** While the work is recorded: runs a part of it, now and each time that it is repeated. */
  live(part: () => void): void;
  /** Asks for the work again; false, and nothing is done, where memory that it used has gone or moved. */
  repeat(): boolean;
  /** Gives the memory back. The function holds on to nothing else, so that it can be called for who is garbage. */
  readonly dispose: () => void;
}

/** What a device tells of itself. */
export interface BackendInfo {
  /** Threads in use, and why not more. */
  threads: number;
  simd: boolean;
  /** `portable`: no fused multiply-add; `fast`: fused where a probe showed it to be. */
  numerics: "portable" | "fast";
  fusedMultiplyAdd: boolean;
  /** Largest memory the device can give, in bytes. */
  maxMemory: number;
  /** What is missing, each with its reason. */
  missing: readonly string[];
  /** Adapter, engine features and the like. */
  details: Record<string, unknown>;
}
