/** Which adapter is found, what is asked of it, and the rule of `auto`, on adapters that tell of themselves what a test wants. */

import * as t from "tenon";
import { afterEach, describe, expect, test } from "vitest";
import { backendOf } from "../../../src/backend/devices.js";
import { abilitiesOf, openDevice } from "../../../src/backend/webgpu/adapter.js";
import type { WebGpuBackend } from "../../../src/backend/webgpu/backend.js";
import { platform, setPlatform } from "../../../src/core/platform.js";
import { softwareGpu } from "../../setup/webgpu.js";
import { altered } from "./proxies.js";

const gpu = await softwareGpu();
const host = platform();

/** What `navigator.gpu` gives on a machine of this test. */
function machine(requestAdapter: (options?: GPURequestAdapterOptions) => Promise<GPUAdapter | null>): void {
  setPlatform(altered(host, { gpu: async () => ({ gpu: { requestAdapter } as GPU }) }));
}
const adapterOf = async (properties: Record<string, unknown>) => altered((await gpu!.requestAdapter())!, properties);
const named = (vendor: string, architecture: string, more: object = {}) =>
  adapterOf({ info: { vendor, architecture, device: "", description: "", ...more } });

afterEach(async () => {
  // A device that is open would be taken again.
  if (t.capabilities().devices.webgpu) (backendOf("webgpu") as WebGpuBackend).gpu.destroy();
  setPlatform(host);
  await t.init({ device: "cpu" });
});

describe("without an adapter the reason is told, and auto takes the CPU", () => {
  const none = "there is WebGPU, but no graphics adapter that it may use (drivers, or a blocklist)";
  test.each([
    ["an adapter that is null although there is WebGPU", async () => null, none],
    [
      "a search that fails",
      async () => {
        throw new TypeError("no power");
      },
      "the search for an adapter failed: no power",
    ],
  ])("%s", async (_, requestAdapter, reason) => {
    machine(requestAdapter);
    const { device, reason: why, missing } = await t.init({ device: "auto" });
    expect([device, why]).toEqual(["cpu", `no WebGPU graphics card (${reason}); the CPU is used`]);
    expect(missing).toContain(`webgpu: ${reason}`);
    const asked = t.init({ device: "webgpu" });
    await expect(asked).rejects.toThrow(`webgpu: ${reason}. The device "cpu" works everywhere; capabilities()`);
    await expect(asked).rejects.toBeInstanceOf(t.DeviceError);
  });
});

describe.skipIf(!gpu)("with an adapter", () => {
  test.each([
    ["nvidia", "ampere", {}, "webgpu"],
    ["apple", "metal-3", {}, "webgpu"],
    ["google", "swiftshader", {}, "cpu"],
    ["mesa", "", { description: "llvmpipe (LLVM 15, 256 bits)" }, "cpu"],
    ["microsoft", "", { isFallbackAdapter: true }, "cpu"],
  ] as const)("auto on %s %s %j is %s, whatever else there is to say", async (vendor, architecture, more, expected) => {
    const adapter = await named(vendor, architecture, more);
    machine(async () => adapter);
    const caps = await t.init({ device: "auto" });
    expect(caps.device).toBe(expected);
    if (expected === "webgpu") expect(caps.reason).toBe(`a graphics card: ${vendor} ${architecture}`);
    else expect(caps.reason).toMatch(/^no WebGPU graphics card \(the only adapter, .+, is a processor that plays/);
    for (const careful of [{ numerics: "portable" }, { deterministic: true }] as const)
      expect((await t.init({ device: "auto", ...careful })).device).toBe("cpu");
    await t.init({ deterministic: "warn" });
  });

  test("its limits are asked for in full, and its features where kernels use them", async () => {
    const adapter = (await gpu!.requestAdapter())!;
    const device = await openDevice({ adapter, software: true, name: "" });
    for (const limit of ["maxBufferSize", "maxStorageBufferBindingSize", "maxStorageBuffersPerShaderStage"] as const)
      expect(device.limits[limit], limit).toBe(adapter.limits[limit]);
    for (const feature of ["shader-f16", "subgroups"] as const)
      expect(device.features.has(feature), feature).toBe(adapter.features.has(feature));
    device.destroy();
  });

  test("kernels ask for the smallest subgroups where sizes vary and the device lets them", () => {
    const varying = { subgroupMinSize: 32, subgroupMaxSize: 64 };
    const sizes = (features: string[], adapterInfo: object) => {
      const device = { features: new Set(features), limits: {}, adapterInfo } as unknown as GPUDevice;
      const { subgroupSize, smallestSubgroup } = abilitiesOf(device);
      return [subgroupSize, smallestSubgroup];
    };
    expect(sizes(["subgroups"], varying)).toEqual([undefined, undefined]);
    expect(sizes(["subgroups"], { ...varying, subgroupMaxSize: 32 })).toEqual([32, undefined]);
    expect(sizes(["subgroups", "subgroup-size-control"], varying)).toEqual([undefined, 32]);
    expect(sizes(["subgroups", "subgroup-size-control"], { ...varying, minExplicitComputeSubgroupSize: 64 })).toEqual([
      undefined,
      64,
    ]);
  });

  test("one that opens no device is an error with its name and the next step", async () => {
    const requestDevice = async () => {
      throw new Error("out of devices");
    };
    const adapter = await adapterOf({ requestDevice });
    machine(async () => adapter);
    await expect(openDevice({ adapter, software: false, name: "acme gpu" })).rejects.toThrow(
      "webgpu: the adapter acme gpu refused to open a device: out of devices Close other programs",
    );
  });
});
