/**
 * `node scripts/keep-version.mjs`, before a release: keeps one finished and one stopped run, as this version writes
 * them, in `tests/fixtures/versions/<version>/`. All later versions must read them.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildIfStale } from "./build.mjs";
import { root } from "./install.mjs";

process.chdir(root); // the path of the data in the kept config is relative to it
await buildIfStale();
const { train } = await import("../dist/node/runs.js");

const { version } = JSON.parse(readFileSync("package.json", "utf8"));
const folder = `tests/fixtures/versions/${version}`;
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });

const data = join(folder, "data.txt");
writeFileSync(data, "the hen sees the fox and the fox sees the hen. ".repeat(20));
const config = {
  data: { text: data },
  model: { model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 8 },
  training: { steps: 4, batchSize: 2, blockSize: 8, evalEvery: 2, checkpointEvery: 2, sampleTokens: 10, dropout: 0.1 },
  device: "cpu",
  threads: 1,
};

const done = await train(config, { store: join(folder, "runs") });
console.log("done:", done.executionId, done.weightsHash);
const run = train(config, { store: join(folder, "runs") });
for await (const event of run) if (event.type === "step" && event.step === 2) void run.stop();
const stopped = await run;
console.log("stopped:", stopped.executionId, "after step", stopped.steps);
