/** Kernel timings, each beside the roof measured in the same run. */
import { ModuleBuilder } from "../../src/backend/wasm/assembler.js";
import { defineGemm, gemmScratch } from "../../src/backend/wasm/gemm/gemm.js";
import { multiplyAdd } from "../../src/backend/wasm/gemm/tile.js";
import { LinearMemory } from "../../src/backend/wasm/memory.js";
import { Pool } from "../../src/backend/wasm/pool.js";
import { probeFeatures } from "../../src/backend/wasm/probe.js";
import { range } from "../../src/backend/wasm/values.js";
import "../../src/node/platform.js";

const features = probeFeatures();
const threads = Number(process.env.THREADS ?? 1);
console.log(JSON.stringify(features), `threads ${threads}`);

const best = (fn: () => void, ms = 150) => {
  fn();
  let least = Number.POSITIVE_INFINITY;
  const end = performance.now() + ms;
  do {
    const start = performance.now();
    fn();
    least = Math.min(least, performance.now() - start);
  } while (performance.now() < end);
  return least / 1e3;
};

for (const fused of features.fusedMultiplyAdd ? [false, true] : [false]) {
  const memory = new LinearMemory({ shared: features.sharedMemory });
  const pool = new Pool(memory, { threads });
  await pool.ready();
  const imports = { shared: memory.shared, maximum: memory.maximumPages };
  const roofModule = new ModuleBuilder();
  roofModule.export("roof", { n: "i32", out: "i32" }, (f, { n, out }) => {
    const madd = multiplyAdd(fused);
    const a = f.let(out.v128());
    const b = f.let(out.v128(16));
    const acc = range(12).map(() => f.v128());
    f.repeat(n, () => {
      for (const x of acc) f.set(x, madd(a, b, x));
    });
    for (const x of acc) f.storeV128(out, x, 32);
  });
  const { roof } = pool.load(roofModule.bytes(imports));
  const out = memory.alloc(64);
  const roofRate = () => (1e6 * 12 * 8) / best(() => pool.call(roof, [1e6, out])) / 1e9;
  const roofNow = roofRate();
  console.log(`${fused ? "fast" : "portable"}: roof ${roofNow.toFixed(1)} GF`);
  const tiles = (process.env.TILES ?? (fused ? "6x2" : "5x2")).split(",").map((t) => t.split("x").map(Number));
  const shapes = (
    process.env.SHAPES ??
    "64x64x64,128x128x128,256x256x256,512x512x512,1024x1024x1024,512x1536x384,768x512x128,768x128x512,768x65x128,48x48x48"
  )
    .split(",")
    .map((t) => t.split("x").map(Number));
  for (const [rows, vectors] of tiles) {
    const module = new ModuleBuilder();
    const shape = { rows, vectors, fused };
    defineGemm(module, shape);
    const start = performance.now();
    const bytes = module.bytes(imports);
    const { gemm } = pool.load(bytes);
    console.log(`tile ${rows}x${4 * vectors}: ${bytes.length} bytes, ${(performance.now() - start).toFixed(1)} ms`);
    for (const [m, n, k] of shapes) {
      const a = memory.alloc(m * k * 4);
      const b = memory.alloc(n * k * 4);
      const c = memory.alloc(m * n * 4);
      memory.f32.fill(0.5, a >>> 2, (a >>> 2) + m * k);
      memory.f32.fill(0.25, b >>> 2, (b >>> 2) + n * k);
      const [bm, bn, bk] = (process.env.BLOCK ?? "192,2048,384").split(",").map(Number);
      const scratch = gemmScratch(shape, bm, bn, bk);
      const ws = memory.alloc(scratch * threads);
      let line = `  ${m}x${n}x${k}`.padEnd(18);
      for (const [label, ta, tb] of [
        ["NN", 0, 0],
        ["NT", 0, 1],
        ["TN", 1, 0],
      ] as const)
        for (const packA of [0, 1])
          for (const packB of tb ? [1] : [0, 1]) {
            const args = [
              0,
              1,
              0,
              m,
              0,
              n,
              k,
              a,
              ta ? 4 : k * 4,
              ta ? m * 4 : 4,
              b,
              tb ? 4 : n * 4,
              tb ? k * 4 : 4,
              c,
              n * 4,
              0,
              0,
              0,
              0,
              packA,
              packB,
              ws,
              bm,
              bn,
              bk,
            ];
            const seconds = best(
              () =>
                pool.run(gemm, args, {
                  rangeArgument: n > m ? 4 : 2,
                  total: Math.max(n, m),
                  granule: n > m ? 4 * vectors : rows,
                  scratchArgument: 21,
                  scratchBytes: scratch,
                  cost: (m * n * k) / 30,
                }),
              Number(process.env.MS ?? 60),
            );
            line += ` ${label}${packA}${packB} ${((2 * m * n * k) / seconds / 1e9).toFixed(1)}`;
          }
      console.log(line);
      for (const [p, s] of [
        [a, m * k * 4],
        [b, n * k * 4],
        [c, m * n * 4],
        [ws, scratch * threads],
      ])
        memory.release(p, s);
    }
  }
  pool.stop();
}
