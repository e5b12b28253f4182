/** Work whose kernels a driver compiles: each is named on standard error before the driver writes there what it made. */

import { writeSync } from "node:fs";
import { type DType, init, matmul, setWarningListener, zeros } from "../../src/index.js";
import { AdamW } from "../../src/optim/index.js";
import { randomGpt } from "../card/model.js";
import { openGpu } from "../card/open.js";
import { rowsOf, type Shape } from "../gpt.js";

setWarningListener(() => {});
await openGpu();
const device = GPUDevice.prototype;
const make = device.createComputePipeline;
const named = function (this: GPUDevice, descriptor: GPUComputePipelineDescriptor): GPUComputePipeline {
  writeSync(2, `\nkernel: ${descriptor.label}\n`);
  return make.call(this, descriptor);
};
device.createComputePipeline = named;
// One after the other, or what is written of them would mix.
device.createComputePipelineAsync = async function (descriptor) {
  return named.call(this, descriptor);
};
await init({ device: "webgpu" });

const part = (title: string) => writeSync(2, `\npart: ${title}\n`);

for (const [size, dtype] of [
  [2048, "float32"],
  [1024, "float32"],
  [512, "float32"],
  [2048, "float16"],
] as [number, DType][]) {
  part(`a product of ${size} x ${size} x ${size}, ${dtype}`);
  const [a, b] = [zeros([size, size], { dtype }), zeros([size, size], { dtype })];
  await matmul(a, b).data();
}

const shape: Shape = { layers: 1, heads: 12, width: 768, context: 1024, batch: 2, vocabulary: 50257 };
const model = randomGpt(shape);
part("a training step of a layer of GPT-2");
await model.trainStep({ ids: rowsOf(shape) }, { optimizer: new AdamW(model.namedParameters()), clipNorm: 1 });
for (const dtype of ["float32", "float16"] as const) {
  part(`tokens after 600, matrices of ${dtype}`);
  const ids = Array.from({ length: 600 }, (_, i) => i);
  await randomGpt(shape, dtype).generate(ids, { maxTokens: 3, temperature: 0, ignoreEos: true });
}
process.exit(0);
