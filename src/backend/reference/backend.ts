/**
 * The reference backend: every kernel in plain TypeScript, in float32, in the order of operations that kernels.ts
 * states. The specification of all kernels and the last resort where WebAssembly is forbidden.
 */

import type { Backend, Handle } from "../backend.js";
import type { Kernels } from "../kernels.js";
import { attention } from "./attention.js";
import { attentionBackward } from "./attention-backward.js";
import { fill, stridedCopy } from "./copy.js";
import { elementwise } from "./elementwise.js";
import { gather, indexAdd, indexSelect, scatterAdd } from "./indexing.js";
import { linearCrossEntropy, linearCrossEntropyBackward } from "./linear-cross-entropy.js";
import { crossEntropy, crossEntropyBackward } from "./loss.js";
import { matmul } from "./matmul.js";
import { ReferenceMemory, viewOf } from "./memory.js";
import { layerNorm, layerNormBackward, rmsNorm, rmsNormBackward } from "./norm.js";
import { dropout, randomUniform } from "./random.js";
import { argReduce, cumsum, reduce } from "./reduce.js";
import { softmax, softmaxBackward } from "./softmax.js";
import { sort } from "./sort.js";

const kernels: Kernels = {
  elementwise,
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
  attentionBackward,
  randomUniform,
  dropout,
};

/** A backend of its own memory; one thread, portable numerics, nothing to start. */
export function createReferenceBackend(): Backend {
  const memory = new ReferenceMemory();
  return {
    device: "reference",
    kernels,
    info: {
      threads: 1,
      simd: false,
      numerics: "portable",
      fusedMultiplyAdd: false,
      // As much as the JavaScript engine gives; it does not tell how much that is.
      maxMemory: Number.POSITIVE_INFINITY,
      missing: [
        "threads: the reference backend is plain TypeScript",
        "SIMD: the reference backend is plain TypeScript",
      ],
      details: {},
    },
    alloc: (bytes) => memory.alloc(bytes),
    free: (_handle, bytes) => memory.free(bytes),
    write: (handle: Handle, bytes) => new Uint8Array(handle as ArrayBuffer).set(bytes),
    read: async (handle: Handle, bytes) => new Uint8Array((handle as ArrayBuffer).slice(0, bytes)),
    view: viewOf,
    memory: () => memory.report(),
    // Buffers belong to their storages; the garbage collector takes them.
    destroy() {},
  };
}
