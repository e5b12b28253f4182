import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "rolldown";
import { afterAll, expect, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "tenon-long-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Writes about `bytes` bytes of rows that all differ; returns their number. */
async function writeCsv(path: string, bytes: number): Promise<number> {
  const out = createWriteStream(path);
  out.write("id,x,y,kind,note\n");
  let written = 0;
  let rows = 0;
  while (written < bytes) {
    let block = "";
    for (let k = 0; k < 5000; k++, rows++) {
      block += `${rows},${(rows * 0.37) % 1000},${-rows / 8},${"abcdef"[rows % 6]},"a longer note, number ${rows * 7919}"\n`;
    }
    written += block.length;
    if (!out.write(block)) await once(out, "drain");
  }
  out.end();
  await once(out, "finish");
  return rows;
}

test("a shuffled pass over a CSV file of 2 GB stays below 256 MB", async () => {
  const path = join(folder, "large.csv");
  const rows = await writeCsv(path, 2e9);
  const bundle = join(folder, "data.mjs");
  await build({
    input: "src/node/data.ts",
    platform: "node",
    external: /^(hyparquet|pako)/,
    output: { file: bundle, codeSplitting: false },
  });
  // A process of its own: the peak is that of the pass alone.
  const script = `
    import { fromCsv } from ${JSON.stringify(bundle)};
    const data = await fromCsv(${JSON.stringify(path)});
    let rows = 0, sum = 0;
    for await (const batch of data.shuffle({ seed: 1 }).batch({ batchSize: 512, columns: ["id", "x"] })) {
      rows += batch.size;
      sum += batch.columns.x.data[0];
    }
    console.log(JSON.stringify({ rows, peak: process.resourceUsage().maxRSS / 1024 }));`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
  expect(stderr).toBe("");
  const result = JSON.parse(stdout);
  console.info(`2 GB shuffled: peak ${result.peak.toFixed(0)} MB, ${result.rows} rows`);
  expect(result.rows).toBe(rows);
  expect(result.peak).toBeLessThan(256);
});
