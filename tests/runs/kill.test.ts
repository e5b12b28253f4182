import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "rolldown";
import { expect, it } from "vitest";
import { latestCheckpoint } from "../../src/artifacts/checkpoint.js";
import { setWarningListener } from "../../src/core/warnings.js";
import { FileStore } from "../../src/node/file-store.js";
import "../../src/node/platform.js";
import { readMetrics } from "../../src/runs/metrics.js";
import { sampleManifest } from "./sample.js";

const KILLS = 8;

it("a run that is killed again and again loses nothing before its last checkpoint", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tenon-kill-"));
  const previous = setWarningListener(undefined);
  try {
    const script = join(folder, "writer.mjs");
    const input = new URL("killed-writer.ts", import.meta.url).pathname;
    await build({ input, platform: "node", output: { file: script, format: "esm" }, logLevel: "silent" });
    const store = new FileStore(join(folder, "runs"));
    const { executionId } = sampleManifest();
    let reached = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      const from = await runUntilKilled(script, join(folder, "runs"), 20 + 37 * kill);
      expect(from, "the step it goes on from").toBe(reached);
      const checkpoint = await latestCheckpoint(store, `${executionId}/checkpoints`);
      const step = checkpoint?.step ?? 0;
      expect(step).toBeGreaterThanOrEqual(reached);
      const metrics = await readMetrics(store, executionId);
      expect(metrics.slice(0, step)).toEqual(
        Array.from({ length: step }, (_, i) => ({ step: i + 1, values: { loss: 1 / (i + 1) } })),
      );
      reached = step;
    }
    expect(reached).toBeGreaterThan(KILLS);
  } finally {
    setWarningListener(previous);
    rmSync(folder, { recursive: true });
  }
});

/** Starts the writer, kills it some milliseconds after its first words, and returns the step it went on from. */
function runUntilKilled(script: string, runs: string, delay: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, runs], { stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    let err = "";
    child.stderr.on("data", (data) => (err += data));
    child.stdout.on("data", (data) => {
      if (out === "") setTimeout(() => child.kill("SIGKILL"), delay);
      out += data;
    });
    child.on("exit", (_, signal) => {
      if (signal === "SIGKILL") resolve(Number(/from (\d+)/.exec(out)?.[1]));
      else reject(new Error(`the writer ended by itself: ${err}`));
    });
  });
}
