/** `tenon doctor`: what this machine offers, and why anything is missing. */

import { capabilities, init } from "../backend/devices.js";
import { showBytes } from "../backend/storage.js";
import { type FoundAdapter, factsOf, findAdapter, usedFeatures } from "../backend/webgpu/adapter.js";
import { platform } from "../core/platform.js";
import { VERSION } from "../core/version.js";
import "../node/platform.js";
import { usage, withArguments } from "./arguments.js";
import type { Io } from "./io.js";
import { facts, linesOf, widthOf } from "./layout.js";

const table = usage({
  name: "doctor",
  operands: "",
  count: [0, 0],
  about: "Says which devices there are, what they can do, and why anything is missing.",
  options: {},
});

export const run = withArguments(table, async ({ values }, io: Io) => {
  await init({ engineFlags: true });
  const found = capabilities();
  const { cores } = platform();
  const card = await findAdapter();
  if (values.json) {
    io.json({ version: VERSION, cores, ...found, webgpu: "reason" in card ? card : factsOf(card) });
    return 0;
  }
  const { environment } = found;
  const rows: [string, string][] = [
    ["tenon", VERSION],
    ...Object.entries(environment),
    ["cores", String(cores)],
    ["device", `${found.device} (${found.reason})`],
    ["threads", String(found.threads)],
    ["SIMD", yes(found.simd)],
    ["fused multiply-add", yes(found.fusedMultiplyAdd)],
    ["numerics", found.numerics],
    ["largest memory", showBytes(found.maxMemory)],
    ["shared memory", yes(found.crossOriginIsolated)],
    ...("reason" in card ? [] : rowsOf(card)),
  ];
  for (const line of facts(rows, widthOf(io))) io.out(line);
  io.out("");
  if (found.missing.length === 0) io.out("Nothing is missing.");
  else {
    io.out("Missing:");
    for (const reason of found.missing) for (const line of linesOf(reason, widthOf(io) - 2)) io.out(`  ${line}`);
  }
  return 0;
});

/** The graphics card, also one that `auto` passes by. */
function rowsOf(card: FoundAdapter): [string, string][] {
  const { software, features, limits } = factsOf(card);
  const sizes = [
    `${showBytes(limits.maxBufferSize)} in one buffer`,
    `${showBytes(limits.maxStorageBufferBindingSize)} in one binding`,
    `${limits.maxStorageBuffersPerShaderStage} bindings in one kernel`,
    `${showBytes(limits.maxComputeWorkgroupStorageSize)} in one workgroup`,
  ];
  const present = usedFeatures.filter((feature) => features.includes(feature));
  const absent = usedFeatures.filter((feature) => !features.includes(feature));
  return [
    ["WebGPU adapter", `${card.name}${software ? " (a processor; only where webgpu is asked for by name)" : ""}`],
    ["WebGPU features", [...present, ...absent.map((feature) => `no ${feature}`)].join(", ")],
    ["WebGPU limits", sizes.join(", ")],
  ];
}

const yes = (holds: boolean): string => (holds ? "yes" : "no");
