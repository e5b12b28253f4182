/**
 * A browser and a software GPU for tests, out of the npm package `@sparticuz/chromium`; no system package needed.
 * The archives are read directly: the package's own code asks for a newer Node and for flags we do not want.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync } from "node:zlib";

const root = fileURLToPath(new URL("..", import.meta.url));
const source = join(root, "node_modules/@sparticuz/chromium");

/**
 * An option of Dawn, in Node and in the browser: workgroup memory is cleared by a loop. Left to the driver, SwiftShader
 * compiles a store for each of its numbers, which takes most of the time of a kernel that has some.
 */
export const quickToCompile = "disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension";

/** Software WebGPU on; everything that would reach the network off, name look-ups included. */
const args = [
  "--no-sandbox",
  "--enable-unsafe-webgpu",
  `--${quickToCompile}`,
  "--no-first-run",
  "--no-pings",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-default-apps",
  "--disable-domain-reliability",
  "--disable-sync",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
];

/** Headers that isolate a page from other origins, so that it has threads. */
export const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/** Browsers that people have installed, for hosts that the packaged one does not run on. */
const installed = [
  "/usr/bin/google-chrome",
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
];

/** Folder with the unpacked browser, or null where it does not run (anything but Linux on x86-64). */
export function unpackedBrowser() {
  if (process.platform !== "linux" || process.arch !== "x64" || !existsSync(source)) return null;
  const { version } = JSON.parse(readFileSync(join(source, "package.json"), "utf8"));
  const folder = join(root, ".cache", `chromium-${version}`);
  if (existsSync(folder)) return folder;

  // Built aside and renamed: another process sees the whole folder or none.
  mkdirSync(dirname(folder), { recursive: true });
  const building = mkdtempSync(`${folder}-`);
  const archive = (name) => brotliDecompressSync(readFileSync(join(source, "bin", name)));
  for (const name of ["swiftshader.tar.br", "fonts.tar.br", "al2023.tar.br"]) untar(archive(name), building);
  writeFileSync(join(building, "chromium"), archive("chromium.br"), { mode: 0o755 });
  writeFileSync(join(building, "fonts.conf"), fontsConf(join(folder, "fonts")));
  try {
    renameSync(building, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
    rmSync(building, { recursive: true }); // another process was first
  }
  return folder;
}

/**
 * How to launch the browser for tests, or null when there is none: `CHROME_PATH`, else the packaged one, else an
 * installed one. The result fits playwright's `chromium.launch()`.
 */
export function browserLaunch() {
  const chosen = process.env.CHROME_PATH;
  if (chosen) return { executablePath: chosen, args };
  const folder = unpackedBrowser();
  if (folder) {
    const env = { ...process.env, LD_LIBRARY_PATH: join(folder, "lib"), FONTCONFIG_PATH: folder };
    return { executablePath: join(folder, "chromium"), args, env };
  }
  const executablePath = installed.find((path) => existsSync(path));
  return executablePath ? { executablePath, args } : null;
}

/**
 * Points the Vulkan loader at the software GPU, unless `VK_DRIVER_FILES` names another driver. Must run in the main
 * process: workers' `process.env` is a copy.
 */
export function useSoftwareVulkan() {
  const folder = unpackedBrowser();
  if (!folder) return;
  process.env.VK_DRIVER_FILES ||= join(folder, "vk_swiftshader_icd.json");
  process.env.VK_ICD_FILENAMES = process.env.VK_DRIVER_FILES;
  process.env.TENON_VULKAN_LOADER = join(folder, "libvulkan.so.1");
}

/** `LD_LIBRARY_PATH` for programs that look for Vulkan's loader by name, Deno and Firefox: the one of the software GPU first. */
export function vulkanLibraryPath() {
  const loader = process.env.TENON_VULKAN_LOADER;
  return [loader && dirname(loader), process.env.LD_LIBRARY_PATH].filter(Boolean).join(delimiter);
}

const fontsConf = (folder) => `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>${folder}</dir><cachedir>${folder}/cache</cachedir></fontconfig>
`;

/** Unpacks regular files of a POSIX tar: 512-byte headers, name at 0, mode at 100, size at 124 (octal), type at 156. */
function untar(bytes, folder) {
  const field = (at, length) =>
    bytes
      .toString("latin1", at, at + length)
      .replace(/\0.*/s, "")
      .trim();
  for (let at = 0; at + 512 <= bytes.length && bytes[at] !== 0; ) {
    const size = Number.parseInt(field(at + 124, 12), 8);
    const path = join(folder, field(at, 100));
    if (field(at + 156, 1) === "0") {
      mkdirSync(dirname(path), { recursive: true });
      const mode = Number.parseInt(field(at + 100, 8), 8);
      writeFileSync(path, bytes.subarray(at + 512, at + 512 + size), { mode });
    }
    at += 512 + Math.ceil(size / 512) * 512;
  }
}
