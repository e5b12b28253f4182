/** The webgpu device of tests: opened once per file, on the software adapter. */

import { init } from "tenon";
import { backendOf } from "../../../src/backend/devices.js";
import type { WebGpuBackend } from "../../../src/backend/webgpu/backend.js";
import { softwareGpu } from "../../setup/webgpu.js";

/** The backend, or null (with a printed reason) where this machine has no adapter. */
export async function openWebGpu(): Promise<WebGpuBackend | null> {
  if (!(await softwareGpu())) return null;
  await init({ device: "webgpu" });
  return backendOf("webgpu") as WebGpuBackend;
}

/** An object some of whose properties are others. */
export const altered = <T extends object>(target: T, properties: Record<string, unknown>): T =>
  new Proxy(target, {
    get(_, key) {
      if (typeof key === "string" && key in properties) return properties[key];
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
    set: (_, key, value) => Reflect.set(target, key, value, target),
  });

/** A device that tells of a small limit of one binding, and holds whoever uses it to that. */
export function withBindingLimit(device: GPUDevice, bytes: number): GPUDevice {
  const limits = altered(device.limits, { maxStorageBufferBindingSize: bytes });
  const createBindGroup = (descriptor: GPUBindGroupDescriptor) => {
    for (const { resource } of descriptor.entries) {
      const { offset = 0, size = 0 } = resource as GPUBufferBinding;
      if (size > bytes || size === 0 || offset % 256 !== 0) throw new Error(`bound ${size} bytes from ${offset} on`);
    }
    return device.createBindGroup(descriptor);
  };
  return altered(device, { limits, createBindGroup });
}
