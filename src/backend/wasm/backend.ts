import { DeviceError } from "../../core/errors.js";
import type { Backend } from "../backend.js";

/** Opens the cpu device. Throws DeviceError where WebAssembly SIMD is forbidden or absent. */
export function createCpuBackend(_options: {
  threads?: number;
  numerics: "portable" | "fast";
  engineFlags: readonly string[];
}): Backend {
  throw new DeviceError("cpu: the WebAssembly kernels are not part of this build yet.", { where: "cpu" });
}
