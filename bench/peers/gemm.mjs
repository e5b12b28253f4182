// float32 matrix products of a peer: node bench/peers/gemm.mjs <ort|jax|tfjs> <threads> '[[m,n,k],…]'
// Prints one JSON line: { version, rates: GFLOP/s in the order asked }.
import { MILLISECONDS } from "../gemm.mjs";
import { onnxMatmul } from "./onnx-matmul.mjs";
import { openJax, openOrt, openTfjs, versionOf } from "./wasm.mjs";

const [, , name, threads, shapes] = process.argv;
const filled = (n) => Float32Array.from({ length: n }, (_, i) => ((i * 7919) % 1000) / 500 - 1);

const peers = {
  async ort() {
    const ort = openOrt();
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
    const jax = await openJax();
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
    const tf = await openTfjs();
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
  const end = performance.now() + MILLISECONDS;
  for (let i = 0; i < 4 || performance.now() < end; i++) {
    const start = performance.now();
    await call();
    best = Math.min(best, performance.now() - start);
  }
  rates.push((2 * m * n * k) / best / 1e6);
}
console.log(JSON.stringify({ version, rates }));
process.exit(0);
