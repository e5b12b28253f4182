/** The way to a card's driver, where the system does not lead there: containers often have its files and nothing more. */

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** What a process is started with so that it finds a driver, and what that is in words. */
export interface Way {
  readonly says: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Where Vulkan's loader looks for the descriptions of drivers, and where containers have those of NVIDIA. */
const standard = ["/etc/vulkan/icd.d", "/usr/local/etc/vulkan/icd.d", "/usr/share/vulkan/icd.d"];
const descriptions = [...standard, "/usr/local/share/vulkan/icd.d", "/usr/local/nvidia/share/vulkan/icd.d"];
const libraries = ["/usr/local/nvidia/lib64", "/usr/local/nvidia/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib64"];
/** Either has Vulkan in it; the first needs the libraries of X11, the second none of them. */
const drivers = ["libGLX_nvidia.so.0", "libEGL_nvidia.so.0"];
const loaderName = "libvulkan.so.1";

const described = (): string[] =>
  descriptions.flatMap((folder) =>
    existsSync(folder) ? readdirSync(folder, "utf8").map((name) => join(folder, name)) : [],
  );

/** Undefined where the dynamic linker finds a library and all that it needs, else its complaint. */
export function missing(library: string): string | undefined {
  const RTLD_NODELETE = 0x1000;
  try {
    process.dlopen({ exports: {} }, library, constants.dlopen.RTLD_NOW | RTLD_NODELETE);
    return undefined;
  } catch (error) {
    const { message } = error as Error;
    return /self-register/.test(message) ? undefined : message; // what is no addon of Node is loaded, and stays
  }
}

/** Vulkan's loader, where it is not found by its name: one that was brought along beside the program. */
function loader(): Record<string, string> {
  const brought = fileURLToPath(new URL(loaderName, import.meta.url));
  if (process.env["TENON_VULKAN_LOADER"] || !existsSync(brought) || !missing(loaderName)) return {};
  return { TENON_VULKAN_LOADER: brought };
}

/** What to try, in order: what the system says, then what lies there of NVIDIA's driver. */
export function ways(): Way[] {
  const base = loader();
  const first: Way = { says: "as the system says", env: base };
  if (process.platform !== "linux" || process.env["VK_DRIVER_FILES"] || process.env["VK_ICD_FILENAMES"]) return [first];
  const folders = libraries.filter((folder) => drivers.some((name) => existsSync(join(folder, name))));
  if (folders.length === 0 && !existsSync("/dev/nvidia0")) return [first];
  const path = [...folders, process.env["LD_LIBRARY_PATH"]].filter(Boolean).join(":");
  const way = (file: string, says: string): Way => ({
    says: `LD_LIBRARY_PATH=${path} VK_DRIVER_FILES=${says}`,
    env: { ...base, LD_LIBRARY_PATH: path, VK_DRIVER_FILES: file, VK_ICD_FILENAMES: file },
  });
  const written = (library: string): Way => {
    const file = join(mkdtempSync(join(tmpdir(), "tenon-driver-")), "nvidia.json");
    const folder = folders.find((folder) => existsSync(join(folder, library)));
    const library_path = folder ? join(folder, library) : library;
    writeFileSync(file, JSON.stringify({ file_format_version: "1.0.1", ICD: { library_path, api_version: "1.3.0" } }));
    return way(file, `a file that names ${library_path}`);
  };
  const theirs = described().filter((file) => /nvidia/i.test(file));
  return [first, ...theirs.map((file) => way(file, file)), ...drivers.map(written)];
}

/** What `nvidia-smi` says of the card, or undefined. It says nothing at all where it does not know a field. */
export function card(): { name: string; facts: string } | undefined {
  const known = "name,driver_version";
  for (const fields of [`${known},memory.total,clocks.max.sm,clocks.max.mem,power.limit,mig.mode.current`, known]) {
    const { stdout, status } = spawnSync("nvidia-smi", [`--query-gpu=${fields}`, "--format=csv,noheader"], {
      encoding: "utf8",
      timeout: 8000,
      killSignal: "SIGKILL",
    });
    const facts = status === 0 && stdout.split("\n")[0].trim();
    if (facts) return { name: facts.split(",")[0], facts: `${facts} (${fields})` };
  }
  return undefined;
}

/** Why there may be no card: what is there of the way to it, and what to do about what is not. */
export function diagnosis(): string[] {
  const lacking = missing(process.env["TENON_VULKAN_LOADER"] || loaderName);
  const files = described();
  const contents = (file: string) => {
    try {
      return /"library_path"\s*:\s*"([^"]*)"/.exec(readFileSync(file, "utf8"))?.[1] ?? "names no library";
    } catch (error) {
      return String(error);
    }
  };
  const names = existsSync("/dev") ? readdirSync("/dev").filter((name) => /^(nvidia|dri$|dxg$)/.test(name)) : [];
  const variables = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "LD_LIBRARY_PATH", "TENON_VULKAN_LOADER"];
  return [
    lacking
      ? `Vulkan's loader: ${lacking}. Put ${loaderName} beside this program (\`--bundle\` of a .tgz does), or install libvulkan1.`
      : "Vulkan's loader: found",
    ...(files.length > 0
      ? files.map((file) => `driver described by ${file}: ${contents(file)}`)
      : [`driver: none is described in ${descriptions.join(", ")}; name one by VK_DRIVER_FILES`]),
    ...drivers.map((name) => `${name}: ${missing(name) ?? "found, with all that it needs"}`),
    `devices: ${names.map((name) => `/dev/${name}`).join(", ") || "no /dev/nvidia*, no /dev/dri: no card is handed in"}`,
    `nvidia-smi: ${card()?.facts ?? "absent, or it fails"}`,
    `environment: ${variables.map((name) => `${name}=${process.env[name] ?? ""}`).join(" ")}`,
    "An NVIDIA container hands in the libraries of Vulkan where NVIDIA_DRIVER_CAPABILITIES names graphics, or is all.",
  ];
}
