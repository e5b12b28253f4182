/** Code identity: the hash that the build writes into itself, and what it is taken over. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { beforeAll, expect, test } from "vitest";
import { buildHash } from "../../scripts/build.mjs";
import { BUILD_HASH } from "../../src/core/version.js";
import { builtDist } from "../setup/dist.js";

let dist: string;
beforeAll(async () => {
  dist = await builtDist();
}, 120_000);

/** What the build says of itself in the manifest of a run. */
async function told(): Promise<string> {
  const program = `
    import { MemoryStore, startRun } from ${JSON.stringify(pathToFileURL(join(dist, "node/runs.js")).href)};
    const run = await startRun({}, { store: new MemoryStore(), codeVersion: "1" });
    console.log((await run.finish()).package.buildHash);`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program]);
  return stdout.trim();
}

test("a manifest of the built package names its files, and the hash can be made again from them", async () => {
  const hash = await told();
  expect(hash).toMatch(/^[0-9a-f]{64}$/);
  // The place of the hash held a text when the hash was taken.
  const before = (path: string) => readFileSync(path, "utf8").replaceAll(hash, BUILD_HASH);
  expect(buildHash(before)).toBe(hash);
  expect(buildHash((path) => `${before(path)} `)).not.toBe(hash);
});

test("sources that run unbuilt, as in this test, say so", () => {
  expect(BUILD_HASH).toMatch(/^none: a source checkout/);
});
