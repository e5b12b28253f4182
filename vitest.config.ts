import { availableParallelism } from "node:os";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig, type TestProjectInlineConfiguration } from "vitest/config";
import { browserLaunch, isolation, useSoftwareVulkan } from "./scripts/browser.mjs";
import { firefox } from "./scripts/firefox-provider.mjs";
import { aliases } from "./tests/setup/aliases.js";

/** Set here, in the main process: what test workers set in `process.env` never reaches a driver. */
useSoftwareVulkan();
const launchOptions = browserLaunch();
const args = launchOptions?.args ?? [];
if (!launchOptions) {
  const problem = "no browser: set CHROME_PATH to a Chrome or Chromium, or install one";
  if (process.env["REQUIRE_WEBGPU"] === "1") throw new Error(problem);
  console.warn(`skipping browser tests: ${problem}`);
}

/** After each test, in Node and in pages; it asks for the garbage collector. */
const memoryCheck = "tests/setup/memory.ts";

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
    setupFiles: [memoryCheck],
    browser: {
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
  testTimeout: number,
  isolate = true,
): TestProjectInlineConfiguration => ({
  resolve: { alias: aliases("node") },
  test: {
    name,
    include,
    isolate,
    exclude: ["tests/browser/**"],
    environment: "node",
    testTimeout,
    hookTimeout: testTimeout,
    setupFiles: [memoryCheck],
    execArgv: ["--expose-gc"],
  },
});

/**
 * What these folders test keeps nothing in the process, so their files share one, which spares loading all of it for each
 * file. Others open and lose devices, or ask what is told once.
 */
const stateless = "artifacts|core|data|models|nn|ops|optim|tokenizers";
const everyday = [
  nodeProject("node", [`tests/!(long|${stateless})/**/*.test.ts`], 60_000),
  nodeProject("stateless", [`tests/@(${stateless})/**/*.test.ts`], 60_000, false),
  ...(launchOptions ? [browserProject("chromium", true), browserProject("chromium-plain", false)] : []),
];

/** `npm run test:long`: kill loops, fuzzing, huge files, thousands of steps. */
const long = [nodeProject("long", ["tests/long/**/*.test.ts"], 3_600_000)];

/** `npm run test:adapters`: other implementations of WebGPU than those of `npm test`. Compiling takes them long. */
const onDevice = ["backend/webgpu/*", "cli/webgpu", "runs/device-loss", "long/webgpu"];
const lavapipe = [
  nodeProject(
    "lavapipe",
    onDevice.map((path) => `tests/${path}.test.ts`),
    600_000,
  ),
];
const otherBrowser = [browserProject("firefox", true, "firefox")];

/** Two files at a time on two cores as well: much of a test is waiting for processes, pages and compilers. */
const maxWorkers = Math.max(2, availableParallelism() - 1);

export default defineConfig(({ mode }) => ({
  test: { maxWorkers, projects: { long, lavapipe, firefox: otherBrowser }[mode] ?? everyday },
}));
