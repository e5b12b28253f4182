import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "rolldown";
import { expect, test } from "vitest";
import { pipeline } from "./cursor-process.js";

test("another process continues exactly where a pipeline stopped, in the middle of an epoch", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tenon-cursor-"));
  try {
    const csv = join(folder, "numbers.csv");
    writeFileSync(csv, `i,name\n${Array.from({ length: 100 }, (_, i) => `${i},row ${i}`).join("\n")}\n`);
    const script = join(folder, "rest.mjs");
    const input = new URL("cursor-process.ts", import.meta.url).pathname;
    const external = /^(hyparquet|pako)/;
    await build({ input, platform: "node", external, output: { file: script, format: "esm" }, logLevel: "silent" });
    const batches = pipeline(csv);
    for (let taken = 0; taken < 9; taken++) await batches.next();
    const state = JSON.stringify(batches.state());
    const rest: number[][] = [];
    for await (const { columns } of batches) rest.push(Array.from(columns["twice"].data as Float32Array));
    expect(rest.flat().length).toBe(2 * 85 - 9 * 6);
    expect(JSON.parse(execFileSync(process.execPath, [script, csv, state], { encoding: "utf8" }))).toEqual(rest);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
