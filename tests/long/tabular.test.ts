import { fileURLToPath } from "node:url";
import * as t from "tenon";
import { openDataset } from "tenon/data";
import { MemoryStore, type TrainingConfigInput, train } from "tenon/runs";
import { expect, test } from "vitest";
import { exampleConfig } from "../../scripts/example.mjs";

/** The examples on their real data, and the measures that they must reach on rows that were not trained on. */
const rows: [example: string, measure: string, bound: number][] = [
  ["iris/config", "valAccuracy", 0.9],
  ["diamonds/config", "valR2", 0.97],
  ["mnist/mlp", "valAccuracy", 0.95],
  ["mnist/convnet", "valAccuracy", 0.97],
];

test.for(rows)("%s reaches %s above %s", async ([example, measure, bound], { skip }) => {
  const path = fileURLToPath(new URL(`../../examples/${example}.json`, import.meta.url));
  const { config, missing } = exampleConfig(path);
  if (missing.length > 0) {
    console.warn(`skipping ${example}: no ${missing.join(", ")}; set TENON_DATA to the folder of the data`);
    skip("the data are absent");
  }
  const store = new MemoryStore();
  const began = performance.now();
  const result = await train({ ...config, device: "cpu" } as TrainingConfigInput, { store });
  const seconds = (performance.now() - began) / 1000;
  console.info(`${example}: ${JSON.stringify(result.metrics)} in ${seconds.toFixed(0)} s`);
  expect(result.metrics[measure]).toBeGreaterThan(bound);

  // The checkpoint loads again and predicts from plain rows.
  const folder = `${result.executionId}/checkpoints/step-${String(result.steps).padStart(6, "0")}`;
  const model = await t.loadModel<t.TableModel>({ store, folder });
  const table = await (await openDataset(config["data"] as object)).take(200).toArray();
  const { name, task } = model.config.target!;
  const predictions = await model.predict(table);
  const near = predictions.filter(({ value }, i) => {
    const known = table[i][name];
    return task === "classification" ? value === String(known) : Math.abs(Number(value) - Number(known)) < 500;
  });
  expect(near.length).toBeGreaterThan(180 * (table.length / 200));
  model.dispose();
});
