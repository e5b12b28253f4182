/** The webgpu backend: the kernels of the contract, recorded on a graphics card's command stream. */

import { DeviceError } from "../../core/errors.js";
import type { Backend } from "../backend.js";
import type { Kernels } from "../kernels.js";
import { type FoundAdapter, factsOf, findAdapter, fragmentsOf, openDevice } from "./adapter.js";
import { Gpu } from "./gpu.js";
import { attention, cachedAttention } from "./kernels/attention.js";
import { attentionBackward } from "./kernels/attention-backward.js";
import { fill, stridedCopy } from "./kernels/copy.js";
import { elementwise } from "./kernels/elementwise.js";
import { gather, indexAdd, indexSelect, scatterAdd } from "./kernels/indexing.js";
import { linearCrossEntropy, linearCrossEntropyBackward } from "./kernels/linear-cross-entropy.js";
import { crossEntropy, crossEntropyBackward } from "./kernels/loss.js";
import { layerNorm, layerNormBackward, rmsNorm, rmsNormBackward } from "./kernels/norm.js";
import { dropout, randomUniform } from "./kernels/random.js";
import { argReduce, reduce } from "./kernels/reduce.js";
import { cumsum } from "./kernels/scan.js";
import { softmax, softmaxBackward } from "./kernels/softmax.js";
import { sort } from "./kernels/sort.js";
import { sumOfSquares } from "./kernels/squares.js";
import { elementwiseMany } from "./kernels/update.js";
import { matmul, matmulAndSums } from "./matmul/matmul.js";
import type { Piece } from "./pool.js";

const all = {
  elementwise,
  elementwiseMany,
  fill,
  stridedCopy,
  reduce,
  argReduce,
  cumsum,
  sort,
  gather,
  scatterAdd,
  indexSelect,
  indexAdd,
  matmul,
  matmulAndSums,
  softmax,
  softmaxBackward,
  layerNorm,
  layerNormBackward,
  rmsNorm,
  rmsNormBackward,
  crossEntropy,
  crossEntropyBackward,
  linearCrossEntropy,
  linearCrossEntropyBackward,
  attention,
  cachedAttention,
  attentionBackward,
  sumOfSquares,
  randomUniform,
  dropout,
};

/** Every kernel takes the command stream first; the contract knows only what follows. */
function kernelsOn(gpu: Gpu): Kernels {
  const bound = Object.entries(all).map(([name, kernel]) => [
    name,
    (...args: unknown[]) => gpu.within(() => (kernel as (gpu: Gpu, ...rest: unknown[]) => void)(gpu, ...args)),
  ]);
  return Object.fromEntries(bound) as Kernels;
}

export interface WebGpuOptions {
  /** Take an adapter that a processor plays. */
  allowSoftware: boolean;
  /** The entry point to use in place of the platform's. */
  gpu?: GPU;
}

/** A backend whose command stream tests and tools may look at. */
export interface WebGpuBackend extends Backend {
  readonly gpu: Gpu;
  operation: string;
  /** False once the device was lost; a lost backend gives its tensors back and does nothing else. */
  readonly usable: boolean;
}

/** Opens the graphics card. Throws DeviceError with the reason where there is none that may be used. */
export async function createWebGpuBackend({ allowSoftware, gpu: given }: WebGpuOptions): Promise<WebGpuBackend> {
  const found = await findAdapter(given);
  if ("reason" in found) throw unavailable(found.reason);
  if (found.software && !allowSoftware)
    throw unavailable(`the only adapter, ${found.name}, is a processor that plays a graphics card`);
  // First, since an open device would stay behind where a page cannot load them.
  const only = await kernelsFor(found);
  return backendOn(new Gpu(await openDevice(found), only), found);
}

/** What only such an adapter needs. */
async function kernelsFor({ adapter, software }: FoundAdapter): Promise<Gpu["only"]> {
  const size = fragmentsOf(adapter);
  return {
    ...(software && { software: (await import("./software/kernels.js")).softwareKernels }),
    ...(size && { fragments: (await import("./matmul/fragments.js")).fragmentKernels(size) }),
  };
}

const unavailable = (reason: string): DeviceError =>
  new DeviceError(`webgpu: ${reason}.`, {
    ...{ where: "webgpu", reason },
    hint: 'The device "cpu" works everywhere; capabilities(), in a terminal tenon doctor, says what is here.',
  });

/** A backend over an open device. */
export function backendOn(gpu: Gpu, found: FoundAdapter): WebGpuBackend {
  const { features } = gpu.device;
  const optional = ["shader-f16", "subgroups"] as const;
  return {
    device: "webgpu",
    gpu,
    kernels: kernelsOn(gpu),
    storedWeights: ["float16", "bfloat16"],
    get operation() {
      return gpu.operation;
    },
    set operation(name) {
      gpu.operation = name;
    },
    get usable() {
      return !gpu.failures.lost;
    },
    info: {
      threads: 1,
      simd: true,
      numerics: "fast",
      fusedMultiplyAdd: true,
      // WebGPU does not tell how much memory there is; this is the largest single piece.
      maxMemory: gpu.pool.largest,
      missing: optional.filter((feature) => !features.has(feature)).map((feature) => `${feature}: not on this adapter`),
      details: {
        ...factsOf(found, gpu.device),
        ...(gpu.only.fragments && {
          subgroupMatrix: `float16, ${Object.values(gpu.only.fragments.size).join(" x ")}`,
        }),
        determinism: "equal bits from run to run on one device; close to the CPU",
      },
    },
    largestTensor: gpu.pool.largest,
    alloc(bytes) {
      gpu.failures.requireDevice();
      return gpu.pool.alloc(bytes);
    },
    free: (handle) => gpu.pool.release(handle as Piece),
    write: (handle, bytes) => gpu.write(handle as Piece, bytes),
    read: (handle, bytes) => gpu.read(handle as Piece, bytes),
    memory: () => gpu.pool.memory(),
    rehearse: (work) => gpu.rehearse(work),
    get rehearsing() {
      return gpu.rehearsing;
    },
    record: (work) => gpu.record(work),
    destroy: () => gpu.destroy(),
  };
}
