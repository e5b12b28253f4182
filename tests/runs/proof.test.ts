/** Listing, finding, comparing, verifying and carrying runs. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { MANIFEST, parseManifest, writeManifest } from "../../src/artifacts/manifest.js";
import { bytesSource } from "../../src/artifacts/sources.js";
import { FormatError, RunError } from "../../src/core/errors.js";
import { type RunStore, readText, writeText } from "../../src/core/store.js";
import { setWarningListener, type Warning } from "../../src/core/warnings.js";
import "../../src/node/platform.js";
import { exportRun, importRun } from "../../src/runs/archive.js";
import { putBlob } from "../../src/runs/blobs.js";
import { compareRuns, differences, formatComparison } from "../../src/runs/compare.js";
import { findContent, findRuns, findWeights, loadDataReference } from "../../src/runs/find.js";
import { listRuns, loadRun } from "../../src/runs/list.js";
import { MemoryStore } from "../../src/runs/memory-store.js";
import { tarEnd, tarHeader, tarPadding } from "../../src/runs/tar.js";
import { verify } from "../../src/runs/verify.js";
import { writeSampleRun } from "./sample.js";

const utf8 = new TextEncoder();

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk.slice());
  return new Uint8Array(Buffer.concat(chunks));
}

/** Two executions of one run, and one of another. */
async function threeRuns() {
  const store = new MemoryStore();
  const first = await writeSampleRun(store);
  const second = await writeSampleRun(store, { execution: 2 });
  const other = await writeSampleRun(store, { seed: 7, learningRate: 2e-3 });
  return { store, first, second, other };
}

describe("listing and loading", () => {
  it("lists runs by name, broken ones with their problem", async () => {
    const { store, first, second, other } = await threeRuns();
    await writeText(store, "foreign/notes.txt", "");
    await writeText(store, "zzz/manifest.json", "{}");
    await putBlob(store, utf8.encode("x"));
    const runs = await listRuns({ store });
    expect(runs.map(({ executionId }) => executionId)).toEqual([first, second, other, "foreign", "zzz"].sort());
    const problem = (name: string) => runs.find(({ executionId }) => executionId === name)?.problem;
    expect(problem("foreign")).toMatch(/foreign\/manifest.json: is missing/);
    expect(problem("zzz")).toMatch(/"format": "tenon-manifest" expected/);
    expect(problem(first)).toBeUndefined();
    expect(await listRuns({ store: new MemoryStore() })).toEqual([]);
  });

  it("loads by execution, by run (its last execution) and by the start of a name", async () => {
    const { store, first, second, other } = await threeRuns();
    const load = async (name: string) => (await loadRun(name, { store })).folder;
    expect(await load(first)).toBe(first);
    expect(await load(first.replace(/-1$/, ""))).toBe(second);
    expect(await load(other.slice(0, 6))).toBe(other);
    const run = await loadRun(first, { store });
    expect(await run.config()).toEqual({ data: { text: "a.txt" }, seed: 1337 });
    expect((await run.metrics()).length).toBe(5);
    expect((await run.timing())[0]).toEqual({ step: 1, values: { tokensPerSecond: 100 } });
    expect((await run.samples())[0].text).toBe("once upon a time");
    expect((await run.checkpoints()).map(({ step }) => step)).toEqual([4]);
    expect((await run.latestCheckpoint())?.step).toBe(4);
    await expect(load("nope")).rejects.toThrow(/memory: holds no run "nope". It holds 3, the last are/);
    await expect(load("../x")).rejects.toThrow(/needs a plain name, got "..\/x"/);
    await expect(load("a/b")).rejects.toThrow(RunError);
    await expect(loadRun("x", { store: new MemoryStore() })).rejects.toThrow(/It holds no run at all/);
  });

  it("lists the matches of an ambiguous start, and tenth executions after second ones", async () => {
    const store = new MemoryStore();
    for (const folder of ["aa01-1", "aa02-1", "bb-2", "bb-10"]) await writeText(store, `${folder}/x`, "");
    await expect(loadRun("aa", { store })).rejects.toThrow(/"aa" is the start of 2 names: aa01 and aa02/);
    await expect(loadRun("bb", { store })).rejects.toThrow(/bb-10\/manifest.json: no such file/);
    // An execution that is not there is not the next one whose number begins like its own.
    // Folders without a manifest are no runs: a store may be any folder.
    await expect(loadRun("bb-1", { store })).rejects.toThrow(/holds no run "bb-1". It holds no run at all/);
    await writeText(store, "bb-10/manifest.json", "{}");
    await expect(loadRun("bb-1", { store })).rejects.toThrow(/holds no run "bb-1". It holds 1, the last are bb-10/);
  });

  it("refuses a manifest in a foreign folder", async () => {
    const { store, first } = await threeRuns();
    await writeText(store, `moved/${MANIFEST}`, await readText(store, `${first}/${MANIFEST}`));
    await expect(loadRun("moved", { store })).rejects.toThrow(/belongs to run .*-1, not to the folder moved/);
  });
});

describe("finding by content", () => {
  it("finds runs, weights, tokenizers, data and configs by the start of a hash", async () => {
    const { store, first, second, other } = await threeRuns();
    const { manifest } = await loadRun(first, { store });
    expect(await findRuns(manifest.runId, { store })).toEqual([first, second]);
    expect((await findRuns("", { store }).catch((error) => error)).message).toMatch(/needs 1 to 64 hex digits/);
    const [weights] = await findContent(manifest.finalWeights as string, { store });
    expect(weights).toMatchObject({
      kind: "weights",
      runs: [first, second],
      path: `${first}/checkpoints/step-000004/model.safetensors`,
    });
    expect((await findContent("eeee", { store }))[0]).toMatchObject({
      kind: "data",
      data: { name: "a.txt", size: 100 },
      runs: [first, second, other].sort(),
    });
    const kinds = new Set((await findContent("c", { store })).map(({ kind }) => kind));
    expect(kinds.has("tokenizer")).toBe(true);
    await expect(findContent("xyz", { store })).rejects.toThrow(/needs 1 to 64 hex digits, got "xyz"/);
  });

  it("a checkpoint whose list is broken hides nothing else", async () => {
    const { store, first, second } = await threeRuns();
    await writeText(store, `${first}/checkpoints/step-000004/checkpoint.json`, "{");
    const { manifest } = await loadRun(second, { store });
    expect(await findContent(manifest.finalWeights as string, { store })).toMatchObject([
      { runs: [first, second], path: `${second}/checkpoints/step-000004/model.safetensors` },
    ]);
    const warnings: Warning[] = [];
    const listener = setWarningListener((warning) => warnings.push(warning));
    expect(await (await loadRun(first, { store })).checkpoints()).toEqual([]);
    setWarningListener(listener);
    expect(warnings.map(({ code }) => code)).toEqual(["checkpoint-skipped"]);
  });

  it("loads weights by their hash, after making it again", async () => {
    const { store, first } = await threeRuns();
    const { manifest } = await loadRun(first, { store });
    const hash = manifest.finalWeights as string;
    const reader = await findWeights(hash.slice(0, 10), { store });
    expect([...((await reader.read("w")).data as Float32Array)]).toEqual([1337, 1]);
    await expect(findWeights("aaaaaaaa", { store })).rejects.toThrow(/are not stored, only known to/);
    await expect(findWeights("123456789", { store })).rejects.toThrow(/knows no weights 123456789/);
    const path = `${first}/checkpoints/step-000004/model.safetensors`;
    const bytes = await store.read(path);
    bytes[bytes.length - 1] ^= 1;
    await store.write(path, bytes);
    await expect(findWeights(hash, { store })).rejects.toThrow(/SHA-256 .* expected, got/);
  });

  it("keeps bytes once, under their hash", async () => {
    const store = new MemoryStore();
    const hash = await putBlob(store, utf8.encode("abc"));
    expect(hash).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    async function* stream() {
      yield utf8.encode("a");
      yield utf8.encode("bc");
    }
    expect(await putBlob(store, stream())).toBe(hash);
    expect(await store.list("blobs/data")).toEqual([{ name: hash, kind: "file" }]);
    expect(await loadDataReference("ba78", { store })).toMatchObject({ sha256: hash, path: `blobs/data/${hash}` });
  });

  it("lists the matches of an ambiguous start", async () => {
    const store = new MemoryStore();
    const hashes = [];
    for (let i = 0; i < 40; i++) hashes.push(await putBlob(store, utf8.encode(String(i))));
    const start = hashes.map((hash) => hash[0]).find((digit, i, all) => all.indexOf(digit) !== i) as string;
    const matches = hashes.filter((hash) => hash.startsWith(start));
    const error = await loadDataReference(start, { store }).catch((caught) => caught);
    expect(error).toBeInstanceOf(RunError);
    for (const hash of matches) expect(error.message).toContain(hash);
  });
});

describe("comparing", () => {
  it("says equal runs are equal", async () => {
    const { store, first, second } = await threeRuns();
    const comparison = await compareRuns([first, second], { store });
    expect(comparison).toMatchObject({ runs: [first, second], config: [], surroundings: [], sameWeights: true });
    expect(comparison.firstDifference).toBeUndefined();
  });

  it("puts differences of config and results side by side", async () => {
    const { store, first, other } = await threeRuns();
    const comparison = await compareRuns([first, other], { store });
    expect(comparison.config).toEqual([
      { path: "seed", values: [1337, 7] },
      { path: "training.learningRate", values: [1e-3, 2e-3] },
      { path: "training.minLearningRate", values: [1e-4, 2e-4] },
    ]);
    expect(comparison.sameWeights).toBe(false);
    expect(comparison.firstDifference).toEqual({ step: 1, name: "loss", values: [4.001337, 4.000007] });
    expect(comparison.metrics.find(({ name }) => name === "valLoss")?.final).toEqual([1.251337, 1.250007]);
    const text = formatComparison(comparison);
    expect(text).toMatch(/training\.learningRate +0\.001 +0\.002/);
    expect(text).not.toMatch(/wallClock|tokensPerSecond/);
    expect(formatComparison(comparison, "markdown")).toMatch(/\| training\.learningRate +\| 0\.001 +\| 0\.002 +\|/);
    expect(formatComparison(comparison, "csv").split("\n")[1]).toBe("seed,1337,7");
    expect(JSON.parse(formatComparison(comparison, "json")).config[0]).toEqual({ path: "seed", values: [1337, 7] });
  });

  it("treats NaN as equal to itself and absent as different", () => {
    expect(
      differences([
        { a: Number.NaN, b: [1, 2] },
        { a: Number.NaN, b: [1, 2] },
      ]),
    ).toEqual([]);
    expect(differences([{ a: { b: 1 } }, { a: {} }])).toEqual([{ path: "a.b", values: [1, undefined] }]);
    expect(differences([{ a: {} }, {}])).toEqual([{ path: "a", values: [{}, undefined] }]);
    expect(differences([{ a: null }, {}])).toEqual([{ path: "a", values: [null, undefined] }]);
  });
});

describe("verifying", () => {
  it("finds nothing wrong with a run that nobody touched", async () => {
    const { store, first } = await threeRuns();
    expect(await verify(first, { store, data: true })).toEqual({
      executionId: first,
      ok: true,
      problems: [],
      notes: [expect.stringMatching(/a.txt: the data are not there any more/)],
    });
  });

  const damages: [what: string, damage: (store: RunStore, folder: string) => Promise<void>, problem: RegExp][] = [
    [
      "an edited metric",
      async (store, folder) => {
        const path = `${folder}/metrics.jsonl`;
        await writeText(store, path, (await readText(store, path)).replace("1.251337", "0.251337"));
      },
      /metrics.jsonl: SHA-256 .* expected/,
    ],
    [
      "a metric more",
      (store, folder) => store.append(`${folder}/metrics.jsonl`, utf8.encode('{"step":5}\n')),
      /metrics.jsonl: \d+ bytes expected/,
    ],
    ["a missing file", (store, folder) => store.remove(`${folder}/samples.jsonl`), /samples.jsonl: is missing/],
    ["a foreign file", (store, folder) => writeText(store, `${folder}/virus.exe`, ""), /virus.exe: is foreign/],
    [
      "an edited manifest",
      async (store, folder) => {
        const path = `${folder}/${MANIFEST}`;
        await writeText(store, path, (await readText(store, path)).replace('"seed": 1337', '"seed": 1338'));
      },
      /was edited after it was written/,
    ],
    [
      "a manifest edited with its hash made again",
      async (store, folder) => {
        const path = `${folder}/${MANIFEST}`;
        const manifest = parseManifest(await readText(store, path));
        await writeText(store, path, writeManifest({ ...manifest, config: { ...manifest.config, seed: 2 } }));
      },
      /configHash .* expected/,
    ],
    [
      "another origin claimed",
      async (store, folder) => {
        const path = `${folder}/${MANIFEST}`;
        const manifest = parseManifest(await readText(store, path));
        await writeText(store, path, writeManifest({ ...manifest, initialWeights: "9".repeat(64) }));
      },
      /fingerprint [0-9a-f]{64} expected from its parts/,
    ],
    [
      "changed weights",
      async (store, folder) => {
        const path = `${folder}/checkpoints/step-000004/model.safetensors`;
        const bytes = await store.read(path);
        bytes[bytes.length - 1] ^= 1;
        await store.write(path, bytes);
      },
      /model.safetensors: SHA-256/,
    ],
    [
      "other final weights claimed",
      async (store, folder) => {
        const path = `${folder}/${MANIFEST}`;
        const manifest = parseManifest(await readText(store, path));
        await writeText(store, path, writeManifest({ ...manifest, finalWeights: "9".repeat(64) }));
      },
      /final weights 9+ expected, the last checkpoint holds/,
    ],
  ];
  it.each(damages)("sees %s", async (_, damage, problem) => {
    const store = new MemoryStore();
    const folder = await writeSampleRun(store);
    await damage(store, folder);
    const { ok, problems } = await verify(folder, { store });
    expect(ok).toBe(false);
    expect(problems.join("\n")).toMatch(problem);
  });

  it("says that a checkpoint a crash left is incomplete, which is no damage", async () => {
    const store = new MemoryStore();
    const folder = await writeSampleRun(store);
    await writeText(store, `${folder}/checkpoints/step-000008/model.safetensors`, "half");
    const { ok, notes } = await verify(folder, { store });
    expect(ok).toBe(true);
    expect(notes.join("\n")).toMatch(/step-000008: is no complete checkpoint/);
  });
});

describe("carrying a run", () => {
  const folder = mkdtempSync(join(tmpdir(), "tenon-archive-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  it("gives the same run on the other side, and the same archive again", async () => {
    const { store, first } = await threeRuns();
    const archive = await collect(exportRun(first, { store }));
    const there = new MemoryStore("there");
    expect(await importRun(bytesSource(archive, "run.tar"), { store: there })).toBe(first);
    expect((await verify(first, { store: there })).ok).toBe(true);
    expect(await collect(exportRun(first, { store: there }))).toEqual(archive);
    await expect(importRun(bytesSource(archive, "run.tar"), { store: there })).rejects.toThrow(
      /there: holds .*-1 already, nothing is overwritten/,
    );
  });

  it("is an archive that tar reads and writes", async () => {
    if (spawnSync("tar", ["--version"]).status !== 0) {
      console.log("skipped: tar reads our archive, this system has no tar");
      return;
    }
    const { store, first } = await threeRuns();
    writeFileSync(join(folder, "run.tar"), await collect(exportRun(first, { store })));
    execFileSync("tar", ["xf", "run.tar"], { cwd: folder });
    // The lock of a process that was killed, elsewhere: it does not travel.
    writeFileSync(join(folder, first, "run.lock"), '{"host":"elsewhere","pid":1}');
    execFileSync("tar", ["cf", "again.tar", "--format=ustar", first], { cwd: folder });
    const there = new MemoryStore();
    const source = await (await import("../../src/core/platform.js")).platform().openFile!(join(folder, "again.tar"));
    expect(await importRun(source, { store: there })).toBe(first);
    await source.close?.();
    expect(await there.size(`${first}/run.lock`)).toBeUndefined();
    expect((await verify(first, { store: there })).ok).toBe(true);
  });

  const tar = (files: [path: string, content: string, kind?: string][]) => {
    const parts = files.flatMap(([path, content, kind]) => {
      const header = tarHeader(path, content.length);
      if (kind) {
        header[156] = kind.charCodeAt(0);
        header.fill(0x20, 148, 156);
        const sum = header.reduce((total, byte) => total + byte, 0);
        header.set(utf8.encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
      }
      return [header, utf8.encode(content), tarPadding(content.length)];
    });
    return new Uint8Array(Buffer.concat([...parts, tarEnd()]));
  };
  const bad: [what: string, archive: Uint8Array, message: RegExp][] = [
    ["a path that climbs", tar([["a-1/../../x", "!"]]), /needs a path inside the store, got "a-1\/..\/..\/x"/],
    ["an absolute path", tar([["/etc/x", "!"]]), /needs a path inside the store/],
    ["a backslash", tar([["a-1/..\\x", "!"]]), /holds a separator/],
    [
      "two folders",
      tar([
        ["a-1/manifest.json", "{}"],
        ["b-1/x", ""],
      ]),
      /files in one run's folder expected, got b-1\/x/,
    ],
    ["a file outside a folder", tar([["manifest.json", "{}"]]), /files in one run's folder expected/],
    [
      "a file twice",
      tar([
        ["a-1/manifest.json", "{}"],
        ["a-1/manifest.json", "[]"],
      ]),
      /got a-1\/manifest.json twice/,
    ],
    ["no manifest", tar([["a-1/x", "{}"]]), /with manifest.json expected, found none/],
    ["nothing", tar([]), /with manifest.json expected, found none/],
    ["a link", tar([["a-1/manifest.json", "", "2"]]), /regular files and folders expected, got kind "2"/],
    ["a device", tar([["a-1/manifest.json", "", "3"]]), /got kind "3"/],
    ["a broken manifest", tar([["a-1/manifest.json", "{}"]]), /holds a damaged run/],
    ["no archive", utf8.encode("PK".repeat(600)), /at byte 148 an octal checksum expected/],
  ];
  it.each(bad)("refuses %s, and leaves nothing behind", async (_, archive, message) => {
    const store = new MemoryStore();
    await expect(importRun(bytesSource(archive, "bad.tar"), { store })).rejects.toThrow(message);
    expect((await store.list("")).filter(({ kind }) => kind === "file")).toEqual([]);
    expect(await listRuns({ store })).toEqual([]);
  });

  it("refuses an archive cut short anywhere", async () => {
    const { store, first } = await threeRuns();
    const archive = await collect(exportRun(first, { store }));
    for (let length = 0; length <= archive.length - 1024; length += 97) {
      const there = new MemoryStore();
      await expect(importRun(bytesSource(archive.subarray(0, length), "cut.tar"), { store: there })).rejects.toThrow(
        FormatError,
      );
      expect(await there.list("")).toEqual([]);
    }
  });
});
