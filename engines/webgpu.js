/**
 * `deno run webgpu.js '{"dist":"file:///…/dist/","steps":20}'`: a run on the engine's own WebGPU, twice, and one on the
 * CPU. Prints one JSON line; fails where bits do not repeat or losses are further apart than a replay allows.
 */
import { config } from "./run.js";

const { dist, steps } = JSON.parse(process.argv[2]);
const [tenon, runs] = await Promise.all(["tenon", "runs"].map((name) => import(new URL(`node/${name}.js`, dist).href)));

async function losses(device) {
  const run = runs.train(
    { ...config(steps), device, numerics: device === "cpu" ? "portable" : "fast", deterministic: false },
    { store: new runs.MemoryStore() },
  );
  const seen = [];
  for await (const event of run) if (event.type === "step") seen.push(event.loss);
  return { seen, weightsHash: (await run).weightsHash };
}

const { reason } = await tenon.init({ device: "webgpu" });
const [first, second, cpu] = [await losses("webgpu"), await losses("webgpu"), await losses("cpu")];
const difference = Math.max(...cpu.seen.map((loss, i) => Math.abs(loss - first.seen[i])));
const equal = first.weightsHash === second.weightsHash;
console.log(JSON.stringify({ reason, steps: first.seen.length, equal, difference }));
process.exit(equal && difference < 1e-3 && first.seen.length === steps ? 0 : 1);
