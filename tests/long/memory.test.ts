/** Ten thousand steps of the baby GPT: what the process holds does not grow. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { rolldown } from "rolldown";
import { expect, test } from "vitest";

const program = `
import { init, createModel, memory } from "tenon-source";
await init({ device: "cpu", threads: 2 });
const off = { embd_pdrop: 0, attn_pdrop: 0, resid_pdrop: 0 };
const model = await createModel({ model_type: "gpt2", vocab_size: 65, n_layer: 4, n_head: 4, n_embd: 128, n_positions: 64, ...off }, undefined, { seed: 1 });
const ids = Int32Array.from({ length: 12 * 65 }, (_, i) => (i * 7919) % 65);
const readings = [];
for (let step = 1; step <= 10000; step++) {
  await model.trainStep({ ids, shape: [12, 65] }, { learningRate: 1e-4, clipNorm: 1 });
  if (step % 100 === 0) {
    globalThis.gc();
    readings.push({ rss: process.memoryUsage.rss(), live: memory().live, pooled: memory().pooled });
  }
}
console.log(JSON.stringify(readings));
process.exit(0);
`;

test("resident memory is flat after the first hundred steps", { timeout: 3_600_000 }, async () => {
  mkdirSync(".cache", { recursive: true });
  const folder = mkdtempSync(".cache/memory-");
  try {
    const virtual = {
      name: "program",
      resolveId: (id: string) => (id === "program" ? id : id === "tenon-source" ? resolve("src/node/tenon.ts") : null),
      load: (id: string) => (id === "program" ? program : null),
    };
    const bundle = await rolldown({
      input: "program",
      platform: "node",
      plugins: [virtual],
      external: ["webgpu", /^(hyparquet|pako)/],
    });
    const file = join(folder, "run.mjs");
    await bundle.write({ file, format: "esm", codeSplitting: false });
    const output = execFileSync(process.execPath, ["--expose-gc", file], { encoding: "utf8", maxBuffer: 1 << 26 });
    const readings = JSON.parse(output.trim().split("\n").at(-1)!) as { rss: number; live: number; pooled: number }[];
    const mebibytes = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
    const [first, last] = [readings[0], readings.at(-1)!];
    console.log(
      `resident: ${mebibytes(first.rss)} MiB after 100 steps, ${mebibytes(last.rss)} after 10,000; highest ${mebibytes(Math.max(...readings.map((r) => r.rss)))}`,
    );
    expect(last.live).toBe(first.live);
    expect(last.pooled).toBe(first.pooled);
    expect(Math.max(...readings.slice(10).map((r) => r.rss))).toBeLessThan(first.rss * 1.1 + 8 * 2 ** 20);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
