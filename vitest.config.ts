import { execFileSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig, type TestProjectInlineConfiguration } from "vitest/config";
import { browserLaunch, isolation, useSoftwareVulkan } from "./scripts/browser.mjs";
import { firefox } from "./scripts/firefox-provider.mjs";
import { aliases } from "./tests/setup/aliases.js";

/** Set here, in the main process: what test workers set in `process.env` never reaches a driver. */
useSoftwareVulkan();
// The C library keeps what it was given back: shader compilers free it and want it again all the time, and each page
// that is new costs a fault, which virtual machines make dear.
process.env["GLIBC_TUNABLES"] ??= ["trim_threshold=268435456", "mmap_threshold=33554432", "top_pad=4194304"]
  .map((tunable) => `glibc.malloc.${tunable}`)
  .join(":");
const launchOptions = browserLaunch();
const args = launchOptions?.args ?? [];
if (!launchOptions) {
  const problem = "no browser: set CHROME_PATH to a Chrome or Chromium, or install one";
  if (process.env["REQUIRE_WEBGPU"] === "1") throw new Error(problem);
  console.warn(`skipping browser tests: ${problem}`);
}

/**
 * Most test workers are processes of a few seconds: what V8 would optimize has mostly run its course before it is done.
 * Later engines (Node 24) do not know the flag, and refuse to start with it.
 */
const optimizeLate = execFileSync(process.execPath, ["--v8-options"], { encoding: "utf8" }).includes(
  "--interrupt-budget ",
)
  ? ["--interrupt-budget=2000000"]
  : [];

const testFiles = (paths: string[]) => paths.map((path) => `tests/${path}.test.ts`);

/** In Node and in pages; the check of memory asks for the garbage collector. */
const setupFiles = ["tests/setup/memory.ts", "tests/setup/state.ts"];

/** The browser of `npm test`. */
const chromium = () => playwright({ launchOptions: { ...launchOptions, args: [...args, "--js-flags=--expose-gc"] } });

/** Tests in a real browser; `isolated` pages have SharedArrayBuffer and threads, the others do not. */
const browserProject = (
  name: string,
  isolated: boolean,
  browser: "chromium" | "firefox" = "chromium",
): TestProjectInlineConfiguration => ({
  cacheDir: `node_modules/.vite/${name}`,
  resolve: { alias: aliases("web") },
  server: { headers: isolated ? isolation : {} },
  define: { __ISOLATED__: isolated },
  test: {
    name: `pages of ${name}`,
    include: ["tests/browser/**/*.test.ts"],
    // Chromium's shader compiler is the one that Node's tests ask.
    exclude: browser === "chromium" ? ["tests/browser/shaders.test.ts"] : [],
    testTimeout: 60_000,
    setupFiles,
    // After all of Node's: on two cores at once, both need longer than one after the other.
    sequence: { groupOrder: 1 },
    browser: {
      isolate: false,
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: browser === "firefox" ? firefox() : chromium(),
      instances: [{ browser, name }],
    },
  },
});

const nodeProject = (
  name: string,
  include: string[],
  {
    exclude = [],
    testTimeout = 60_000,
    isolate = true,
  }: { exclude?: string[]; testTimeout?: number; isolate?: boolean },
): TestProjectInlineConfiguration => ({
  resolve: { alias: aliases("node") },
  test: {
    name,
    include: testFiles(include),
    exclude: testFiles(exclude),
    isolate,
    environment: "node",
    testTimeout,
    hookTimeout: testTimeout,
    setupFiles,
    execArgv: ["--expose-gc", ...optimizeLate],
  },
});

/** What opens WebGPU devices, loses them and changes their limits. */
const onDevice = ["backend/webgpu/*", "cli/webgpu", "runs/device-loss"];
/** Beside them, what asks for devices anew, what is told once in a process, and what puts itself between modules. */
const alone = [...onDevice, "backend/devices", "tensor/determinism", "package/one-at-a-time"];
/** All other files share processes, which spares each of them loading everything again. */
const everyday = [
  nodeProject("node", ["**/*"], { exclude: [...alone, "browser/**", "long/**"], isolate: false }),
  nodeProject("alone", alone, {}),
  ...(launchOptions ? [browserProject("chromium", true), browserProject("chromium-plain", false)] : []),
];

/** `npm run test:long`: kill loops, fuzzing, huge files, thousands of steps. */
const long = [nodeProject("long", ["long/**/*"], { testTimeout: 3_600_000 })];

/** `npm run test:adapters`: other implementations of WebGPU than those of `npm test`. Compiling takes them long. */
const lavapipe = [nodeProject("lavapipe", [...onDevice, "long/webgpu"], { testTimeout: 600_000 })];
const otherBrowser = [browserProject("firefox", true, "firefox")];

/** Two files at a time on two cores as well: much of a test is waiting for processes, pages and compilers. */
const maxWorkers = Math.max(2, availableParallelism() - 1);

export default defineConfig(({ mode }) => ({
  test: { maxWorkers, projects: { long, lavapipe, firefox: otherBrowser }[mode] ?? everyday },
}));
