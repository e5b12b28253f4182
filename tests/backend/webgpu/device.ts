/** Devices of tests on the software adapter: the webgpu of `init`, opened once per file, and others of their own. */

import { init } from "tenon";
import type { Backend } from "../../../src/backend/backend.js";
import { backendOf } from "../../../src/backend/devices.js";
import type { Operand } from "../../../src/backend/kernels.js";
import { findAdapter, openDevice } from "../../../src/backend/webgpu/adapter.js";
import { backendOn, type WebGpuBackend } from "../../../src/backend/webgpu/backend.js";
import { Gpu } from "../../../src/backend/webgpu/gpu.js";
import { softwareKernels } from "../../../src/backend/webgpu/software/kernels.js";
import { byteSize, decode, dtypes } from "../../../src/core/dtype.js";
import { type Platform, setPlatform } from "../../../src/core/platform.js";
import { softwareGpu } from "../../setup/webgpu.js";
import { altered, withBindingLimit } from "./proxies.js";

/** The backend, or null (with a printed reason) where this machine has no adapter. */
export async function openWebGpu(): Promise<WebGpuBackend | null> {
  if (!(await softwareGpu())) return null;
  await init({ device: "webgpu" });
  return backendOf("webgpu") as WebGpuBackend;
}

/** Opens the webgpu device anew, with a limit of one binding or with the adapter's, on a host whose GPU is given. */
export async function openWithLimit(host: Platform, gpu: GPU, limit?: number): Promise<WebGpuBackend> {
  const requestAdapter = async (options?: GPURequestAdapterOptions) => {
    const adapter = (await gpu.requestAdapter(options))!;
    const requestDevice = async (descriptor: GPUDeviceDescriptor) => {
      const device = await adapter.requestDevice(descriptor);
      return limit ? withBindingLimit(device, limit) : device;
    };
    return altered(adapter, { requestDevice });
  };
  setPlatform(altered(host, { gpu: async () => ({ gpu: { requestAdapter } as GPU }) }));
  const open = backendOf("webgpu") as WebGpuBackend;
  open.gpu.device.destroy();
  await open.gpu.device.lost;
  await init({ device: "webgpu" });
  return backendOf("webgpu") as WebGpuBackend;
}

/**
 * A device of the test's own; `software: false` gives the kernels that real graphics cards get, which alone join
 * launches, `without` those of devices that lack a feature. Null where there is no adapter.
 */
export async function openOwn(
  software: boolean,
  without: readonly GPUFeatureName[] = [],
): Promise<WebGpuBackend | null> {
  const entry = await softwareGpu();
  if (!entry) return null;
  const found = await findAdapter(entry);
  if ("reason" in found) throw new Error(found.reason);
  return backendOn(new Gpu(await openDevice(found, { without }), software ? { software: softwareKernels } : {}), found);
}

export async function readValues(backend: Backend, of: Operand): Promise<number[]> {
  const bytes = await backend.read(of.storage.handle, byteSize(of.dtype, of.size));
  return Array.from(new dtypes[of.dtype].array(bytes.buffer, 0, of.size), (stored) => decode(of.dtype, stored));
}
