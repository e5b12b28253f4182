// `npm run bench machine-code`: what the compiler of a graphics card's driver makes of the kernels, without the card. Needs
// Mesa's RADV before version 26, which plays any AMD card that RADV_FORCE_FAMILY names, a C compiler and Vulkan's headers
// (Debian 13: mesa-vulkan-drivers, libvulkan-dev, gcc). Nothing is executed, so no time is measured and all numbers read
// are zero. `--driver FILE` is the driver's description, `--family` the card, `--keep FILE` takes all that the driver wrote.
// `--nvidia FOLDER` asks NVIDIA's compiler in its place (machine-code/nvidia.mjs): the folder has ptxas and nvdisasm, which
// come with CUDA, with Triton too; spirv-cross and clang 19 are Debian's. What each step made stays in .cache/machine-code.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { bundle } from "./bundle.mjs";
import { nvidiaRow } from "./machine-code/nvidia.mjs";
import { row, tableHead } from "./tables.mjs";

const text = { type: "string" };
/** As `parseArgs` takes them. */
export const machineCodeOptions = {
  driver: { ...text, default: "/usr/share/vulkan/icd.d/radeon_icd.json" },
  family: { ...text, default: "navi31" },
  keep: text,
  nvidia: text,
  clang: { ...text, default: "clang-19" },
};

export async function machineCode({ driver, family, keep, nvidia, clang }) {
  if (!existsSync(driver)) {
    console.error(`bench machine-code: no driver at ${driver}; --driver names the description of Mesa's RADV.`);
    return;
  }
  const folder = resolve(".cache/machine-code");
  mkdirSync(folder, { recursive: true });
  const library = `${folder}/layer.so`;
  execFileSync("cc", ["-shared", "-fPIC", "-O1", "-w", "-o", library, "bench/machine-code/layer.c"], {
    stdio: "inherit",
  });
  const functions = { vkGetInstanceProcAddr: "layer_instance", vkGetDeviceProcAddr: "layer_device" };
  const layer = { name: "VK_LAYER_without_hardware", type: "GLOBAL", library_path: library, functions };
  const about = { api_version: "1.4.0", implementation_version: "1", description: "executes nothing" };
  writeFileSync(
    `${folder}/layer.json`,
    JSON.stringify({ file_format_version: "1.1.0", layer: { ...layer, ...about } }),
  );
  await bundle("bench/machine-code/program.ts", `${folder}/program.mjs`);
  const { stderr, status, signal } = spawnSync(process.execPath, [`${folder}/program.mjs`], {
    encoding: "utf8",
    maxBuffer: 2 ** 30,
    env: {
      ...process.env,
      ...{ VK_DRIVER_FILES: driver, VK_LAYER_PATH: folder, VK_INSTANCE_LAYERS: layer.name },
      ...{ RADV_FORCE_FAMILY: family, RADV_DEBUG: "shaders,shaderstats", MESA_SHADER_CACHE_DISABLE: "1" },
      ...(nvidia ? { TENON_SPIRV: folder } : {}),
    },
  });
  if (keep) writeFileSync(keep, stderr);
  if (status !== 0) {
    console.error(stderr.split("\n").slice(-20).join("\n"));
    console.error(`bench machine-code: ended with ${signal ?? status}.`);
    process.exitCode = 1;
  }
  if (nvidia) reportNvidia(stderr, { tools: nvidia, clang });
  else report(stderr);
}

function reportNvidia(written, tools) {
  for (const { title, kernels } of partsOf(written)) {
    console.log(`\n### ${title}\n`);
    let head;
    for (const kernel of kernels) {
      // The same code a second time is not made again.
      const spirv = /^spirv: (.+)$/m.exec(kernel.text)?.[1];
      if (!spirv) continue;
      try {
        const figures = nvidiaRow(kernel.name, spirv, tools);
        if (!head) console.log((head = tableHead(Object.keys(figures))));
        console.log(row(Object.values(figures)));
      } catch (error) {
        // Something that cuda.h does not know yet, say: the others are of use.
        const reason = /error: .*/.exec(error.message)?.[0] ?? error.message.split("\n")[0];
        console.error(`${kernel.name}: not compiled, ${reason} (${spirv})`);
        process.exitCode = 1;
      }
    }
  }
}

/** The driver's statistics by their names, and what is counted in the machine code. */
const statistics = {
  registers: "VGPRs",
  spilled: "Spilled VGPRs",
  "shared bytes": "LDS size",
  waves: "Subgroups per SIMD",
  instructions: "Instructions",
  latency: "Latency",
  "inverse throughput": "Inverse Throughput",
};
const counted = {
  "multiply-adds": /\bv_(dual_|pk_)?fma/,
  "matrix products": /\bv_s?wmma/,
  "reads of 4": /\bbuffer_load_(b32|dword\b|u16|d16|format)/,
  "of 8": /\bbuffer_load_(b64|dwordx2)/,
  "of 16 bytes": /\bbuffer_load_(b96|b128|dwordx[34])/,
  "waits for all": /s_waitcnt vmcnt\(0\)/,
  "shared reads": /\bds_(load|read)/,
};

/** What a driver wrote, by the parts of the program and their kernels. */
function partsOf(written) {
  const cut = (text, word) => text.split(`\n${word}: `).slice(1);
  const first = (text) => text.slice(0, text.indexOf("\n"));
  return cut(written, "part").map((part) => ({
    title: first(part),
    kernels: cut(part, "kernel").map((text) => ({ name: first(text), text })),
  }));
}

function report(written) {
  const names = ["kernel", "threads", ...Object.keys(statistics), ...Object.keys(counted)];
  for (const { title, kernels } of partsOf(written)) {
    console.log(`\n### ${title}\n`);
    console.log(tableHead(names));
    for (const { name, text } of kernels) {
      // The same code a second time is not written again.
      if (!text.includes("*** SHADER STATS ***")) continue;
      const code = text.slice(text.indexOf("\ndisasm:"), text.indexOf("*** SHADER STATS ***")).split("\n");
      const stat = (name) => new RegExp(`^${name}: (.+)$`, "m").exec(text)?.[1] ?? "–";
      const threads = /^workgroup_size: (\d+)/m.exec(text)?.[1] ?? "–";
      const counts = Object.values(counted).map((pattern) => String(code.filter((line) => pattern.test(line)).length));
      console.log(row([name, threads, ...Object.values(statistics).map(stat), ...counts]));
    }
  }
}
