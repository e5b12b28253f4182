import { expect, test } from "vitest";

declare const __ISOLATED__: boolean;

test("the page is cross-origin isolated exactly where the project says so", () => {
  expect(crossOriginIsolated).toBe(__ISOLATED__);
  expect(typeof SharedArrayBuffer).toBe(__ISOLATED__ ? "function" : "undefined");
});

test("the page has WebGPU and it computes", async () => {
  const adapter = await navigator.gpu.requestAdapter();
  expect(adapter).not.toBeNull();
  const device = await adapter!.requestDevice();
  const buffer = device.createBuffer({ size: 4, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  device.queue.writeBuffer(buffer, 0, new Uint32Array([42]));
  await buffer.mapAsync(GPUMapMode.READ);
  expect(new Uint32Array(buffer.getMappedRange())[0]).toBe(42);
});
