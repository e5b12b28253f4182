// A training step of the same GPT in jax-js (jit, WebAssembly): node bench/peers/jax-gpt.mjs '{"layers":4,…}'
// Prints one JSON line: { tokensPerSecond, loss, version }.
import { readFileSync } from "node:fs";
import * as jax from "@jax-js/jax";
import { jaxStep } from "./jax-step.mjs";

const model = JSON.parse(process.argv[2]);
await jax.init("wasm");
jax.defaultDevice("wasm");
const step = jaxStep(jax, model);
let loss = 0;
const times = [];
for (let n = 0; n < model.steps; n++) {
  const start = performance.now();
  loss = await step();
  times.push(performance.now() - start);
}
const { version } = JSON.parse(
  readFileSync(new URL("../node_modules/@jax-js/jax/package.json", import.meta.url), "utf8"),
);
const tokensPerSecond = (model.batch * model.context) / (Math.min(...times.slice(2)) / 1e3);
console.log(JSON.stringify({ tokensPerSecond, loss, version }));
process.exit(0);
