// A training step of the same GPT in a peer (WebAssembly): node bench/peers/gpt.mjs <jax|tfjs> '{"layers":4,…}'
// Prints one JSON line: { tokensPerSecond, loss, version }.
import { jaxStep } from "./jax-step.mjs";
import { tfjsStep } from "./tfjs-step.mjs";
import { openJax, openTfjs, versionOf } from "./wasm.mjs";

const [, , name, given] = process.argv;
const model = JSON.parse(given);
const peers = {
  jax: async () => ({ step: jaxStep(await openJax(), model), version: versionOf("@jax-js/jax") }),
  tfjs: async () => ({ step: tfjsStep(await openTfjs(), model), version: versionOf("@tensorflow/tfjs") }),
};
const { step, version } = await peers[name]();
let loss = 0;
let least = Number.POSITIVE_INFINITY;
for (let n = 0; n < model.steps; n++) {
  const start = performance.now();
  loss = await step();
  if (n >= 2) least = Math.min(least, performance.now() - start);
}
console.log(JSON.stringify({ tokensPerSecond: (model.batch * model.context) / (least / 1e3), loss, version }));
process.exit(0);
