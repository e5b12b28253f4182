/** Memory of the reference backend: one ArrayBuffer per storage. */

import { dtypes, type NumericArray } from "../../core/dtype.js";
import { MemoryBudgetError } from "../../core/errors.js";
import type { BackendMemory } from "../backend.js";
import type { Operand } from "../kernels.js";

/** The elements of an operand, in place. */
export function viewOf(operand: Operand): NumericArray {
  return new dtypes[operand.dtype].array(operand.storage.handle as ArrayBuffer, 0, operand.size);
}

/** The elements of a float32 operand, in place. */
export const floats = (operand: Operand): Float32Array => viewOf(operand) as Float32Array;

/** The elements of an int32 operand, in place. */
export const ints = (operand: Operand): Int32Array => viewOf(operand) as Int32Array;

/** Allocates and counts. */
export class ReferenceMemory {
  private live = 0;
  private peak = 0;

  /** New memory is filled with 0xff (NaN as float32): a kernel that forgets an element shows at once. */
  alloc(bytes: number): ArrayBuffer {
    let buffer: ArrayBuffer;
    try {
      buffer = new ArrayBuffer(Math.max(4, Math.ceil(bytes / 4) * 4));
    } catch (cause) {
      throw new MemoryBudgetError(`allocation: needs ${bytes} bytes, got none from the JavaScript engine.`, {
        where: "allocation",
        bytes,
        cause,
        hint: "Free tensors or use a smaller batch.",
      });
    }
    new Uint8Array(buffer).fill(0xff);
    this.live += bytes;
    this.peak = Math.max(this.peak, this.live);
    return buffer;
  }

  free(bytes: number): void {
    this.live -= bytes;
  }

  report(): BackendMemory {
    return { live: this.live, pooled: 0, peak: this.peak };
  }
}
