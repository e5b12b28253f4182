/** Every kernel, read by the shader compiler of Firefox, which is not that of the tests in Node. Nothing is computed. */

import { expect, test } from "vitest";
import { findAdapter, openDevice } from "../../src/backend/webgpu/adapter.js";
import { backendOn } from "../../src/backend/webgpu/backend.js";
import { Gpu } from "../../src/backend/webgpu/gpu.js";
import { softwareKernels } from "../../src/backend/webgpu/software/kernels.js";
import { empty } from "../backend/operands.js";
import { everyKernel, refusedByRanges } from "../backend/webgpu/every-kernel.js";
import { altered } from "../backend/webgpu/proxies.js";

test.each([
  { of: "software adapters", only: { software: softwareKernels } },
  { of: "graphics cards", only: {} },
])("the kernels of $of are taken, also with their buffers in ranges", async ({ only }) => {
  const found = await findAdapter();
  if ("reason" in found) throw new Error(found.reason);
  // Modules are made, and pipelines are not: a software adapter takes minutes to translate all of them.
  const device = await openDevice(found);
  const createComputePipelineAsync = async () => ({});
  const backend = backendOn(new Gpu(altered(device, { createComputePipelineAsync }), only), found);
  const { gpu } = backend;
  const failed: unknown[] = [];
  await gpu.rehearse(() => {
    for (const [name, calls] of everyKernel) {
      const made: ReturnType<typeof empty>[] = [];
      try {
        calls(backend, (...shape) => {
          made.push(empty(backend, shape));
          return made.at(-1)!;
        });
      } catch (error) {
        failed.push(name, error);
      }
      for (const { storage } of made) storage.release();
    }
  });
  expect(failed).toEqual([]);
  await gpu.failures.endRead(gpu.failures.beginRead());
  expect(gpu.sources().length).toBeGreaterThan(200);
  expect(await refusedByRanges(gpu)).toEqual([]);
  backend.destroy();
});
