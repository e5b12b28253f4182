/**
 * Kernel timings of the cpu device, each beside the roof measured in the same run.
 * THREADS=1,2 NUMERICS=portable,fast node [--experimental-wasm-relaxed-simd] bench/kernels.mjs [part of a name]
 */
import type { Backend } from "../../src/backend/backend.js";
import type { Operand } from "../../src/backend/kernels.js";
import { Storage } from "../../src/backend/storage.js";
import { createCpuBackend } from "../../src/backend/wasm/backend.js";
import type { DType } from "../../src/core/dtype.js";
import * as e from "../../src/core/expr.js";
import * as fn from "../../src/core/functions.js";
import { Generator } from "../../src/core/random.js";
import { sizeOf } from "../../src/core/shape.js";
import "../../src/node/platform.js";
import { range } from "../../src/backend/wasm/values.js";
import { best, roof } from "./roof.js";

const filter = process.argv[2] ?? "";
const threadCounts = (process.env.THREADS ?? "1,2").split(",").map(Number);
const modes = (process.env.NUMERICS ?? "portable,fast").split(",") as ("portable" | "fast")[];

/** Operands by shape, type and number: kernels of one shape share them. */
const operands = new Map<string, Operand>();
function make(backend: Backend, shape: number[], dtype: DType = "float32", number = 0): Operand {
  const key = `${shape} ${dtype} ${number}`;
  let found = operands.get(key);
  if (!found) {
    const size = sizeOf(shape);
    found = { shape, dtype, size, storage: Storage.allocate(backend, shape, dtype) };
    const view = backend.view!(found);
    for (let i = 0; i < size; i++) view[i] = dtype === "int32" ? (i * 7919) % 50 : ((i * 7919) % 1000) / 500 - 1;
    operands.set(key, found);
  }
  return found;
}

for (const numerics of modes) {
  for (const threads of threadCounts) {
    const backend = createCpuBackend({ threads, numerics });
    await backend.ready();
    operands.clear();
    if (numerics === "fast" && !backend.engine.fused) {
      console.log(`fast: not measured, ${backend.info.missing.join("; ")}`);
      backend.destroy();
      break;
    }
    const top = roof(backend.engine);
    console.log(`\n${numerics}, ${threads} threads; roof ${top.toFixed(1)} GFLOP/s per thread`);
    const { kernels } = backend;
    const t = (...shape: number[]) => make(backend, shape);
    const out = (...shape: number[]) => make(backend, shape, "float32", 1);
    const report = (name: string, call: () => void, { flops = 0, bytes = 0 }: { flops?: number; bytes?: number }) => {
      if (!name.includes(filter)) return;
      const seconds = best(call);
      const rate = flops
        ? `${(flops / seconds / 1e9).toFixed(1).padStart(7)} GF ${((100 * flops) / seconds / 1e9 / top / threads).toFixed(0).padStart(4)}%`
        : `${(bytes / seconds / 1e9).toFixed(1).padStart(7)} GB/s`;
      console.log(`${name.padEnd(36)} ${(seconds * 1e6).toFixed(1).padStart(10)} us ${rate}`);
    };

    for (const [m, n, k] of [
      [48, 48, 48],
      [64, 64, 64],
      [128, 128, 128],
      [256, 256, 256],
      [512, 512, 512],
      [1024, 1024, 1024],
      [512, 1536, 384],
      [768, 512, 128],
      [768, 128, 512],
      [768, 384, 128],
      [128, 512, 768],
      [768, 65, 128],
      [2048, 1152, 384],
    ]) {
      for (const [label, transposeA, transposeB] of [
        ["nn", false, false],
        ["nt", false, true],
        ["tn", true, false],
      ] as const) {
        report(
          `matmul ${label} ${m}x${n}x${k}`,
          () =>
            kernels.matmul(t(m, k), t(k, n), out(m, n), { m, n, k, transposeA, transposeB, batchA: [0], batchB: [0] }),
          { flops: 2 * m * n * k },
        );
      }
    }
    for (const [m, n, k] of [
      [1, 768, 768],
      [1, 3072, 768],
      [1, 50257, 768],
      [1, 4096, 4096],
      [4, 4096, 4096],
    ]) {
      for (const transposeB of [true, false]) {
        report(
          `gemv ${transposeB ? "nt" : "nn"} ${m}x${n}x${k}`,
          () =>
            kernels.matmul(t(m, k), t(k, n), out(m, n), {
              m,
              n,
              k,
              transposeA: false,
              transposeB,
              batchA: [0],
              batchB: [0],
            }),
          { bytes: 4 * n * k },
        );
      }
    }
    const x = e.input(0);
    const gelu = e.program(
      e.mul(e.mul(x, 0.5), e.add(1, fn.tanh(e.mul(e.madd(e.mul(e.mul(x, x), x), 0.044715, x), 0.7978845608)))),
    );
    const elementwise: [string, e.Program, number[]][] = [
      ["add", e.program(e.add(x, e.input(1))), [512, 384]],
      ["exp", e.program(fn.exp(x)), [512, 1536]],
      ["gelu tanh", gelu, [512, 1536]],
      ["gelu erf", e.program(e.mul(e.mul(x, 0.5), e.add(1, fn.erf(e.mul(x, Math.SQRT1_2))))), [512, 1536]],
      ["silu", e.program(e.mul(x, fn.sigmoid(x))), [512, 1536]],
      ["relu(a*b+c)+d", e.program(e.add(e.max(e.add(e.mul(x, e.input(1)), e.input(2)), 0), e.input(3))), [512, 1536]],
    ];
    for (const [name, program, shape] of elementwise) {
      report(
        `${name} ${shape}`,
        () =>
          kernels.elementwise(
            program,
            range(program.inputCount).map(() => t(...shape)),
            [out(...shape)],
            [],
          ),
        { bytes: 4 * sizeOf(shape) * (program.inputCount + 1) },
      );
    }
    report(
      "bias add 768x512",
      () => kernels.elementwise(e.program(e.add(x, e.input(1))), [t(768, 512), t(512)], [out(768, 512)], []),
      { bytes: 8 * 768 * 512 },
    );
    for (const [rows, size] of [
      [4096, 64],
      [512, 512],
      [768, 65],
    ]) {
      report(
        `softmax ${rows}x${size}`,
        () => kernels.softmax(t(rows, size), out(rows, size), { rows, size, log: false }),
        { bytes: 8 * rows * size },
      );
    }
    for (const [rows, size] of [
      [512, 384],
      [768, 128],
    ]) {
      const stats = () => [make(backend, [rows], "float32", 2), make(backend, [rows], "float32", 3)] as const;
      report(
        `layerNorm ${rows}x${size}`,
        () =>
          kernels.layerNorm(t(rows, size), t(size), t(size), out(rows, size), ...stats(), { rows, size, eps: 1e-5 }),
        { bytes: 8 * rows * size },
      );
      report(
        `layerNorm backward ${rows}x${size}`,
        () =>
          kernels.layerNormBackward(
            t(rows, size),
            t(rows, size),
            t(size),
            ...stats(),
            out(rows, size),
            out(size),
            make(backend, [size], "float32", 2),
            { rows, size },
          ),
        { bytes: 12 * rows * size },
      );
    }
    const [rows, size] = [512, 50257];
    const labels = make(backend, [rows], "int32");
    const options = { rows, size, ignoreIndex: -100 };
    report(
      `cross entropy ${rows}x${size}`,
      () => kernels.crossEntropy(t(rows, size), labels, out(rows), t(rows), options),
      { bytes: 4 * rows * size },
    );
    report(
      `cross entropy backward ${rows}x${size}`,
      () => kernels.crossEntropyBackward(t(rows, size), labels, t(rows), out(rows), out(rows, size), options),
      { bytes: 8 * rows * size },
    );
    report("sum 20M", () => kernels.reduce("sum", t(20_000_000), out(1), { outer: 1, size: 20_000_000, inner: 1 }), {
      bytes: 8e7,
    });
    report(
      "sum columns 768x512",
      () => kernels.reduce("sum", t(768, 512), out(512), { outer: 1, size: 768, inner: 512 }),
      { bytes: 4 * 768 * 512 },
    );
    report(
      "embedding 512x384",
      () => kernels.indexSelect(t(50, 384), labels, out(512, 384), { outer: 1, size: 50, inner: 384, count: 512 }),
      { bytes: 8 * 512 * 384 },
    );
    report(
      "embedding backward 512x384",
      () => kernels.indexAdd(labels, t(512, 384), out(50, 384), { outer: 1, size: 50, inner: 384, count: 512 }),
      { bytes: 12 * 512 * 384 },
    );
    report(
      "permute 12x64x4x32",
      () =>
        kernels.stridedCopy(t(12 * 64 * 128), out(12 * 64 * 128), {
          shape: [12, 4, 64, 32],
          inputOffset: 0,
          inputStrides: [8192, 32, 128, 1],
          outputOffset: 0,
          outputStrides: [8192, 2048, 32, 1],
        }),
      { bytes: 8 * 12 * 64 * 128 },
    );
    const adam = (() => {
      const [w, g, m, v] = [0, 1, 2, 3].map((i) => e.input(i));
      const [b1, b2, step, eps, decay] = [0, 1, 2, 3, 4].map((i) => e.scalar(i));
      const m1 = e.add(e.mul(m, b1), e.mul(g, e.sub(1, b1)));
      const v1 = e.add(e.mul(v, b2), e.mul(e.mul(g, g), e.sub(1, b2)));
      return e.program(e.sub(e.mul(w, decay), e.div(e.mul(m1, step), e.add(e.sqrt(v1), eps))), m1, v1);
    })();
    for (const count of [1_000_000, 20_000_000]) {
      const all = [2, 3, 4, 5].map((i) => make(backend, [count], "float32", i));
      report(
        `adamw ${count}`,
        () => kernels.elementwise(adam, all, [all[0], all[2], all[3]], [0.9, 0.99, 1e-3, 1e-8, 0.999]),
        { bytes: 28 * count },
      );
    }
    const call = new Generator(1).next("bench");
    report("dropout 1M", () => kernels.dropout(t(1_000_000), out(1_000_000), call, 2 ** 31, 2), { bytes: 8e6 });
    for (const [batch, heads, T, dim] of [
      [12, 4, 64, 32],
      [1, 12, 512, 32],
      [1, 6, 512, 64],
      [8, 6, 256, 64],
    ]) {
      const width = heads * dim;
      const at = (part: number) => ({ offset: part * width, batch: T * 3 * width, head: dim, row: 3 * width });
      const layout = {
        batch,
        heads,
        kvHeads: heads,
        queries: T,
        keys: T,
        dim,
        scale: dim ** -0.5,
        causal: true,
        q: at(0),
        k: at(1),
        v: at(2),
        out: { offset: 0, batch: T * width, head: dim, row: width },
      };
      const [qkv, o, lse, d] = [
        t(batch, T, 3 * width),
        out(batch, T, width),
        out(batch, heads, T),
        out(batch, T, 3 * width),
      ];
      const flops = 2 * batch * heads * T * T * dim;
      report(`attention ${batch}x${heads}x${T}x${dim}`, () => kernels.attention(qkv, qkv, qkv, o, lse, layout), {
        flops,
      });
      report(
        `attention backward ${batch}x${heads}x${T}x${dim}`,
        () => kernels.attentionBackward(qkv, qkv, qkv, o, lse, o, d, d, d, layout),
        { flops: 2.5 * flops },
      );
    }
    backend.destroy();
  }
}
