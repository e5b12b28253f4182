/** Operands for kernel tests: tensors without the tensor floor. */

import { afterAll, onTestFinished } from "vitest";
import { getCurrentTest } from "vitest/suite";
import type { Backend } from "../../src/backend/backend.js";
import type { Operand } from "../../src/backend/kernels.js";
import { Storage } from "../../src/backend/storage.js";
import { type DType, dtypes, encode } from "../../src/core/dtype.js";
import { type Shape, sizeOf } from "../../src/core/shape.js";

/** A tensor of these values; 16-bit floats are encoded. */
export function operand(backend: Backend, values: Iterable<number>, shape?: Shape, dtype: DType = "float32"): Operand {
  const list = Array.from(values, (value) => encode(dtype, value));
  const out = empty(backend, shape ?? [list.length], dtype);
  const stored = new dtypes[dtype].array(list.length);
  stored.set(list);
  backend.write(out.storage.handle, new Uint8Array(stored.buffer, 0, stored.byteLength));
  return out;
}

/** A tensor whose contents are undefined; it goes with the test or file that asks for it: no collector knows of it. */
export function empty(backend: Backend, shape: Shape, dtype: DType = "float32"): Operand {
  const size = sizeOf(shape);
  const storage = Storage.allocate(backend, shape, dtype);
  const release = () => {
    if (storage.alive) storage.release();
  };
  if (getCurrentTest()) onTestFinished(release);
  else afterAll(release);
  return { shape, dtype, size, storage };
}

/** The stored numbers of a tensor (bits for the 16-bit floats). */
export const valuesOf = (backend: Backend, of: Operand): number[] => Array.from(backend.view!(of));

/** `count` float32 from a fixed sequence, roughly in [-2, 2], the same on every run. */
export function noise(count: number, seed = 1): Float32Array {
  let state = (seed * 2654435761) >>> 0;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32) * 4 - 2;
  });
}

/** Derivatives of `loss` by central differences in float64, for each element of `x`. */
export function numericGradient(x: Float32Array, loss: (x: Float64Array) => number, step = 1e-4): number[] {
  return Array.from(x, (_, i) => {
    const moved = Float64Array.from(x);
    moved[i] += step;
    const above = loss(moved);
    moved[i] -= 2 * step;
    return (above - loss(moved)) / (2 * step);
  });
}
