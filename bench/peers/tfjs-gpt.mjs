// A training step of the same GPT in TensorFlow.js (WebAssembly): node bench/peers/tfjs-gpt.mjs '{"layers":4,…}'
// Prints one JSON line: { tokensPerSecond, loss, version }.
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { tfjsStep } from "./tfjs-step.mjs";

// Its ES modules do not resolve in Node; the CommonJS builds do.
const require = createRequire(import.meta.url);
const tf = require("@tensorflow/tfjs");
const { setWasmPaths } = require("@tensorflow/tfjs-backend-wasm");
setWasmPaths(`${dirname(require.resolve("@tensorflow/tfjs-backend-wasm"))}/`);
await tf.setBackend("wasm");
await tf.ready();
const model = JSON.parse(process.argv[2]);
const step = tfjsStep(tf, model);
const times = [];
let loss = 0;
for (let n = 0; n < model.steps; n++) {
  const start = performance.now();
  loss = await step();
  times.push(performance.now() - start);
}
const tokensPerSecond = (model.batch * model.context) / (Math.min(...times.slice(2)) / 1e3);
console.log(JSON.stringify({ tokensPerSecond, loss, version: tf.version_core ?? tf.version["tfjs-core"] }));
