/** `tenon --device webgpu` as it is installed, where there is an adapter, where there is none, and what it says of both. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { builtDist } from "../setup/dist.js";
import { softwareGpu } from "../setup/webgpu.js";

const gpu = await softwareGpu();
const dir = mkdtempSync(join(tmpdir(), "tenon-webgpu-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const config = {
  data: { corpus: "tales", length: 4000 },
  model: { n_layer: 1, n_head: 2, n_embd: 16 },
  training: { steps: 12, batchSize: 2, blockSize: 16, evalEvery: 6, checkpointEvery: 4, sampleEvery: 0, dropout: 0.1 },
};
let cli: string;
beforeAll(async () => {
  cli = join(await builtDist(), "cli.js");
  writeFileSync(join(dir, "config.json"), JSON.stringify(config));
}, 120_000);

/** The loader that the tests unpacked, found by its folder; and a loader that finds no driver. */
const loader = process.env["TENON_VULKAN_LOADER"];
const libraries = [loader && dirname(loader), process.env["LD_LIBRARY_PATH"]].filter(Boolean).join(":");
const withAdapter = { ...process.env, LD_LIBRARY_PATH: libraries };
const withoutDriver = { ...withAdapter, VK_DRIVER_FILES: "/none", VK_ICD_FILENAMES: "/none" };

interface Outcome {
  code: number | null;
  out: string;
  err: string;
}

/** Runs `tenon`; `stopAfter` is what it must have written before it gets a Ctrl-C. */
function tenon(line: string, env: NodeJS.ProcessEnv, stopAfter?: RegExp): Promise<Outcome> {
  const child = spawn(process.execPath, [cli, ...line.split(" ")], {
    cwd: dir,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const written = { out: "", err: "" };
  let stopped = false;
  child.stdout.on("data", (bytes) => {
    written.out += bytes;
    if (!stopped && stopAfter?.test(written.out)) stopped = child.kill("SIGINT");
  });
  child.stderr.on("data", (bytes) => (written.err += bytes));
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, ...written })));
}

describe.skipIf(!gpu)("tenon on the graphics card", () => {
  test("trains, is stopped, goes on and is replayed on the device of its manifest, and within tolerance elsewhere", async () => {
    const whole = await tenon("train config.json --device webgpu --out whole --json", withAdapter);
    expect(whole.code, whole.err).toBe(0);
    expect(whole.err).toMatch(/^Device: webgpu on .+, up to .+ in one piece/m);
    const undisturbed = JSON.parse(whole.out);
    expect(undisturbed).toMatchObject({ device: "webgpu", steps: 12 });

    const stopped = await tenon("train config.json --device webgpu", withAdapter, /^step 2 of 12/m);
    expect(stopped.code, stopped.err).toBe(0);
    expect(stopped.out).toMatch(/Stopped after step \d+:/);
    const [, resume] = stopped.out.match(/tenon train --resume (\S+)/)!;

    const elsewhere = await tenon(`train --resume ${resume}`, withoutDriver);
    expect(elsewhere.code).toBe(1);
    expect(elsewhere.err).toMatch(
      /webgpu: there is WebGPU, but no graphics adapter that it may use .+\. The device "cpu"/,
    );

    const resumed = await tenon(`train --resume ${resume} --json`, withAdapter);
    expect(resumed.code, resumed.err).toBe(0);
    const { runId, weightsHash } = undisturbed;
    expect(JSON.parse(resumed.out)).toMatchObject({ runId, weightsHash, device: "webgpu", steps: 12 });

    const again = await tenon(`runs replay ${resume}`, withAdapter);
    expect(again.out).toMatch(/Equal bits: 12 steps gave the recorded losses and weights\./);
    const onCpu = await tenon(`runs replay ${resume}`, withoutDriver);
    expect(onCpu.out).toMatch(/Within tolerance 0\.001: largest difference \d\.\de-\d at step \d+\.\nnote {5}/);
    expect(onCpu.out).toMatch(/^note +adapter was .+, is none$/m);
    expect([again.code, onCpu.code]).toEqual([0, 0]);
  }, 120_000);

  test("auto never takes a processor that plays a graphics card, and says why", async () => {
    const { out, err, code } = await tenon("train config.json --steps 1 --device auto --json", withAdapter);
    expect(code, err).toBe(0);
    const facts = JSON.parse((await tenon("doctor --json", withAdapter)).out);
    expect(JSON.parse(out).device).toBe(facts.webgpu.software ? "cpu" : "webgpu");
    expect(facts.webgpu.limits.maxBufferSize).toBeGreaterThan(2 ** 20);
    if (facts.webgpu.software) expect(facts.reason).toMatch(/no WebGPU graphics card \(the only adapter, .+ plays/);
  });

  test("doctor names adapter, features, limits; and the reason where there is none", async () => {
    const [some, none] = await Promise.all([withAdapter, withoutDriver].map((env) => tenon("doctor", env)));
    expect(some.out).toMatch(/^WebGPU adapter +\S.*\nWebGPU features +\S.*\nWebGPU limits +\d.* in one buffer, /m);
    expect(none.out).not.toMatch(/WebGPU adapter/);
    expect(none.out).toMatch(/Missing:\n {2}webgpu: there is WebGPU, but no graphics adapter/);
    expect(none.code).toBe(0);
    const json = JSON.parse((await tenon("doctor --json", withoutDriver)).out);
    expect(json.webgpu.reason).toMatch(/no graphics adapter/);
  });
});
