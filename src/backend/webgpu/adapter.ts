/** Finding an adapter and opening a device, with a reason for everything that is missing. */

import { DeviceError } from "../../core/errors.js";
import { platform } from "../../core/platform.js";

/** An adapter, and whether a processor plays the graphics card (SwiftShader, lavapipe, WARP). */
export interface FoundAdapter {
  readonly adapter: GPUAdapter;
  readonly software: boolean;
  /** `google swiftshader`, `nvidia ampere`, … */
  readonly name: string;
}

/** What is worth knowing of an adapter, or of a device opened on it. */
export function factsOf(
  { adapter, name, software }: FoundAdapter,
  { features, limits }: { features: ReadonlySet<string>; limits: GPUSupportedLimits } = adapter,
) {
  return {
    adapter: name,
    description: adapter.info.description,
    software,
    features: [...features].sort(),
    limits: {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
    },
  };
}

const softwareNames = /swiftshader|llvmpipe|lavapipe|softpipe|warp|basic render/i;

/** The adapter of the host, or the sentence that says why there is none. */
export async function findAdapter(gpu?: GPU): Promise<FoundAdapter | { readonly reason: string }> {
  let entry = gpu;
  if (!entry) {
    const host = await platform().gpu();
    if ("reason" in host) return host;
    entry = host.gpu;
  }
  let adapter: GPUAdapter | null;
  try {
    adapter = await entry.requestAdapter({ powerPreference: "high-performance" });
  } catch (cause) {
    return { reason: `the search for an adapter failed: ${(cause as Error).message}` };
  }
  if (!adapter) return { reason: "there is WebGPU, but no graphics adapter that it may use (drivers, or a blocklist)" };
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
  // Some hosts know a vendor by number alone.
  const words = [vendor, architecture].filter((word) => word && !/^\d+$/.test(word));
  const name = words.join(" ") || description || "unknown adapter";
  const software = isFallbackAdapter === true || softwareNames.test(`${name} ${device} ${description}`);
  return { adapter, software, name };
}

/** Requested as high as the adapter grants; everything else keeps its default. */
const raisedLimits = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupsPerDimension",
] as const;

const SUBGROUP_SIZE_CONTROL = "subgroup-size-control" as GPUFeatureName;
const SUBGROUP_MATRIX = "chromium-experimental-subgroup-matrix" as GPUFeatureName;

/** Used where present, never required. */
export const usedFeatures: readonly GPUFeatureName[] = [
  "shader-f16",
  "subgroups",
  "timestamp-query",
  SUBGROUP_SIZE_CONTROL,
  SUBGROUP_MATRIX,
];

/** Small matrices that a subgroup multiplies by one instruction: a is M x K, b is K x N, the result M x N. */
export interface FragmentSize {
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

interface SubgroupMatrixConfig extends FragmentSize {
  readonly componentType: string;
  readonly resultComponentType: string;
}

/** The largest subgroup matrices of float16 that an adapter sums in float32, if it has them. */
export function fragmentsOf({ features, info }: GPUAdapter): FragmentSize | undefined {
  if (!features.has(SUBGROUP_MATRIX)) return undefined;
  const { subgroupMatrixConfigs = [] } = info as { subgroupMatrixConfigs?: readonly SubgroupMatrixConfig[] };
  const sizes = [...subgroupMatrixConfigs]
    .filter(({ componentType, resultComponentType }) => componentType === "f16" && resultComponentType === "f32")
    .map(({ M, N, K }) => ({ M, N, K }))
    .filter((size) => Object.values(size).every((side) => side >= 8 && 32 % side === 0));
  return sizes.sort((x, y) => y.M * y.N * y.K - x.M * x.N * x.K)[0];
}

/** Opens the device of an adapter with its highest limits and those features that are used where present, but for some. */
export async function openDevice(
  { adapter, name }: FoundAdapter,
  { without = [] }: { without?: readonly GPUFeatureName[] } = {},
): Promise<GPUDevice> {
  const requiredLimits = Object.fromEntries(raisedLimits.map((limit) => [limit, adapter.limits[limit]]));
  // A device with either of these has subgroups too, asked for or not.
  const leftOut: readonly GPUFeatureName[] = without.includes("subgroups")
    ? [...without, SUBGROUP_SIZE_CONTROL, SUBGROUP_MATRIX]
    : without;
  const requiredFeatures = usedFeatures.filter(
    (feature) => adapter.features.has(feature) && !leftOut.includes(feature),
  );
  try {
    return await adapter.requestDevice({ requiredLimits, requiredFeatures, label: "tenon" });
  } catch (cause) {
    throw new DeviceError(`webgpu: the adapter ${name} refused to open a device: ${(cause as Error).message}`, {
      where: "webgpu",
      cause,
      hint: "Close other programs that use the graphics card, or use the cpu device.",
    });
  }
}

/** The types do not know of sizes that kernels may ask for. */
type SubgroupInfo = Partial<GPUAdapterInfo> & { readonly minExplicitComputeSubgroupSize?: number };

/** What kernels and launches ask of a device, read once: each question to the platform is a call out of JavaScript. */
export interface Abilities {
  readonly f16: boolean;
  readonly subgroups: boolean;
  /** Threads of a subgroup, where all subgroups have as many. */
  readonly subgroupSize: number | undefined;
  /** Threads of the smallest subgroups, where a kernel may ask for their number. */
  readonly smallestSubgroup: number | undefined;
  /** Storage buffers of a kernel. */
  readonly bindings: number;
  /** Workgroups along one dim. */
  readonly groups: number;
  /** Threads of a workgroup, and bytes that they share. */
  readonly threads: number;
  readonly sharedBytes: number;
}

export function abilitiesOf({ features, limits, adapterInfo }: GPUDevice): Abilities {
  const subgroups = features.has("subgroups");
  // Not every implementation tells.
  const { subgroupMinSize, subgroupMaxSize, minExplicitComputeSubgroupSize } = (adapterInfo ?? {}) as SubgroupInfo;
  return {
    f16: features.has("shader-f16"),
    subgroups,
    subgroupSize: subgroups && subgroupMinSize === subgroupMaxSize ? subgroupMinSize : undefined,
    smallestSubgroup: features.has(SUBGROUP_SIZE_CONTROL)
      ? (minExplicitComputeSubgroupSize ?? subgroupMinSize)
      : undefined,
    bindings: limits.maxStorageBuffersPerShaderStage,
    groups: limits.maxComputeWorkgroupsPerDimension,
    threads: limits.maxComputeInvocationsPerWorkgroup,
    sharedBytes: limits.maxComputeWorkgroupStorageSize,
  };
}
