import { checkDataset, fitTable, fromCsv } from "tenon/data";
import { expect, test } from "vitest";
import { sha256Hex } from "../../src/core/sha256.js";
import { dataHashes, measurements } from "./measurements.js";

test("content, split and batches have the recorded hashes, which pages must reach, too", async () => {
  const report = await checkDataset(fromCsv({ text: measurements() }), { name: "measurements.csv", seed: 7 });
  const data = await fromCsv({ text: measurements() });
  const { train } = data.cache().split({ train: 0.8, val: 0.2 }, { seed: 7, stratify: "kind" });
  const table = await fitTable(train, { features: ["width", "height", "kind"], target: "kind" });
  const bytes: number[] = [];
  for await (const { columns } of train.encode(table).shuffle(7).batch(16)) {
    bytes.push(...new Uint8Array((columns["features"].data as Float32Array).buffer));
  }
  const batches = sha256Hex(Uint8Array.from(bytes));
  expect({ content: report.contentHash, split: report.split.hash, batches }).toEqual(dataHashes);
});
