import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadRun, reproduce, train } from "tenon/runs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run } from "../../src/cli/run.js";
import { run as runs } from "../../src/cli/runs.js";
import { FileStore } from "../../src/node/file-store.js";
import { recordingIo } from "../setup/command-io.js";

const dir = mkdtempSync(join(tmpdir(), "tenon-run-"));
afterAll(() => rmSync(dir, { recursive: true }));

async function tenon(command: typeof run, ...args: string[]) {
  const { io, out, err } = recordingIo();
  const code = await command(args, io);
  return { code, out: out.join("\n"), err: err.join("\n") };
}

describe("tenon run", () => {
  const path = join(dir, "program.mjs");
  beforeAll(() => writeFileSync(path, "export default async () => ({ answer: 6 * 7, none: Number.NaN });\n"));

  test("calls the default export and shows what it returns", async () => {
    expect(await tenon(run, path)).toMatchObject({ code: 0, out: '{"answer":42,"none":"NaN"}' });
    const { out } = await tenon(run, path, "--seed", "3", "--json");
    expect(JSON.parse(out)).toEqual({ file: path, result: { answer: 42, none: "NaN" } });
  });

  test.each([
    ["5n", "a bigint: what it returned"],
    ["() => 1", "a function: what it returned"],
    ["{ a: [1, Symbol()] }", "a symbol: what it returned.a.1"],
    ["((a) => (a.b = { a }))({})", "an object within itself: what it returned.a.b"],
  ])("a result that JSON cannot hold is refused: %s", async (result, told) => {
    const odd = join(dir, `odd-${result.length}.mjs`);
    writeFileSync(odd, `export default () => (${result});`);
    for (const more of [[], ["--json"]])
      await expect(tenon(run, odd, ...more)).rejects.toThrow(
        `needs to return what JSON can hold, got ${told}. Numbers,`,
      );
  });

  test("a missing file and a wrong option are told", async () => {
    await expect(tenon(run, join(dir, "gone.js"))).rejects.toThrow(/gone\.js: cannot be run, no such file/);
    await expect(tenon(run, dir)).rejects.toThrow(/: is a folder, the file of a program was expected/);
    await expect(tenon(run, path, "--device", "gpu")).rejects.toThrow(/--device needs/);
    await expect(tenon(run, path, "--deterministic", "true", "--numerics", "fast")).rejects.toThrow(/refuses numerics/);
  });
});

describe("tenon runs replay", () => {
  const text = join(dir, "text.txt");
  const store = new FileStore(join(dir, "runs"));
  let id: string;
  beforeAll(async () => {
    writeFileSync(text, "the hen sees the fox and the fox sees the hen. ".repeat(20));
    const config = {
      data: { text },
      model: { model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 8 },
      training: { steps: 4, batchSize: 2, blockSize: 8, evalEvery: 2, sampleEvery: 0 },
      device: "cpu",
      threads: 1,
    } as const;
    id = (await train(config, { store })).executionId;
  });

  test("says equal bits, in a line and as JSON", async () => {
    const { code, out } = await tenon(runs, "replay", id, "--dir", join(dir, "runs"));
    expect([code, out]).toEqual([0, `${id}: Equal bits: 4 steps gave the recorded losses and weights.`]);
    const json = await tenon(runs, "replay", id.slice(0, 6), "--dir", join(dir, "runs"), "--json", "--threads", "2");
    expect(JSON.parse(json.out)).toMatchObject({ executionId: id, verdict: "equal bits", steps: 4, forced: false });
  });

  test("data that moved are given by --data; other data are refused, and run by force and marked", async () => {
    const moved = join(dir, "moved.txt");
    writeFileSync(moved, "another hen sees another fox, that is how it goes. ".repeat(20));
    const where = ["--dir", join(dir, "runs")];
    const refused = tenon(runs, "replay", id, "--data", moved, ...where);
    await expect(refused).rejects.toThrow(/the data are not those of the run/);
    const forced = await tenon(runs, "replay", id, "--data", moved, "--force", ...where);
    expect(forced.code).toBe(1);
    expect(forced.out).toMatch(/Differs from step 1: loss was [\d.]+, now [\d.]+\.\nnote +the data are not/);
    expect(forced.out).toMatch(/run by force; this is no proof/);
    expect((await tenon(runs, "replay", id, "--data", text, ...where)).code).toBe(0);
  });

  test("a file of ids, which stands alone, is given too", async () => {
    const [ids, moved] = [join(dir, "ids.bin"), join(dir, "moved.bin")];
    const bytes = new Uint8Array(Uint16Array.from({ length: 400 }, (_, i) => (i * i) % 7).buffer);
    for (const path of [ids, moved]) writeFileSync(path, bytes);
    const { executionId } = await train(
      {
        data: { tokens: ids, dtype: "uint16" },
        model: { model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 8, vocab_size: 7 },
        training: { steps: 2, batchSize: 2, blockSize: 8 },
        device: "cpu",
      },
      { store },
    );
    rmSync(ids);
    const where = ["--dir", join(dir, "runs")];
    await expect(tenon(runs, "replay", executionId, ...where)).rejects.toThrow(/ids\.bin: cannot be read/);
    expect((await tenon(runs, "replay", executionId, "--data", moved, ...where)).out).toMatch(/Equal bits/);
    const { manifest } = await loadRun(executionId, { store });
    expect((await reproduce(manifest, { data: [moved] })).verdict).toBe("equal bits");
  });

  test("nothing to replay, and a wrong number of threads, are wrong calls", async () => {
    await expect(tenon(runs, "replay")).rejects.toThrow(/^needs RUN, got nothing\.$/);
    await expect(tenon(runs, "replay", id, "--threads", "x")).rejects.toThrow(/1 to 64/);
  });
});
