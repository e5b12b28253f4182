/**
 * The `cpu` backend: WebAssembly SIMD kernels emitted at run time, on one memory, on a pool of threads. In portable
 * numerics it equals the reference backend bit for bit, whatever the number of threads.
 */

import { dtypes } from "../../core/dtype.js";
import type { Backend, BackendInfo, Handle } from "../backend.js";
import type { Kernels, Operand } from "../kernels.js";
import { Engine, type EngineOptions } from "./engine.js";
import { matmul } from "./gemm/matmul.js";
import { attention } from "./kernels/attention.js";
import { attentionBackward } from "./kernels/attention-backward.js";
import { fill, stridedCopy } from "./kernels/copy.js";
import { elementwise } from "./kernels/elementwise.js";
import { gather, indexAdd, indexSelect, scatterAdd } from "./kernels/indexing.js";
import { linearCrossEntropy, linearCrossEntropyBackward } from "./kernels/linear-cross-entropy.js";
import { crossEntropy, crossEntropyBackward } from "./kernels/loss.js";
import { layerNorm, layerNormBackward, rmsNorm, rmsNormBackward } from "./kernels/norm.js";
import { addressOf, addressOrZero } from "./kernels/operands.js";
import { dropout, randomUniform } from "./kernels/random.js";
import { argReduce, cumsum, reduce } from "./kernels/reduce.js";
import { softmax, softmaxBackward } from "./kernels/softmax.js";
import { sort } from "./kernels/sort.js";

/** Every kernel takes the engine first; here it is given once. */
function bindKernels(engine: Engine): Kernels {
  const bound = <A extends unknown[]>(kernel: (engine: Engine, ...args: A) => void) => kernel.bind(null, engine);
  return {
    elementwise: bound(elementwise),
    fill: bound(fill),
    stridedCopy: bound(stridedCopy),
    reduce: bound(reduce),
    argReduce: bound(argReduce),
    cumsum: bound(cumsum),
    sort: bound(sort),
    gather: bound(gather),
    scatterAdd: bound(scatterAdd),
    indexSelect: bound(indexSelect),
    indexAdd: bound(indexAdd),
    // Field by field: spreading objects costs more than a small product.
    matmul(a, b, output, { m, n, k, transposeA, transposeB, batchA, batchB, bias, accumulate = false }) {
      const [pa, pb, out, pBias] = [addressOf(a), addressOf(b), addressOf(output), addressOrZero(bias)];
      matmul(engine, { a: pa, b: pb, out, m, n, k, transposeA, transposeB, batchA, batchB, bias: pBias, accumulate });
    },
    softmax: bound(softmax),
    softmaxBackward: bound(softmaxBackward),
    layerNorm: bound(layerNorm),
    layerNormBackward: bound(layerNormBackward),
    rmsNorm: bound(rmsNorm),
    rmsNormBackward: bound(rmsNormBackward),
    crossEntropy: bound(crossEntropy),
    crossEntropyBackward: bound(crossEntropyBackward),
    linearCrossEntropy: bound(linearCrossEntropy),
    linearCrossEntropyBackward: bound(linearCrossEntropyBackward),
    attention: bound(attention),
    attentionBackward: bound(attentionBackward),
    randomUniform: bound(randomUniform),
    dropout: bound(dropout),
  };
}

/** A cpu backend, with its engine for tests and benchmarks. */
export interface CpuBackend extends Backend {
  readonly engine: Engine;
  /** Resolves when every worker has started or was refused; waiting for it is optional. */
  ready(): Promise<void>;
}

/** Throws DeviceError where WebAssembly SIMD is missing or forbidden. */
export function createCpuBackend(options: EngineOptions = {}): CpuBackend {
  const engine = new Engine(options);
  const { memory, pool, features } = engine;
  return {
    device: "cpu",
    kernels: bindKernels(engine),
    engine,
    ready: () => pool.ready(),
    get info(): BackendInfo {
      const { fusedMultiplyAdd, sharedMemory } = features.reasons;
      const missing: string[] = [];
      if (sharedMemory) missing.push(`threads: ${sharedMemory}`);
      else if (pool.reason) missing.push(`threads: ${pool.reason}`);
      if (fusedMultiplyAdd) missing.push(`fused multiply-add: ${fusedMultiplyAdd}`);
      return {
        threads: pool.threads,
        simd: true,
        numerics: engine.fused ? "fast" : "portable",
        fusedMultiplyAdd: features.fusedMultiplyAdd,
        maxMemory: memory.statistics().maximum,
        missing,
        details: { sharedMemory: memory.shared, reservedBytes: memory.statistics().reserved },
      };
    },
    alloc: (bytes) => memory.alloc(bytes),
    free: (handle: Handle, bytes) => memory.release(handle as number, bytes),
    write(handle: Handle, bytes) {
      memory.u8.set(bytes, handle as number);
    },
    async read(handle: Handle, bytes) {
      const start = handle as number;
      const copy = new Uint8Array(bytes);
      copy.set(memory.u8.subarray(start, start + bytes));
      return copy;
    },
    view(operand: Operand) {
      return new dtypes[operand.dtype].array(memory.memory.buffer, addressOf(operand), operand.size);
    },
    memory() {
      const { live, pooled, peak } = memory.statistics();
      return { live, pooled, peak };
    },
    destroy: () => engine.destroy(),
  };
}
