/** What the devices tell of themselves: capabilities and memory. */

import { platform } from "../core/platform.js";
import type { Backend, BackendInfo, DeviceName } from "./backend.js";
import { type AllocationSite, allocationSites, showBytes } from "./storage.js";

export type Numerics = "portable" | "fast";

/** The device in use, what it can do, and why anything is missing. */
export interface Capabilities {
  /** The default device. */
  device: DeviceName;
  /** Why it is this one. */
  reason: string;
  threads: number;
  simd: boolean;
  numerics: Numerics;
  fusedMultiplyAdd: boolean;
  crossOriginIsolated: boolean;
  /** Bytes the device can give at most. */
  maxMemory: number;
  /** What is missing, each with its reason. */
  missing: string[];
  /** Facts by device. */
  devices: Partial<Record<DeviceName, BackendInfo>>;
  environment: Record<string, string>;
}

/** Of the open devices, the reasons why others are not, the default one, and why it is that one. */
export function capabilitiesOf(
  open: ReadonlyMap<DeviceName, Backend>,
  unavailable: ReadonlyMap<DeviceName, string>,
  standard: Backend,
  reason: string,
): Capabilities {
  const { threads, simd, numerics, fusedMultiplyAdd, maxMemory, missing, details } = standard.info;
  const { adapter } = details as { adapter?: string };
  return {
    device: standard.device,
    reason,
    threads,
    simd,
    numerics,
    fusedMultiplyAdd,
    crossOriginIsolated: globalThis.crossOriginIsolated ?? platform().name === "node",
    maxMemory,
    missing: [...missing, ...Array.from(unavailable, ([device, why]) => `${device}: ${why}`)],
    devices: Object.fromEntries([...open].map(([name, backend]) => [name, backend.info])),
    // The bits of a graphics card are those of this one.
    environment: { ...platform().environment(), ...(adapter ? { adapter } : {}) },
  };
}

/** One line: device, threads, SIMD, numerics, and what is missing. */
export function describeCapabilities(caps: Capabilities): string {
  const { adapter } = caps.environment;
  const fma = caps.numerics === "fast" && caps.fusedMultiplyAdd ? " with fused multiply-add" : "";
  const parts = adapter
    ? [`${caps.device} on ${adapter}`, `up to ${showBytes(caps.maxMemory)} in one piece`]
    : [
        caps.device,
        `${caps.threads} thread${caps.threads === 1 ? "" : "s"}`,
        caps.simd ? "SIMD" : "no SIMD",
        `${caps.numerics} numerics${fma}`,
        `up to ${showBytes(caps.maxMemory)}`,
      ];
  return `Device: ${parts.join(", ")}${caps.missing.length ? `. Missing: ${caps.missing.join("; ")}` : ""}.`;
}

/** Memory of tensors, in bytes. */
export interface MemoryReport {
  /** Bytes in use by tensors, kept for reuse, and highest use, over all devices. */
  live: number;
  pooled: number;
  peak: number;
  devices: Partial<Record<DeviceName, { live: number; pooled: number; peak: number }>>;
  /** What holds memory, the largest first; only while `traceAllocations()` is on. */
  sites: AllocationSite[];
}

/** Of the open devices, and in the totals of those that `init` opened anew while tensors lived on them. */
export function memoryOf(open: ReadonlyMap<DeviceName, Backend>, retired: Iterable<Backend>): MemoryReport {
  const devices = Object.fromEntries([...open].map(([name, backend]) => [name, backend.memory()]));
  const all = [...Object.values(devices), ...[...retired].map((backend) => backend.memory())];
  const total = (key: "live" | "pooled" | "peak") => all.reduce((sum, device) => sum + device[key], 0);
  return { live: total("live"), pooled: total("pooled"), peak: total("peak"), devices, sites: allocationSites() };
}
