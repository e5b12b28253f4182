/** Kernels on the graphics card beside those of the reference backend: what parity, products, rows and attention share. */

import { afterAll, expect } from "vitest";
import type { Backend } from "../../../src/backend/backend.js";
import type { Kernels, Operand } from "../../../src/backend/kernels.js";
import { createReferenceBackend } from "../../../src/backend/reference/backend.js";
import { findAdapter, openDevice } from "../../../src/backend/webgpu/adapter.js";
import { backendOn, type WebGpuBackend } from "../../../src/backend/webgpu/backend.js";
import { Gpu } from "../../../src/backend/webgpu/gpu.js";
import { softwareKernels } from "../../../src/backend/webgpu/software/kernels.js";
import { byteSize, type DType, decode, dtypes } from "../../../src/core/dtype.js";
import { softwareGpu } from "../../setup/webgpu.js";
import { empty, operand } from "../operands.js";

/**
 * A device of the test's own; `software: false` gives the kernels that real graphics cards get, `without` those of
 * devices that lack a feature.
 */
async function open(software: boolean, without: readonly GPUFeatureName[] = []): Promise<WebGpuBackend | null> {
  const entry = await softwareGpu();
  if (!entry) return null;
  const found = await findAdapter(entry);
  if ("reason" in found) throw new Error(found.reason);
  return backendOn(new Gpu(await openDevice(found, { without }), software ? { software: softwareKernels } : {}), found);
}

export const reference = createReferenceBackend();
export const gpu = await open(true);
export const card = await open(false);
export const plain = await open(true, ["subgroups", "shader-f16"]);
afterAll(() => {
  plain?.destroy();
  gpu?.destroy();
  card?.destroy();
});

export async function valuesOf(backend: Backend, of: Operand): Promise<number[]> {
  const bytes = await backend.read(of.storage.handle, byteSize(of.dtype, of.size));
  return Array.from(new dtypes[of.dtype].array(bytes.buffer, 0, of.size), (stored) => decode(of.dtype, stored));
}

type Make = (values: Iterable<number>, shape?: readonly number[], dtype?: DType) => Operand;
export type Body = (
  kernels: Kernels,
  make: Make,
  out: (shape: readonly number[], dtype?: DType) => Operand,
) => Operand[];

/** Runs a body on both backends; the results may differ by `tolerance`, relative to 1 or the larger value. */
export async function compare(
  tolerance: number,
  body: Body,
  on: WebGpuBackend = gpu!,
  /** Takes what the graphics card gave. */
  keep: number[][] = [],
): Promise<void> {
  const results = [];
  for (const backend of [reference, on]) {
    const made: Operand[] = [];
    const note = (o: Operand) => {
      made.push(o);
      return o;
    };
    const outputs = body(
      backend.kernels,
      (values, shape, dtype) => note(operand(backend, values, shape, dtype)),
      (shape, dtype) => note(empty(backend, shape, dtype)),
    );
    results.push(await Promise.all(outputs.map((output) => valuesOf(backend, output))));
    for (const { storage } of made) storage.release();
  }
  const [expected, got] = results;
  keep.push(...got);
  expected.forEach((list, o) => {
    for (let i = 0; i < list.length; i++) {
      const [e, g] = [list[i], got[o][i]];
      if (Object.is(e, g) || e === g) continue;
      const error = Math.abs(e - g) / Math.max(1, Math.abs(e));
      if (!(error <= tolerance)) expect.fail(`output ${o}, element ${i}: expected ${e}, got ${g}`);
    }
  });
}
