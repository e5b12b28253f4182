/**
 * Firefox, the second engine: the system's own, driven over WebDriver BiDi, which needs no patched build. Its driver is
 * a package of `engines/`, which `npm test` does not need.
 */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";
import { pathToFileURL } from "node:url";
import { vulkanLibraryPath } from "./browser.mjs";
import { root } from "./install.mjs";

export const engines = join(root, "engines");

/** Why an engine is not here: no failure. */
export class Absent extends Error {}

/** Installs what `engines/package.json` names. Returns the reason when that was not possible. */
export function fetchPackages(offline) {
  if (existsSync(join(engines, "node_modules", ".package-lock.json"))) return undefined;
  if (offline) return "not installed, and --offline forbids it";
  console.error("Installing Bun, Deno and a driver for Firefox into engines/ …");
  try {
    const shell = process.platform === "win32";
    execFileSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: engines, stdio: ["ignore", 2, 2], shell });
  } catch {
    return "npm ci in engines/ failed, see above";
  }
}

/** The path of Firefox; with `apt` it is installed where it is missing. Throws `Absent`. */
export function findFirefox(apt = false) {
  const places = [
    process.env.FIREFOX_PATH,
    ...["firefox-esr", "firefox"].flatMap((name) => process.env.PATH.split(delimiter).map((dir) => join(dir, name))),
    "/Applications/Firefox.app/Contents/MacOS/firefox",
    "C:\\Program Files\\Mozilla Firefox\\firefox.exe",
  ];
  const found = () => places.find((path) => path && existsSync(path));
  if (!found() && apt)
    execFileSync("apt-get", ["install", "-y", "--no-install-recommends", "firefox-esr"], { stdio: ["ignore", 2, 2] });
  const path = found();
  if (!path) throw new Absent("no Firefox (set FIREFOX_PATH, or pass --apt to install firefox-esr)");
  return path;
}

/** Starts Firefox without a window; `options` are puppeteer's. */
export async function launchFirefox(options = {}) {
  const require = createRequire(join(engines, "package.json"));
  const { default: puppeteer } = await import(pathToFileURL(require.resolve("puppeteer-core")).href);
  return puppeteer.launch({
    browser: "firefox",
    executablePath: findFirefox(),
    headless: true,
    protocolTimeout: 600_000,
    ...options,
  });
}

/** Starts it with WebGPU switched on, on the Vulkan driver of the environment. */
export function launchWithWebGpu() {
  return launchFirefox({
    env: { ...process.env, LD_LIBRARY_PATH: vulkanLibraryPath() },
    extraPrefsFirefox: { "dom.webgpu.enabled": true, "gfx.webgpu.ignore-blocklist": true },
  });
}

/** Throws `Absent` where the Firefox here has no WebGPU, whatever is switched on: it came later on Linux. */
export async function requireWebGpu() {
  const server = createServer((_, response) => response.end()).listen(0, "localhost");
  await once(server, "listening");
  const browser = await launchWithWebGpu();
  try {
    const page = await browser.newPage();
    await page.goto(`http://localhost:${server.address().port}`);
    const refusal = await page.evaluate(async () => {
      try {
        return (await navigator.gpu.requestAdapter()) ? "" : "no adapter";
      } catch (error) {
        return error.message;
      }
    });
    if (refusal) throw new Absent(`${await browser.version()} has no WebGPU (${refusal}); FIREFOX_PATH names another`);
  } finally {
    await browser.close();
    server.close();
  }
}
