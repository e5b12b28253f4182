/**
 * `npm test`: everything a clone needs to be proven right. Installs, type-checks, lints, builds, runs all tests in
 * Node and in a browser, names the slowest files, and ends with the line `N passed, N failed, N skipped`.
 * `npm test -- <filter>` runs only matching tests (any vitest arguments), without the checks.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { installIfNeeded, root } from "./install.mjs";
import { summaryFile } from "./reporter.mjs";

/** The whole of it, installation aside, is to fit in this time on two quiet cores; slower machines are told. */
const aimSeconds = 350;
/** More than this fails, where somebody says so. */
const limitSeconds = Number(process.env.TENON_TEST_SECONDS ?? 0);
const filter = process.argv.slice(2);

const checks = {
  types: ["typescript/bin/tsc", "--noEmit"],
  lint: ["@biomejs/biome/bin/biome", "check", "."],
  build: ["../scripts/build.mjs"],
};
const vitest = ["vitest/vitest.mjs", "run", "--reporter=default", "--reporter=./scripts/reporter.mjs", ...filter];

/** Runs a script of `node_modules`; its output is ours. True when it succeeds. What hangs is ended after half an hour. */
function run(script, ...args) {
  const { status, error } = spawnSync(process.execPath, [join(root, "node_modules", script), ...args], {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
    timeout: 1_800_000,
  });
  if (error) console.error(String(error));
  return status === 0;
}

let problems = 0;
const problem = (text) => {
  problems++;
  console.error(`npm test: ${text}`);
};

try {
  installIfNeeded();
} catch (error) {
  problem(error.message);
  console.log("0 passed, 1 failed, 0 skipped");
  process.exit(1);
}
const started = performance.now();

if (filter.length === 0)
  for (const [name, command] of Object.entries(checks)) {
    console.log(`── ${name}`);
    if (!run(...command)) problem(`${name} failed`);
  }

rmSync(summaryFile, { force: true });
const passed = run(...vitest);
const summary = readSummary();
for (const skip of summary.skips) console.log(`skipped: ${skip}`);
console.log("The ten slowest test files:");
for (const { name, seconds } of summary.files.sort((a, b) => b.seconds - a.seconds).slice(0, 10))
  console.log(`${seconds.toFixed(1).padStart(7)} s  ${name}`);
if (!passed && summary.failed === 0) problem("the test runner failed; see above");

const seconds = (performance.now() - started) / 1000;
const more = seconds > aimSeconds ? `, more than the ${aimSeconds} s that two quiet cores are to need` : "";
console.log(`Took ${seconds.toFixed(0)} s${more}.`);
if (limitSeconds > 0 && seconds > limitSeconds)
  problem(`took ${seconds.toFixed(0)} s, the limit is ${limitSeconds} s (TENON_TEST_SECONDS)`);

const failed = summary.failed + problems;
process.exitCode = failed > 0 ? 1 : 0;
console.log(`${summary.passed} passed, ${failed} failed, ${summary.skipped} skipped`);

function readSummary() {
  try {
    return JSON.parse(readFileSync(summaryFile, "utf8"));
  } catch {
    return { passed: 0, failed: 0, skipped: 0, skips: [], files: [] };
  }
}
