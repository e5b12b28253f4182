import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startRun } from "tenon/runs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeManifest } from "../../src/artifacts/manifest.js";
import { UsageError } from "../../src/cli/arguments.js";
import { locate } from "../../src/cli/locate.js";
import { plot, thinned } from "../../src/cli/plot.js";
import { run } from "../../src/cli/runs.js";
import { statusOf } from "../../src/cli/show.js";
import { FileStore } from "../../src/node/file-store.js";
import { recordingIo } from "../setup/command-io.js";
import { sampleManifest, writeSampleRun } from "./sample.js";

const dir = mkdtempSync(join(tmpdir(), "tenon-cli-"));
let first: string;
let other: string;

beforeAll(async () => {
  first = await writeSampleRun(new FileStore(join(dir, "runs")));
  other = await writeSampleRun(new FileStore(join(dir, "runs")), { seed: 7 });
});
afterAll(() => rmSync(dir, { recursive: true }));

async function tenonRuns(...args: string[]) {
  const { io, out, err } = recordingIo();
  const code = await run([...args, "--dir", join(dir, "runs")], io);
  return { code, out: out.join("\n"), err: err.join("\n") };
}

describe("tenon runs", () => {
  it("lists", async () => {
    const { code, out } = await tenonRuns("list");
    expect(code).toBe(0);
    expect(out.split("\n")[0]).toMatch(/^run +status +device +seed +steps +loss +weights$/);
    expect(out).toMatch(new RegExp(`${first} +done +cpu +1337 +4 +1.2513 +[0-9a-f]{12}`));
    for (const words of [["list"], []])
      expect(JSON.parse((await tenonRuns(...words, "--json")).out).runs).toMatchObject([{}, {}]);
    expect((await tenonRuns()).out).toBe(out);
    const result = { steps: 4, trainLoss: 1.5, valLoss: "NaN" };
    const blind = await writeSampleRun(new FileStore(join(dir, "runs")), { seed: 96, result });
    expect((await tenonRuns()).out, "no validation").toMatch(new RegExp(`${blind} .* 96 +4 +1\\.5 `));
    rmSync(join(dir, "runs", blind), { recursive: true });
  });

  it("tells since when nothing was heard of a run that should be running", async () => {
    const killed = await writeSampleRun(new FileStore(join(dir, "runs")), { seed: 95 });
    const folder = join(dir, "runs", killed);
    const running = { ...sampleManifest({ seed: 95 }), executionId: killed };
    writeFileSync(join(folder, "manifest.json"), writeManifest(running));
    const heard = (minutes: number) => {
      const then = Date.now() / 1000 - minutes * 60 - 5;
      for (const name of readdirSync(folder)) utimesSync(join(folder, name), then, then);
    };
    const told: string[] = [];
    for (const minutes of [0, 1, 119, 180, 50 * 60]) {
      heard(minutes);
      const [, list] = new RegExp(`${killed} +(running.*?) +cpu`).exec((await tenonRuns("list")).out)!;
      expect((await tenonRuns("show", killed)).out).toMatch(new RegExp(`\nstatus +${list}\n`));
      told.push(list);
    }
    const silent = ["1 min", "119 min", "3 h", "2 days"].map((age) => `running, no news for ${age}`);
    expect(told).toEqual(["running", ...silent]);
    rmSync(folder, { recursive: true });
    // Removed after it was listed.
    expect(statusOf(running, join(dir, "runs"))).toBe("running");
  });

  it("shows a run with its curve, by path too", async () => {
    const { code, out } = await tenonRuns("show", first);
    expect(code).toBe(0);
    expect(out).toMatch(/device +cpu, portable numerics, float32/);
    expect(out).toMatch(/determinism +Equal bits/);
    expect(out).toMatch(/checkpoints +4/);
    expect(out).toMatch(/metric +last +best +mean +min +max\nloss +1.0013 +1.0013 \(step 4\) +2.0847 +1.0013 +4.0013/);
    expect(out).toMatch(/\*/);
    expect((await tenonRuns("show", `${join(dir, "runs", first)}/`)).out).toBe(out);
    const json = JSON.parse((await tenonRuns("show", first, "--json")).out);
    expect(json).toMatchObject({ seed: 1337, aggregates: { run: { valLoss: { count: 1 } } } });
  });

  it("compares, as text, Markdown, CSV and JSON", async () => {
    const { code, out } = await tenonRuns("compare", first, other);
    expect(code).toBe(0);
    expect(out).toMatch(/seed +1337 +7/);
    expect(out).toMatch(/The first difference is loss at step 1/);
    expect(out).toMatch(/Their final weights differ/);
    expect((await tenonRuns("compare", first, other, "--markdown")).out).toMatch(/^\| +\| [0-9a-f]{16}-1 \|/);
    expect((await tenonRuns("compare", first, other, "--csv")).out).toMatch(/^,[0-9a-f]{16}-1,[0-9a-f]{16}-1\n/);
    expect(JSON.parse((await tenonRuns("compare", first, other, "--json")).out).sameWeights).toBe(false);
    const same = (await tenonRuns("compare", first, first)).out;
    expect(same).toMatch(/All metrics that these runs share are equal/);
    expect(same).toMatch(/same weights, bit for bit/);
    const blind = await writeSampleRun(new FileStore(join(dir, "runs")), { seed: 96 });
    rmSync(join(dir, "runs", blind, "metrics.jsonl"));
    expect((await tenonRuns("compare", first, blind)).out).toMatch(/These runs share no record of a step/);
    rmSync(join(dir, "runs", blind), { recursive: true });
  });

  it("verifies, with an exit code", async () => {
    expect(await tenonRuns("verify", first)).toMatchObject({
      code: 0,
      out: expect.stringMatching(/everything is as it was written/),
    });
    const changed = await writeSampleRun(new FileStore(join(dir, "runs")), { seed: 99 });
    await new FileStore(join(dir, "runs")).append(`${changed}/metrics.jsonl`, new Uint8Array([10]));
    const { code, out } = await tenonRuns("verify", changed);
    expect(code).toBe(1);
    expect(out).toMatch(/CHANGED .*metrics.jsonl: \d+ bytes expected/);
    expect(JSON.parse((await tenonRuns("verify", changed, "--json")).out).ok).toBe(false);
    rmSync(join(dir, "runs", changed), { recursive: true });
  });

  it("lists a broken run as such, with its problem beside, and leaves no half of an archive", async () => {
    const broken = await writeSampleRun(new FileStore(join(dir, "runs")), { seed: 98 });
    const path = join(dir, "runs", broken, "manifest.json");
    writeFileSync(path, readFileSync(path, "utf8").replace('"seed": 98', '"seed": 97'));
    const { code, out, err } = await tenonRuns("list");
    expect(code).toBe(0);
    expect(out).toMatch(new RegExp(`${broken} +broken +- +-`));
    expect(err).toMatch(/manifest\.json: was edited after it was written/);
    const file = join(dir, "half.tar");
    await expect(tenonRuns("export", broken, file)).rejects.toThrow(/was edited/);
    expect(readdirSync(dir).filter((name) => name.startsWith("half"))).toEqual([]);
    rmSync(join(dir, "runs", broken), { recursive: true });
  });

  it("names a run whose manifest is damaged, and what of it can be used; the others stay", async () => {
    const broken = await writeSampleRun(new FileStore(join(dir, "runs")), { seed: 98 });
    const path = join(dir, "runs", broken, "manifest.json");
    const whole = readFileSync(path, "utf8");
    const checkpoints = join(dir, "runs", broken, "checkpoints");
    const last = join(checkpoints, readdirSync(checkpoints).sort().at(-1)!);
    const hint = `Its checkpoints need no manifest: generate from ${last}, or load it with loadModel.`;
    for (const damaged of ["", whole.slice(0, 300), "{}"]) {
      writeFileSync(path, damaged);
      await expect(tenonRuns("show", broken)).rejects.toThrow(hint);
      expect((await tenonRuns("verify", broken)).out).toContain(hint);
      const { code, out, err } = await tenonRuns("list");
      expect([code, out, err]).toEqual([0, expect.stringMatching(/broken/), expect.stringContaining(hint)]);
      expect(await tenonRuns("show", first)).toMatchObject({ code: 0 });
    }
    rmSync(checkpoints, { recursive: true });
    await expect(tenonRuns("show", broken)).rejects.toThrow(/manifest\.json: (?!.*checkpoints need)/);
    rmSync(join(dir, "runs", broken), { recursive: true });
  });

  it("takes a path for a path, an ID for what --dir holds, and a file for no folder of runs", async () => {
    const { cwd } = process;
    const inside = join(dir, "runs", first);
    process.cwd = () => inside;
    try {
      expect((await tenonRuns("show", ".", "--json")).out).toContain(first);
      expect((await tenonRuns("show", `../${other}`, "--json")).out).toContain(other);
    } finally {
      process.cwd = cwd;
    }
    expect(locate("src")).toEqual(["src", process.cwd()]);
    expect(locate("src", "runs")).toEqual(["src", "runs"]);
    expect(locate("none")).toEqual(["none", "runs"]);
    const file = join(dir, "c.json");
    writeFileSync(file, "{}");
    for (const words of [["list"], ["find", "eeeee"], ["show", first]])
      await expect(run([...words, "--dir", file], recordingIo().io)).rejects.toThrow(
        /c\.json: is a file, the folder of the runs was expected/,
      );
  });

  it("refuses to replay what code did, also with data beside", async () => {
    const made = await startRun({ rate: 1 }, { store: join(dir, "runs"), codeVersion: "1.0" });
    const { executionId: id } = await made.finish();
    await expect(tenonRuns("replay", id, "--data", "a.txt")).rejects.toThrow(/cannot be replayed, it was made by code/);
    rmSync(join(dir, "runs", id), { recursive: true });
  });

  it("finds by the start of a hash", async () => {
    const { code, out } = await tenonRuns("find", "eeeee");
    expect(code).toBe(0);
    expect(out).toMatch(/data +e{64} +a.txt/);
    const { found } = JSON.parse((await tenonRuns("find", "eeeee", "--json")).out);
    expect(found).toMatchObject([{ kind: "data", sha256: "e".repeat(64) }]);
    expect(await tenonRuns("find", "0123456789")).toMatchObject({
      code: 1,
      err: expect.stringMatching(/knows nothing/),
    });
    await expect(tenonRuns("find", "run")).rejects.toThrow(/hex digits, got "run"/);
  });

  it("exports to a file and imports it elsewhere, overwriting nothing", async () => {
    const file = join(dir, "run.tar");
    expect((await tenonRuns("export", first, file)).code).toBe(0);
    expect(readdirSync(dir).filter((name) => name.startsWith("run.tar"))).toEqual(["run.tar"]);
    await expect(tenonRuns("export", first, file)).rejects.toThrow(/there already/);
    await expect(tenonRuns("import", file)).rejects.toThrow(/already, nothing/);
    const { io, out } = recordingIo();
    expect(await run(["import", file, "--dir", join(dir, "there")], io)).toBe(0);
    expect(out[0]).toMatch(/is here, and verified/);
    await expect(tenonRuns("import", join(dir, "none.tar"))).rejects.toThrow(/no such file/);
  });

  it("tells usage from failure", async () => {
    const usage = async (...args: string[]) => {
      const error = await tenonRuns(...args).catch((cause) => cause);
      expect(error).toBeInstanceOf(UsageError);
      return error.message;
    };
    expect(await usage("lst")).toBe('there is no command "lst". Did you mean "list"?');
    expect(await usage("show")).toBe("needs RUN, got nothing.");
    expect(await usage("list", "--colour")).toMatch(/no option --colour/);
    expect(await usage("show", first, "--force"), "of another command").toMatch(/no option --force/);
    expect(await usage("constructor")).toMatch(/no command/);
    await expect(tenonRuns("show", "none")).rejects.toThrow(/holds no run "none"/);
    expect(await tenonRuns("--help")).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^Usage: tenon runs <command>/),
    });
    expect(await tenonRuns("replay", "--help")).toMatchObject({ code: 0, out: expect.stringMatching(/--threads N/) });
  });
});

describe("line plots", () => {
  const steps = Array.from({ length: 100 }, (_, i) => i + 1);
  const falling = { label: "loss", steps, values: steps.map((step) => 4 / step + 1) };

  it("draw a falling curve from the top left to the bottom right", () => {
    const lines = plot([falling], { width: 20, height: 5, ascii: true, title: "loss" }).split("\n");
    expect(lines[0].trim()).toBe("loss");
    expect(lines[1]).toMatch(/^ *5 \|\*/);
    expect(lines[5]).toMatch(/^ *1\.04 \| +\*+$/);
    expect(lines[5].length).toBe(lines[6].length);
    expect(lines[6]).toMatch(/\+-{20}$/);
    expect(lines[7]).toMatch(/1 +100$/);
  });

  it("use dots on a terminal for one curve, and marks for several", () => {
    expect(plot([falling], { width: 20, height: 5 })).toMatch(/[\u2801-\u28ff]/);
    const two = plot([falling, { ...falling, label: "other", values: falling.values.map((v) => v + 1) }], {
      width: 20,
    });
    expect(two).toMatch(/\* loss/);
    expect(two).toMatch(/o other/);
    expect(two).not.toMatch(/[\u2801-\u28ff]/);
  });

  it("draw the bound that a loss falls towards", () => {
    const lines = plot([falling], { width: 20, height: 5, ascii: true, bound: { label: "entropy", value: 0.5 } }).split(
      "\n",
    );
    expect(lines[4]).toMatch(/^ *0\.5 \|-{12}\*{8}$/);
    expect(lines[lines.length - 1].trim()).toBe("- entropy 0.5");
  });

  it("of long runs have some hundred points, each the mean of its finite steps", () => {
    for (const [length, points] of [
      [10, 10],
      [40, 20],
      [240_000, 300],
    ]) {
      const steps = Array.from({ length }, (_, i) => i + 1);
      const curve = thinned({ label: "loss", steps, values: steps });
      expect(curve.steps).toHaveLength(points);
      expect(curve.values[0]).toBe((1 + length / points) / 2);
      expect([curve.steps[0], curve.steps.at(-1)], "its ends").toEqual([1, length]);
      expect(Math.abs(curve.steps[1] - curve.values[1])).toBeLessThan(1);
    }
    const gaps = Array.from({ length: 3000 }, (_, i) => (i < 10 ? Number.NaN : i % 2 ? 2 : Number.POSITIVE_INFINITY));
    const { values } = thinned({ label: "loss", steps: gaps.map((_, i) => i), values: gaps });
    expect([...new Set(values)]).toEqual([Number.NaN, 2]);
  });

  it("stand one value, gaps, NaN and nothing", () => {
    expect(plot([{ label: "x", steps: [1], values: [2] }], { width: 5, height: 3, ascii: true })).toMatch(/\*/);
    expect(plot([{ label: "x", steps: [1, 2], values: [Number.NaN, Number.POSITIVE_INFINITY] }])).toMatch(
      /no finite values/,
    );
    expect(plot([])).toMatch(/no finite values/);
    expect(
      plot([{ label: "x", steps: [1, 2, 3], values: [1, Number.NaN, 3] }], { width: 5, height: 3, ascii: true }),
    ).toMatch(/\*/);
  });
});
