/** Every kernel in every dtype and variant, compiled and validated by Dawn without a graphics card. Nothing is computed. */

import { afterAll, beforeAll, expect, test } from "vitest";
import type { Operand } from "../../../src/backend/kernels.js";
import { findAdapter, openDevice } from "../../../src/backend/webgpu/adapter.js";
import { backendOn, type WebGpuBackend } from "../../../src/backend/webgpu/backend.js";
import { Gpu } from "../../../src/backend/webgpu/gpu.js";
import { fragmentMemory, fragmentSource } from "../../../src/backend/webgpu/matmul/fragments.js";
import type { Product } from "../../../src/backend/webgpu/matmul/product.js";
import { type Epilogue, Kernel } from "../../../src/backend/webgpu/shader.js";
import { softwareKernels } from "../../../src/backend/webgpu/software/kernels.js";
import { nullGpu } from "../../setup/webgpu.js";
import { empty } from "../operands.js";
import { everyKernel, refusedByRanges } from "./every-kernel.js";

const devices: WebGpuBackend[] = [];
async function open(matrixKernels: "software" | "card", everywhere: boolean): Promise<WebGpuBackend> {
  const found = await findAdapter(await nullGpu());
  if ("reason" in found) throw new Error(found.reason);
  const device = everywhere ? await found.adapter.requestDevice() : await openDevice(found);
  return backendOn(new Gpu(device, matrixKernels === "software" ? { software: softwareKernels } : {}), found);
}
beforeAll(async () => {
  // Both kinds of matrix product, and a device with nothing but the limits and features that every device has.
  devices.push(await open("software", false), await open("card", false), await open("card", true));
  const used = ["shader-f16", "subgroups"];
  expect(devices.map(({ gpu }) => used.filter((feature) => gpu.device.features.has(feature)))).toEqual([
    used,
    used,
    [],
  ]);
});
afterAll(() => {
  for (const device of devices) device.destroy();
});

/** Runs a body on each device and asks whether any kernel was refused. */
async function compiles(body: (device: WebGpuBackend, out: (...shape: number[]) => Operand) => void): Promise<number> {
  let kernels = 0;
  for (const device of devices) {
    const made: Operand[] = [];
    body(device, (...shape) => {
      const operand = empty(device, shape);
      made.push(operand);
      return operand;
    });
    device.gpu.flush();
    await device.gpu.failures.endRead(device.gpu.failures.beginRead());
    for (const { storage } of made) storage.release();
    kernels = device.gpu.sources().length;
  }
  return kernels;
}

test.each(everyKernel)("%s", async (_, calls) => {
  expect(await compiles(calls)).toBeGreaterThan(60);
});

test("products by subgroup matrices, of every size that is known", async () => {
  const [{ gpu }] = devices;
  const flags = [true, false];
  // Apple's and Mesa's, NVIDIA's, AMD's and Intel's.
  const sizes = [
    { M: 8, N: 8, K: 8 },
    { M: 16, N: 8, K: 16 },
    { M: 16, N: 16, K: 16 },
    { M: 8, N: 16, K: 16 },
  ];
  const epilogue: Epilogue = {
    key: "",
    buffers: [
      { name: "with0", type: "vec4f" },
      { name: "finished", type: "vec4f", writes: true },
    ],
    reads: ["with0"],
    params: { zero: "u32" },
    code: "fn finish(at: u32, made: vec4f, with0: vec4f) { finished[at] = max(made, with0); }",
  };
  const memory = gpu.device.limits.maxComputeWorkgroupStorageSize;
  let compiled = 0;
  for (const size of sizes)
    for (const transposeA of flags)
      for (const transposeB of flags)
        for (const wide of flags)
          for (const split of flags)
            for (const tile of [64, 128] as const) {
              const product: Product = {
                ...{ transposeA, transposeB, bias: !split, accumulate: !split && wide, sums: "", split },
                ...{ wideA: wide, wideB: !wide, wideOut: wide, wholeK: wide ? 32 : 1 },
                ...{ left: "float16", right: "float16", f16: true },
                ...(wide && !split && { epilogue }),
              };
              if (fragmentMemory(size, tile) > memory) continue;
              const kernel = new Kernel(fragmentSource(product, size, tile, { threads: 32, asked: split }));
              const shared = kernel.source.buffers.map((_, i) => i);
              gpu.pipelines.variant(kernel, { shared, ranges: shared.map(() => 1), cut: false, key: "" });
              compiled++;
            }
  await gpu.failures.endRead(gpu.failures.beginRead());
  expect(compiled).toBeGreaterThan(sizes.length * 16 - 1);
});

test("every kernel of these tests also reaches its buffers by ranges", async () => {
  for (const { gpu } of devices) {
    expect(await refusedByRanges(gpu)).toEqual([]);
    expect(gpu.sources().length).toBeGreaterThan(200);
  }
});
