/** Kernels on the graphics card beside those of the reference backend: what parity, products, rows and attention share. */

import { afterAll, expect } from "vitest";
import type { Kernels, Operand } from "../../../src/backend/kernels.js";
import { createReferenceBackend } from "../../../src/backend/reference/backend.js";
import type { WebGpuBackend } from "../../../src/backend/webgpu/backend.js";
import type { DType } from "../../../src/core/dtype.js";
import { empty, operand } from "../operands.js";
import { openOwn, readValues } from "./device.js";

export const reference = createReferenceBackend();
export const gpu = await openOwn(true);
export const card = await openOwn(false);
export const plain = await openOwn(true, ["subgroups", "shader-f16"]);
afterAll(() => {
  plain?.destroy();
  gpu?.destroy();
  card?.destroy();
});

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
    results.push(await Promise.all(outputs.map((output) => readValues(backend, output))));
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
