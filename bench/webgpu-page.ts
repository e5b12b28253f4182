/** What bench/webgpu.mjs runs in the page: matrix products of Tenon and of peers, in turns, on one WebGPU adapter. */

import { init, matmul, tensor } from "../src/index.js";

type Product = () => Promise<void>;

const filled = (n: number) => Float32Array.from({ length: n }, (_, i) => ((i * 7919) % 1000) / 500 - 1);

async function ours(size: number): Promise<Product> {
  await init({ device: "webgpu" });
  const [a, b] = [filled(size * size), filled(size * size)].map((x) => tensor(x).reshape([size, size]));
  return async () => {
    const c = matmul(a, b);
    await c.data();
    c.dispose();
  };
}

async function jax(size: number): Promise<Product> {
  // A peer of bench/ alone: its types are not among ours.
  const name = "@jax-js/jax";
  const jax = await import(/* @vite-ignore */ name);
  await jax.init("webgpu");
  jax.defaultDevice("webgpu");
  const [a, b] = [filled(size * size), filled(size * size)].map((x) => jax.numpy.array(x, { shape: [size, size] }));
  const product = jax.jit((x: unknown, y: unknown) => jax.numpy.matmul(x, y));
  return async () => {
    await product(a.ref, b.ref).data();
  };
}

/** Best of several seconds of turns, in milliseconds: what a product and the reading of its result take. */
export async function run(size: number): Promise<Record<string, number>> {
  const products: Record<string, Product> = { tenon: await ours(size), "jax-js": await jax(size) };
  const best: Record<string, number> = {};
  for (let turn = 0; turn < 8; turn++) {
    for (const [name, product] of Object.entries(products)) {
      const start = performance.now();
      await product();
      const time = performance.now() - start;
      // The first turn compiles.
      if (turn > 0) best[name] = Math.min(best[name] ?? Number.POSITIVE_INFINITY, time);
    }
  }
  return best;
}
