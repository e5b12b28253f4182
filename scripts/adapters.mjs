/**
 * `npm run test:adapters [-- <filter>]`: the WebGPU tests on other implementations than those of `npm test`, which are
 * Dawn and Chromium on SwiftShader. All other arguments are vitest's.
 *
 *   --offline     fetch nothing; what is not here is told as absent
 *   --apt         may install Firefox with apt-get where it is missing
 *
 * Firefox has another shader compiler (naga), JavaScript engine and implementation of WebGPU (wgpu): it runs all tests of
 * pages. lavapipe is Mesa's software driver, with shader-f16 and subgroups of eight: Node runs the tests of the device on
 * it, which takes minutes of compiling. It is found where systems put it, or by VK_DRIVER_FILES. Exits with 1 when a test
 * fails, or when nothing could be run.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Absent, fetchPackages, findFirefox } from "./firefox.mjs";
import { installIfNeeded, root } from "./install.mjs";

const given = process.argv.slice(2);
const [offline, apt] = ["--offline", "--apt"].map((flag) => given.includes(flag));
const rest = given.filter((arg) => arg !== "--offline" && arg !== "--apt");

/** Where systems list Vulkan drivers. */
const driverFolders = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];

function lavapipe() {
  const listed = driverFolders.flatMap((folder) =>
    existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [],
  );
  const driver = process.env.VK_DRIVER_FILES ?? listed.find((path) => /lvp_icd.*\.json$/.test(path));
  if (!driver) throw new Absent("no lavapipe (mesa-vulkan-drivers 24 or newer; VK_DRIVER_FILES names one elsewhere)");
  return { VK_DRIVER_FILES: driver };
}

function firefox() {
  const missing = fetchPackages(offline);
  if (missing) throw new Absent(missing);
  findFirefox(apt && !offline);
  return {};
}

installIfNeeded();
const outcomes = [];
for (const [mode, prepare] of Object.entries({ firefox, lavapipe })) {
  console.log(`── ${mode}`);
  try {
    const env = { ...process.env, ...prepare(), REQUIRE_WEBGPU: "1" };
    const vitest = join(root, "node_modules/vitest/vitest.mjs");
    const args = [vitest, "run", "--mode", mode, "--passWithNoTests", ...rest];
    const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"], env });
    outcomes.push([mode, status === 0 ? "passed" : "failed"]);
  } catch (error) {
    if (!(error instanceof Absent)) throw error;
    outcomes.push([mode, `absent: ${error.message}`]);
  }
}
for (const [mode, outcome] of outcomes) console.log(`${mode}: ${outcome}`);
const ran = outcomes.filter(([, outcome]) => !outcome.startsWith("absent"));
process.exit(ran.length > 0 && ran.every(([, outcome]) => outcome === "passed") ? 0 : 1);
