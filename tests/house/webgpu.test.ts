/** The harness itself: tests that skip for want of a GPU prove nothing, so the GPUs they get are tested here. */
import { expect, test } from "vitest";
import { nullGpu, softwareGpu } from "../setup/webgpu.js";

const double = `
  @group(0) @binding(0) var<storage, read_write> x: array<f32>;
  @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3u) { x[id.x] = 2 * x[id.x]; }`;

test("the software GPU runs a shader", async ({ skip }) => {
  const gpu = await softwareGpu();
  if (!gpu) return skip("no WebGPU adapter");
  const device = (await (await gpu.requestAdapter())!.requestDevice())!;
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const x = device.createBuffer({ size: 16, usage });
  const read = device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  device.queue.writeBuffer(x, 0, new Float32Array([1, 2, 3, 4]));

  const module = device.createShaderModule({ code: double });
  const pipeline = device.createComputePipeline({ layout: "auto", compute: { module } });
  const entries = [{ binding: 0, resource: { buffer: x } }];
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(1);
  pass.end();
  encoder.copyBufferToBuffer(x, 0, read, 0, 16);
  device.queue.submit([encoder.finish()]);

  await read.mapAsync(GPUMapMode.READ);
  expect([...new Float32Array(read.getMappedRange())]).toEqual([2, 4, 6, 8]);
  device.destroy();
});

test("the null GPU accepts a valid shader and refuses a wrong one", async () => {
  const gpu = await nullGpu();
  const device = await (await gpu.requestAdapter())!.requestDevice();
  const errors = async (code: string) => {
    device.pushErrorScope("validation");
    device.createShaderModule({ code });
    return (await device.popErrorScope())?.message;
  };
  expect(await errors(double)).toBeUndefined();
  expect(await errors(double.replace("2 * x", "2u * x"))).toMatch(/no matching overload/);
});
