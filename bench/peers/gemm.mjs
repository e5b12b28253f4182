// float32 matrix products of a peer: node bench/peers/gemm.mjs <ort|jax|tfjs> <threads> '[[m,n,k],…]'
// Prints one JSON line: { version, rates: GFLOP/s in the order asked }.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { onnxMatmul } from "./onnx-matmul.mjs";

const require = createRequire(import.meta.url);
const [, , name, threads, shapes] = process.argv;
const versionOf = (pkg) =>
  JSON.parse(readFileSync(new URL(`../node_modules/${pkg}/package.json`, import.meta.url), "utf8")).version;
const filled = (n) => Float32Array.from({ length: n }, (_, i) => ((i * 7919) % 1000) / 500 - 1);

const peers = {
  async ort() {
    const ort = require("onnxruntime-web");
    ort.env.wasm.numThreads = Number(threads);
    ort.env.logLevel = "error";
    return {
      version: versionOf("onnxruntime-web"),
      async make(m, n, k) {
        const session = await ort.InferenceSession.create(onnxMatmul(m, n, k), {
          executionProviders: ["wasm"],
          logSeverityLevel: 3,
        });
        const feeds = {
          A: new ort.Tensor("float32", filled(m * k), [m, k]),
          B: new ort.Tensor("float32", filled(k * n), [k, n]),
        };
        return () => session.run(feeds);
      },
    };
  },
  async jax() {
    const jax = await import("@jax-js/jax");
    await jax.init("wasm");
    jax.defaultDevice("wasm");
    return {
      version: versionOf("@jax-js/jax"),
      async make(m, n, k) {
        const [a, b] = [
          jax.numpy.array(filled(m * k), { shape: [m, k] }),
          jax.numpy.array(filled(k * n), { shape: [k, n] }),
        ];
        const product = jax.jit((x, y) => jax.numpy.matmul(x, y));
        return async () => (await jax.blockUntilReady(product(a.ref, b.ref))).dispose();
      },
    };
  },
  async tfjs() {
    const tf = require("@tensorflow/tfjs");
    const { setWasmPaths } = require("@tensorflow/tfjs-backend-wasm");
    setWasmPaths(`${dirname(require.resolve("@tensorflow/tfjs-backend-wasm"))}/`);
    await tf.setBackend("wasm");
    await tf.ready();
    return {
      version: versionOf("@tensorflow/tfjs"),
      async make(m, n, k) {
        const [a, b] = [tf.tensor(filled(m * k), [m, k]), tf.tensor(filled(k * n), [k, n])];
        return async () => {
          const c = tf.matMul(a, b);
          await c.data();
          c.dispose();
        };
      },
    };
  },
};

const { version, make } = await peers[name]();
const rates = [];
for (const [m, n, k] of JSON.parse(shapes)) {
  const call = await make(m, n, k);
  let best = Number.POSITIVE_INFINITY;
  const end = performance.now() + 700;
  for (let i = 0; i < 4 || performance.now() < end; i++) {
    const start = performance.now();
    await call();
    best = Math.min(best, performance.now() - start);
  }
  rates.push((2 * m * n * k) / best / 1e6);
}
console.log(JSON.stringify({ version, rates }));
process.exit(0);
