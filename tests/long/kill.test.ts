/** A run that is killed at random moments (SIGKILL) and resumed ends as if nothing had happened. */
import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { listRuns, loadRun, MemoryStore, train, verify } from "tenon/runs";
import { afterAll, expect, test } from "vitest";
import { Generator, randomUniform } from "../../src/core/random.js";
import { FileStore } from "../../src/node/file-store.js";
import { builtDist } from "../setup/dist.js";

const KILLS = Number(process.env["TENON_KILLS"] ?? 100);
const folder = mkdtempSync(join(tmpdir(), "tenon-killed-"));
afterAll(() => rmSync(folder, { recursive: true }));

const configOf = (seed: number) =>
  ({
    data: { corpus: "tales", length: 20_000 },
    model: { model_type: "gpt2", n_layer: 2, n_head: 2, n_embd: 32 },
    training: {
      steps: 120,
      batchSize: 4,
      blockSize: 32,
      dropout: 0.1,
      learningRate: 5e-3,
      evalEvery: 20,
      checkpointEvery: 3,
      sampleEvery: 40,
      sampleTokens: 20,
    },
    device: "cpu",
    threads: 1,
    seed,
  }) as const;

/** Starts or resumes the run; kills it some milliseconds after its first word. True when it came to its end instead. */
function attempt(options: object, delay: number, moments: Record<string, number>): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const script = new URL("killed-run.mjs", import.meta.url).pathname;
    const child = spawn(process.execPath, [script, JSON.stringify(options)], { stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    let err = "";
    child.stderr.on("data", (data) => (err += data));
    child.stdout.on("data", (data) => {
      if (out === "") setTimeout(() => child.kill("SIGKILL"), delay);
      out += data;
    });
    child.on("exit", (code, signal) => {
      if (signal !== "SIGKILL" && code !== 0) return reject(new Error(`the run failed by itself: ${out}${err}`));
      const moment = code === 0 ? "after its end" : /step/.test(out) ? "between its steps" : "before its first step";
      moments[moment] = (moments[moment] ?? 0) + 1;
      resolve(code === 0);
    });
  });
}

test(`killed ${KILLS} times and resumed: the weights and metrics of the undisturbed run`, async () => {
  // A copy of the build, beside its dependencies: building anew meanwhile changes nothing.
  const dist = fileURLToPath(new URL("../../.cache/killed-dist", import.meta.url));
  cpSync(await builtDist(), dist, { recursive: true });
  const runs = pathToFileURL(join(dist, "node/runs.js")).href;
  const generator = new Generator(Number(process.env["TENON_SEED"] ?? 1));
  const moments: Record<string, number> = {};
  const rows: string[] = [];
  let kills = 0;
  for (let seed = 1; kills < KILLS; seed++) {
    const config = configOf(seed);
    const calm = new MemoryStore();
    const undisturbed = await train(config, { store: calm });
    const { runId } = undisturbed;
    const place = join(folder, `runs-${seed}`);
    let ofThisRun = 0;
    for (let over = false; !over; ) {
      const [share] = randomUniform(generator.next("delay"), 1);
      // After enough kills the last run may end in peace.
      const delay = kills + ofThisRun < KILLS ? share * share * 1500 : 600_000;
      over = await attempt({ runs, store: place, config, runId }, delay, moments);
      if (!over) ofThisRun++;
    }
    kills += ofThisRun;
    const store = new FileStore(place);
    const finished = (await listRuns({ store })).filter(({ manifest }) => manifest?.status === "done");
    expect(finished).toHaveLength(1);
    const { executionId, manifest } = finished[0];
    expect(manifest!.finalWeights).toBe(undisturbed.weightsHash);
    expect((await verify(executionId, { store })).problems).toEqual([]);
    const metrics = async (name: string) =>
      new TextDecoder().decode(await calm.read(`${undisturbed.executionId}/${name}`));
    for (const name of ["metrics.jsonl", "samples.jsonl"])
      expect(readFileSync(join(place, executionId, name), "utf8")).toBe(await metrics(name));
    expect((await loadRun(executionId, { store })).manifest.runId).toBe(runId);
    rows.push(`| ${seed} | ${ofThisRun} | \`${undisturbed.weightsHash.slice(0, 16)}…\` | equal | equal |`);
  }
  console.log(`| run | kills | weightsHash undisturbed | when killed | metrics |\n| --- | --- | --- | --- | --- |`);
  console.log(rows.join("\n"));
  console.log(`Moments of ${kills} kills: ${JSON.stringify(moments)}`);
  expect(kills).toBeGreaterThanOrEqual(KILLS);
});
