/** Dawn, by npm `webgpu`, opened once for Tenon, its peers and the probes: all on the adapter of `navigator.gpu`. */

import { constants } from "node:os";
import { type FoundAdapter, findAdapter } from "../../src/backend/webgpu/adapter.js";

const subgroupMatrix = "chromium-experimental-subgroup-matrix" as GPUFeatureName;
const optional: GPUFeatureName[] = ["shader-f16", "subgroups", subgroupMatrix];

/** M x K times K x N by the threads of a subgroup together. The types do not know it yet. */
export interface SubgroupMatrix {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** Dawn crashes the process when the object made by `create()` is collected. */
const kept = globalThis as { benchGpu?: GPU };

export async function openGpu(): Promise<GPU> {
  if (kept.benchGpu) return kept.benchGpu;
  const loader = process.env["TENON_VULKAN_LOADER"];
  if (loader) loadVulkan(loader);
  const { create, globals } = await import("webgpu");
  Object.assign(globalThis, globals);
  // Subgroup matrices are an experiment, which Dawn lists only so.
  kept.benchGpu = create(["enable-dawn-features=allow_unsafe_apis"]);
  const host = globalThis as { navigator?: object };
  host.navigator ??= { userAgent: "Node.js" }; // a peer reads it; Node has it from version 21 on
  Object.defineProperty(host.navigator, "gpu", { value: kept.benchGpu, configurable: true });
  return kept.benchGpu;
}

/** The software GPU of the tests, which Dawn then finds by name. `dlopen` complains that it is no addon, yet keeps it. */
function loadVulkan(path: string): void {
  const RTLD_NODELETE = 0x1000;
  try {
    process.dlopen({ exports: {} }, path, constants.dlopen.RTLD_NOW | RTLD_NODELETE);
  } catch {
    // "Module did not self-register": expected.
  }
}

export async function openAdapter(): Promise<FoundAdapter | { readonly reason: string }> {
  return findAdapter(await openGpu());
}

export const matricesOf = ({ features, info }: GPUAdapter): SubgroupMatrix[] => {
  const { subgroupMatrixConfigs = [] } = info as { subgroupMatrixConfigs?: Iterable<SubgroupMatrix> };
  return features.has(subgroupMatrix) ? [...subgroupMatrixConfigs] : [];
};

/** A device for the probes, with the highest limits of its adapter; what is wrong with a probe is thrown at its next wait. */
export async function openProbe(): Promise<{ adapter: GPUAdapter; device: GPUDevice }> {
  const found = await openAdapter();
  if ("reason" in found) throw new Error(found.reason);
  const { adapter } = found;
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  const device = await adapter.requestDevice({
    requiredFeatures: optional.filter((feature) => adapter.features.has(feature)),
    requiredLimits: { maxBufferSize, maxStorageBufferBindingSize },
  });
  return { adapter, device };
}
