/** What names the code of a run: a version, a commit, or the reason why there is none. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ones } from "tenon";
import { compareRuns, loadRun, MemoryStore, replay, startRun, train, verify } from "tenon/runs";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type CodeState, platform, setPlatform } from "../../src/core/platform.js";
import { codeState, setProgram } from "../../src/node/code.js";

const host = platform();
/** As if the program were of this state. */
const programIs = (state: CodeState) => setPlatform({ ...host, codeState: async () => state });
afterEach(() => setPlatform(host));

const commit = "0123456789".repeat(4);

/** The manifest of a run that starts now. */
async function manifestOf(store = new MemoryStore(), codeVersion?: string) {
  return (await startRun({}, { store, codeVersion })).finish();
}

describe("the code of a run", () => {
  test("is the commit where nothing was changed since, and part of the ID", async () => {
    programIs({ commit, dirty: false });
    const manifest = await manifestOf();
    expect(manifest.code).toEqual({ commit, dirty: false });
    expect(manifest.provisional).toBeUndefined();
    programIs({ commit: "f".repeat(40), dirty: false });
    expect((await manifestOf()).runId).not.toBe(manifest.runId);
  });

  test("makes the ID provisional where the tree has changes, or where there is no repository", async () => {
    programIs({ commit, dirty: true });
    const store = new MemoryStore();
    const dirty = await manifestOf(store);
    expect(dirty.provisional).toMatch(/has changes that commit 0123456789/);
    expect((await verify(dirty.executionId, { store })).notes.join()).toMatch(/provisional ID: .*has changes/);
    programIs({ reason: "git is not installed" });
    const none = await manifestOf();
    expect(none.code).toEqual({ commit: null, reason: "git is not installed" });
    expect(none.provisional).toMatch(/no version \(codeVersion\) and no commit: git is not installed/);
    expect(none.runId).not.toBe(dirty.runId);
  });

  test("is the caller's version where there is one", async () => {
    programIs({ commit, dirty: true });
    const manifest = await manifestOf(new MemoryStore(), "2.1");
    expect(manifest.code).toEqual({ version: "2.1" });
    expect(manifest.provisional).toBeUndefined();
  });

  test("is compared, and so is the build of the package", async () => {
    const store = new MemoryStore();
    const ids: string[] = [];
    for (const state of [commit, "f".repeat(40)]) {
      programIs({ commit: state, dirty: false });
      ids.push((await manifestOf(store)).executionId);
    }
    const { surroundings } = await compareRuns(ids, { store });
    expect(surroundings).toContainEqual({ path: "code.commit", values: [commit, "f".repeat(40)] });
    const { manifest } = await loadRun(ids[0], { store });
    expect(manifest.package.buildHash).toMatch(/^none: a source checkout/);
  });

  test("is what must be run again: replay says so", async () => {
    programIs({ commit, dirty: false });
    const store = new MemoryStore();
    const { executionId } = await manifestOf(store);
    await expect(replay(executionId, { store })).rejects.toThrow(
      /was made by code \(commit 0123456789\), not by a config/,
    );
  });

  test("counts in train(), where an iterable of batches needs a name too", async () => {
    programIs({ commit, dirty: false });
    const runs = async (more: object) => {
      const weight = ones([1], { requiresGrad: true });
      const store = new MemoryStore();
      const task = { parameters: [weight], loss: () => weight.mul(weight).sum(), batches: [[1]] };
      const { executionId } = await train({ ...task, training: { steps: 1 }, ...more }, { store });
      weight.dispose();
      return (await loadRun(executionId, { store })).manifest;
    };
    expect((await runs({})).provisional).toMatch(/come from an iterable, whose content has no name \(dataVersion\)/);
    const named = await runs({ dataVersion: "1" });
    expect(named).toMatchObject({ code: { commit, dirty: false } });
    expect(named.provisional).toBeUndefined();
    expect(named.config).not.toHaveProperty("data");
    expect((await runs({ dataVersion: "2" })).runId).not.toBe(named.runId);
  });
});

describe("git", () => {
  const folder = mkdtempSync(join(tmpdir(), "tenon-code-"));
  const git = (...args: string[]) => execFileSync("git", args, { cwd: folder, encoding: "utf8", stdio: "pipe" }).trim();
  const has = (() => {
    try {
      return execFileSync("git", ["--version"]).length > 0;
    } catch {
      console.log("skipped: what git says of a program, this system has no git");
      return false;
    }
  })();
  beforeAll(() => setProgram(join(folder, "program.js")));
  afterAll(() => {
    setProgram(undefined);
    rmSync(folder, { recursive: true });
  });

  test.skipIf(!has)("tells commit and changes of the folder that the program is in", async () => {
    writeFileSync(join(folder, "program.js"), "1;\n");
    expect(await codeState()).toEqual({ reason: "there is no git repository" });
    git("init", "-q");
    expect(await codeState()).toHaveProperty("reason");
    git("config", "user.email", "a@b.c");
    git("config", "user.name", "a");
    writeFileSync(join(folder, "other.js"), "2;\n");
    git("add", "other.js");
    git("commit", "-q", "-m", "one");
    expect(await codeState()).toEqual({ commit: git("rev-parse", "HEAD"), dirty: true });
    git("add", "program.js");
    git("commit", "-q", "-m", "two");
    git("tag", "v1");
    const state = { commit: git("rev-parse", "HEAD"), dirty: false };
    expect(await codeState()).toEqual(state);
    writeFileSync(join(folder, "output.txt"), "not followed, and no program\n");
    expect(await codeState()).toEqual(state);
    writeFileSync(join(folder, "other.js"), "3;\n");
    expect(await codeState()).toEqual({ ...state, dirty: true });
  });
});
