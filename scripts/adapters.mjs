/**
 * `npm run test:adapters [-- <filter>]`: the WebGPU tests on other implementations than those of `npm test`, which are
 * Dawn and Chromium on SwiftShader. All other arguments are vitest's; with any, Deno is left out, whose one run is no test
 * of vitest's.
 *
 *   --offline     fetch nothing; what is not here is told as absent
 *   --apt         may install Firefox with apt-get where it is missing
 *
 * Firefox has another shader compiler (naga), JavaScript engine and implementation of WebGPU (wgpu): it runs all tests of
 * pages. lavapipe is Mesa's software driver, with shader-f16 and subgroups of eight (from 26 on subgroup matrices): Node
 * runs the tests of the device on it, which takes minutes of compiling. It is found where systems put it, or by
 * VK_DRIVER_FILES. Exits with 1 when a test fails, or when nothing was run.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { useSoftwareVulkan, vulkanLibraryPath } from "./browser.mjs";
import { buildIfStale } from "./build.mjs";
import { Absent, engines, fetchPackages, findFirefox, requireWebGpu } from "./firefox.mjs";
import { installIfNeeded, root } from "./install.mjs";

const given = process.argv.slice(2);
const [offline, apt] = ["--offline", "--apt"].map((flag) => given.includes(flag));
const rest = given.filter((arg) => arg !== "--offline" && arg !== "--apt");

const [passed, failed] = ["passed", "failed"];

/** The caller's, before the software GPU of `npm test` takes its place. */
const chosenDriver = process.env.VK_DRIVER_FILES;

/** Where systems list Vulkan drivers. */
const driverFolders = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];

function lavapipe() {
  const listed = driverFolders.flatMap((folder) =>
    existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [],
  );
  const driver = chosenDriver ?? listed.find((path) => /lvp_icd.*\.json$/.test(path));
  if (!driver) throw new Absent("no lavapipe (mesa-vulkan-drivers 24 or newer; VK_DRIVER_FILES names one elsewhere)");
  return vitest("lavapipe", { VK_DRIVER_FILES: driver });
}

async function firefox() {
  const missing = fetchPackages(offline);
  if (missing) throw new Absent(missing);
  findFirefox(apt && !offline);
  useSoftwareVulkan();
  await requireWebGpu();
  return vitest("firefox");
}

/** A run on Deno's own WebGPU. */
async function deno() {
  if (rest.length > 0) return "left out: its one run takes no filter";
  const missing = fetchPackages(offline);
  const program = join(engines, "node_modules/.bin/deno");
  if (missing || !existsSync(program)) throw new Absent(missing ?? "deno has no program for this system");
  await buildIfStale();
  useSoftwareVulkan();
  const options = JSON.stringify({ dist: `${pathToFileURL(join(root, "dist"))}/`, steps: 20 });
  return run(program, ["run", "--allow-all", "--no-lock", join(engines, "webgpu.js"), options], {
    LD_LIBRARY_PATH: vulkanLibraryPath(),
  });
}

/** Vitest succeeds where a filter leaves no test; its report tells. */
function vitest(mode, more = {}) {
  const folder = mkdtempSync(join(tmpdir(), "tenon-adapters-"));
  const report = join(folder, "report.json");
  const program = join(root, "node_modules/vitest/vitest.mjs");
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  try {
    const args = [program, "run", "--mode", mode, "--passWithNoTests", ...reporters, ...rest];
    const outcome = run(process.execPath, args, { ...more, REQUIRE_WEBGPU: "1" });
    if (outcome === failed) return failed;
    const { numPassedTests } = JSON.parse(readFileSync(report, "utf8"));
    return numPassedTests > 0 ? passed : `no test matches ${rest.join(" ")}`;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function run(program, args, more) {
  const env = { ...process.env, ...more };
  return spawnSync(program, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"], env }).status === 0
    ? passed
    : failed;
}

installIfNeeded();
const outcomes = {};
for (const [name, test] of Object.entries({ firefox, deno, lavapipe })) {
  console.log(`── ${name}`);
  try {
    outcomes[name] = await test();
  } catch (error) {
    if (!(error instanceof Absent)) throw error;
    outcomes[name] = `absent: ${error.message}`;
  }
}
for (const [name, outcome] of Object.entries(outcomes)) console.log(`${name}: ${outcome}`);
const all = Object.values(outcomes);
process.exit(all.includes(passed) && !all.includes(failed) ? 0 : 1);
