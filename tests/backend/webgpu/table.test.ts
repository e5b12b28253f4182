/**
 * The table of operations on the graphics card, in Node, on a device without the features that kernels use where they
 * are; the page's table (tests/browser/webgpu.test.ts) runs with them.
 */

import { describe, expect, test } from "vitest";
import { platform, setPlatform } from "../../../src/core/platform.js";
import { testFixtures } from "../../ops/fixture-table.js";
import { softwareGpu } from "../../setup/webgpu.js";
import { openWebGpu } from "./device.js";
import { altered } from "./proxies.js";

/** An adapter that tells of none of the optional features. */
const bare = (adapter: GPUAdapter): GPUAdapter => altered(adapter, { features: new Set() });

const gpu = await softwareGpu();
if (gpu) {
  const requestAdapter = async (options?: GPURequestAdapterOptions) => {
    const adapter = await gpu.requestAdapter(options);
    return adapter && bare(adapter);
  };
  setPlatform({ ...platform(), gpu: async () => ({ gpu: { requestAdapter } as GPU }) });
}
const backend = await openWebGpu();

describe.skipIf(!backend)("in Node", () => {
  test("neither subgroups nor shader-f16", () => {
    const { features } = backend!.gpu.device;
    expect(features.has("subgroups") || features.has("shader-f16")).toBe(false);
  });
  testFixtures([{ name: "webgpu", device: "webgpu", slack: 10, open: async () => void (await openWebGpu()) }]);
});
