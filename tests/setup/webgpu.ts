/**
 * WebGPU in Node without a GPU: Dawn (npm `webgpu`) on the software GPU that comes with the test browser.
 * `vitest.config.ts` names the driver in the environment; this file loads it.
 */
import { constants } from "node:os";
import { quickToCompile } from "../../scripts/browser.mjs";

/** Dawn crashes the process when the object made by `create()` is collected, so it lives as long as the process. */
const kept = globalThis as { __tenonTestGpus?: Record<string, GPU | null> };
kept.__tenonTestGpus ??= {};
const gpus = kept.__tenonTestGpus;

async function dawn(options: string[]): Promise<GPU> {
  const { create, globals } = await import("webgpu");
  Object.assign(globalThis, globals);
  // With its experiments (subgroup matrices), as the platform opens it.
  return create([...options, "enable-dawn-features=allow_unsafe_apis", quickToCompile]);
}

/**
 * Dawn's addon asks for news in every turn of the event loop, which takes a core from the threads of the software GPU
 * that it waits for: with other tests beside, a file took three times as long. It shall ask every millisecond.
 */
function letDevicesWork(): void {
  const { setImmediate } = globalThis;
  const ofAddon = (callback: unknown) => Function.prototype.toString.call(callback).includes("[native code]");
  const later = (callback: () => void, ...args: []) =>
    ofAddon(callback) ? setTimeout(callback, 1) : setImmediate(callback, ...args);
  globalThis.setImmediate = Object.assign(later, setImmediate) as unknown as typeof setImmediate;
}

/** Loads the Vulkan loader, so that Dawn finds it by its name. `dlopen` complains that it is no addon, yet keeps it. */
function loadVulkan(path: string): void {
  const RTLD_NODELETE = 0x1000;
  try {
    process.dlopen({ exports: {} }, path, constants.dlopen.RTLD_NOW | RTLD_NODELETE);
  } catch {
    // "Module did not self-register": expected.
  }
}

/**
 * A software GPU that computes, or null where there is none. With `REQUIRE_WEBGPU=1` (as in CI) null is an error,
 * so that tests which skip without a GPU cannot pass unseen.
 */
export async function softwareGpu(): Promise<GPU | null> {
  if (gpus["software"] !== undefined) return gpus["software"];
  if (process.env["TENON_VULKAN_LOADER"]) loadVulkan(process.env["TENON_VULKAN_LOADER"]);
  letDevicesWork();
  const gpu = await dawn([]);
  const adapter = await gpu.requestAdapter();
  if (!adapter && process.env["REQUIRE_WEBGPU"] === "1")
    throw new Error("REQUIRE_WEBGPU=1, but this machine has no WebGPU adapter and none was unpacked.");
  if (!adapter) console.warn("skipping WebGPU tests: no adapter (a GPU driver, or Linux on x86-64, brings one)");
  gpus["software"] = adapter ? gpu : null;
  return gpus["software"];
}

/**
 * Dawn without any driver: compiles and validates every shader, `f16` included, and computes nothing.
 * Never assert its numbers.
 */
export async function nullGpu(): Promise<GPU> {
  gpus["null"] ??= await dawn(["backend=null"]);
  return gpus["null"] as GPU;
}
