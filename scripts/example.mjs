/**
 * `node scripts/example.mjs examples/iris/config.json`: trains as the config says, then loads the checkpoint and lets it
 * predict rows of the table. The data lie beside the project in `../shared/data`, or where TENON_DATA says.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { buildIfStale } from "./build.mjs";
import { installIfNeeded, root } from "./install.mjs";

const BESIDE = "../shared/data";
const dataFolder = process.env.TENON_DATA ?? join(root, BESIDE);

/** The config with its files where the data are; ends the process, saying what to do, where they are not. */
export function exampleConfig(path) {
  const config = JSON.parse(readFileSync(path, "utf8"), (_, value) =>
    typeof value === "string" && value.startsWith(`${BESIDE}/`) ? join(dataFolder, value.slice(BESIDE.length)) : value,
  );
  const files = Object.values(config.data).filter((value) => typeof value === "string" && value.startsWith(dataFolder));
  return { config, missing: files.filter((file) => !existsSync(file)) };
}

async function main(path) {
  if (path === undefined) {
    console.error("usage: node scripts/example.mjs examples/iris/config.json");
    process.exit(2);
  }
  const { config, missing } = exampleConfig(path);
  if (missing.length > 0) {
    console.error(`${path}: no such data: ${missing.join(", ")}.`);
    console.error(`Put them there, or set TENON_DATA to the folder that stands for ${BESIDE}.`);
    process.exit(1);
  }
  installIfNeeded();
  await buildIfStale();
  const { train } = await import("tenon/runs");
  const { loadModel } = await import("tenon");
  const { openDataset } = await import("tenon/data");

  const run = train(config, { clock: () => performance.now() });
  for await (const event of run) {
    if (event.type === "eval") console.log(`step ${event.step}: loss ${event.valLoss.toFixed(4)}`, event.metrics);
  }
  const { runDir, steps, weightsHash } = await run;
  const model = await loadModel(`${runDir}/checkpoints/step-${String(steps).padStart(6, "0")}`);
  const { name } = model.config.target;
  const rows = await (await openDataset(config.data)).shuffle(1).take(8).toArray();
  const predictions = await model.predict(rows);
  console.log(`\n${name}, as it is and as the checkpoint predicts it:`);
  for (const [i, { value }] of predictions.entries()) console.log(`  ${rows[i][name]}  ${value}`);
  console.log(`\nWeights ${weightsHash} in ${runDir}.`);
  model.dispose();
}

if (process.argv[1]?.endsWith("example.mjs")) await main(process.argv[2]);
