/** The webgpu device of tests: opened once per file, on the software adapter. */

import { init } from "tenon";
import { backendOf } from "../../../src/backend/devices.js";
import type { WebGpuBackend } from "../../../src/backend/webgpu/backend.js";
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
