/** What the adapter says of itself. */

import { createRequire } from "node:module";
import { init } from "../../src/index.js";
import { gpu } from "../costs.js";
import { cardTitle, environment } from "../results.mjs";
import { nominalOf } from "./cards.js";
import { card } from "./driver.js";
import { matricesOf, openAdapter } from "./open.js";
import { type Part, tell } from "./part.js";
import { REHEARSAL, say } from "./report.js";

const limits = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupsPerDimension",
] as const;

/** Put in when the program is bundled. */
declare const __MADE_OF__: string;

export const adapterFacts: Part = async ({ software, nominal }) => {
  const found = await openAdapter();
  if ("reason" in found) return tell({ absent: found.reason });
  const { adapter, name, software: small } = found;
  if (small && !software)
    return tell({ absent: `the only adapter is a processor, ${name} (\`--software\` rehearses on it)` });
  const { info } = adapter;
  say(`## ${small ? REHEARSAL : cardTitle}\n`);
  const { version } = createRequire(import.meta.url)("webgpu/package.json");
  say(`${environment()} npm webgpu ${version} (Dawn). ${__MADE_OF__}.\n`);
  await init({ device: "webgpu" });
  const used = [...gpu().device.features].filter((feature) => feature !== "core-features-and-limits");
  const matrices = matricesOf(adapter).map(
    ({ componentType, resultComponentType, M, N, K }) =>
      `${M} x ${N} x ${K} ${componentType} to ${resultComponentType}`,
  );
  const { subgroupMinSize, subgroupMaxSize } = info;
  const words = [info.device, info.description].filter(Boolean).join("; ");
  const smi = small ? undefined : card();
  const known = small ? undefined : nominalOf(info.device, info.description, smi?.name);
  say(`- adapter: ${name}; ${words || "no description"}`);
  if (smi) say(`- nvidia-smi: ${smi.facts}`);
  const own = Object.values(nominal).some((value) => value !== undefined);
  say(`- nominal: ${own ? "as given, else " : ""}${known?.title ?? "unknown card (`--peak-tflops`, …)"}`);
  say(`- features that Tenon uses: ${used.sort().join(", ") || "none"}`);
  say(`- all features: ${[...adapter.features].sort().join(", ")}`);
  say(`- subgroups: ${subgroupMinSize ?? "?"} to ${subgroupMaxSize ?? "?"} threads`);
  say(`- subgroup matrices: ${matrices.join(", ") || "none"}`);
  say(`- limits: ${limits.map((limit) => `${limit} ${adapter.limits[limit]}`).join(", ")}`);
  tell({ small, nominal: known?.roofs });
};
