/** `numerics: "fast"`: fused multiply-add where the engine has it; close to portable, equal for every number of threads. */

import "../../../src/node/platform.js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Backend } from "../../../src/backend/backend.js";
import type { Operand } from "../../../src/backend/kernels.js";
import { type CpuBackend, createCpuBackend } from "../../../src/backend/wasm/backend.js";
import * as e from "../../../src/core/expr.js";
import * as fn from "../../../src/core/functions.js";
import { platform } from "../../../src/core/platform.js";
import { empty, noise, operand } from "../operands.js";

let portable: CpuBackend;
let fast: CpuBackend[] = [];

beforeAll(() => {
  platform().setEngineFlags?.(); // relaxed SIMD on older engines
  portable = createCpuBackend({ threads: 1 });
  fast = [1, 3].map((threads) => createCpuBackend({ threads, numerics: "fast" }));
  for (const backend of fast) backend.engine.pool.threshold = 0;
});
afterAll(() => {
  for (const backend of [portable, ...fast]) backend.destroy();
});

type Run = (backend: Backend, t: Operand[]) => Operand;

/** Largest difference between two results, relative to the size of their values. */
function difference(a: Float32Array, b: Float32Array): number {
  const size = Math.max(...a.map(Math.abs));
  return a.reduce((worst, x, i) => Math.max(worst, Math.abs(x - b[i])), 0) / size;
}

const cases: Record<string, { inputs: number[][]; run: Run; differs: boolean }> = {
  matmul: {
    inputs: [
      [37, 65],
      [65, 41],
    ],
    differs: true,
    run(backend, [a, b]) {
      const out = empty(backend, [37, 41]);
      const layout = { m: 37, n: 41, k: 65, transposeA: false, transposeB: false, batchA: [0], batchB: [0] };
      backend.kernels.matmul(a, b, out, layout);
      return out;
    },
  },
  gemv: {
    inputs: [[1, 131], [131 * 77]],
    differs: true,
    run(backend, [a, b]) {
      const out = empty(backend, [77]);
      const layout = { m: 1, n: 77, k: 131, transposeA: false, transposeB: true, batchA: [0], batchB: [0] };
      backend.kernels.matmul(a, b, out, layout);
      return out;
    },
  },
  exp: {
    inputs: [[1000]],
    differs: true,
    run(backend, [x]) {
      const out = empty(backend, [1000]);
      backend.kernels.elementwise(e.program(fn.exp(e.input(0))), [x], [out], []);
      return out;
    },
  },
  softmax: {
    inputs: [[30, 50]],
    differs: true,
    run(backend, [x]) {
      const out = empty(backend, [30, 50]);
      backend.kernels.softmax(x, out, { rows: 30, size: 50, log: false });
      return out;
    },
  },
  sum: {
    inputs: [[5, 5000]],
    differs: false,
    run(backend, [x]) {
      const out = empty(backend, [5]);
      backend.kernels.reduce("sum", x, out, { outer: 5, size: 5000, inner: 1 });
      return out;
    },
  },
  attention: {
    inputs: [
      [2, 70, 16],
      [2, 70, 16],
      [2, 70, 16],
    ],
    differs: true,
    run(backend, [q, k, v]) {
      const out = empty(backend, [2, 70, 16]);
      const lse = empty(backend, [2, 70]);
      const at = { offset: 0, batch: 0, head: 70 * 16, row: 16 };
      const sizes = { batch: 1, heads: 2, kvHeads: 2, queries: 70, keys: 70, dim: 16, scale: 0.25, causal: true };
      backend.kernels.attention(q, k, v, out, lse, { ...sizes, q: at, k: at, v: at, out: at });
      return out;
    },
  },
};

describe("fast numerics", () => {
  for (const [name, { inputs, run, differs }] of Object.entries(cases)) {
    test(name, () => {
      const results = [portable, ...fast].map((backend) => {
        const tensors = inputs.map((shape, i) =>
          operand(
            backend,
            noise(
              shape.reduce((a, b) => a * b, 1),
              i + 1,
            ),
            shape,
          ),
        );
        return backend.view!(run(backend, tensors)).slice() as Float32Array;
      });
      const [plain, one, three] = results;
      expect(three).toEqual(one);
      if (!fast[0].engine.fused) return console.log(`not compared: ${fast[0].info.missing.join("; ")}`);
      expect(difference(plain, one)).toBeLessThan(1e-5);
      // Portable code that fused by mistake would give no difference at all.
      expect(difference(plain, one) > 0).toBe(differs);
    });
  }

  test("the mode in force is told", () => {
    expect(portable.info.numerics).toBe("portable");
    for (const backend of fast) {
      const fused = backend.info.fusedMultiplyAdd;
      expect(backend.info.numerics).toBe(fused ? "fast" : "portable");
      if (!fused) expect(backend.info.missing.join()).toContain("fused multiply-add");
    }
  });
});
