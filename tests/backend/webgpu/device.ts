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
