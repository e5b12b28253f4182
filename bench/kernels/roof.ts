/** How fast the processor can go at most, measured by the same engine in the same run. */
import type { Engine } from "../../src/backend/wasm/engine.js";
import { range } from "../../src/backend/wasm/values.js";
import { f32x4 } from "../../src/backend/wasm/vectors.js";

const milliseconds = Number(process.env.MS ?? 120);

/** Seconds of the fastest of many calls. */
export function best(call: () => void): number {
  for (let warm = 0; warm < 3; warm++) call();
  let least = Number.POSITIVE_INFINITY;
  const end = performance.now() + milliseconds;
  do {
    const start = performance.now();
    call();
    least = Math.min(least, performance.now() - start);
  } while (performance.now() < end);
  return least / 1e3;
}

/** GFLOP/s of twelve independent chains in registers, on one thread. */
export function roof(engine: Engine): number {
  const { roof } = engine.family("roof", (module) => {
    module.export("roof", { n: "i32", p: "i32" }, (f, { n, p }) => {
      const [b, c] = [f.let(p.v128()), f.let(p.v128(16))];
      const acc = range(12).map(() => f.let(p.v128(32)));
      f.repeat(n, () => {
        for (const x of acc) {
          f.set(x, engine.fused ? f32x4.relaxedMadd(x, b, c) : f32x4.add(f32x4.mul(x, b), c));
        }
      });
      for (const x of acc) f.storeV128(p, x, 32);
    });
  });
  const p = engine.memory.alloc(64);
  return (2e5 * 12 * 8) / best(() => engine.pool.call(roof, [2e5, p])) / 1e9;
}
