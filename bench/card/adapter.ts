/** What the adapter says of itself. */

import { createRequire } from "node:module";
import { init } from "../../src/index.js";
import { gpu } from "../costs.js";
import { cardTitle, environment } from "../results.mjs";
import { matricesOf, openAdapter } from "./open.js";
import type { Part } from "./part.js";
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

export const adapterFacts: Part = async () => {
  const found = await openAdapter();
  if ("reason" in found) return { absent: found.reason };
  const { adapter, name, software } = found;
  const { info } = adapter;
  say(`## ${software ? REHEARSAL : cardTitle}\n`);
  const { version } = createRequire(import.meta.url)("webgpu/package.json");
  say(`${environment()} npm webgpu ${version} (Dawn).\n`);
  await init({ device: "webgpu" });
  const used = [...gpu().device.features].filter((feature) => feature !== "core-features-and-limits");
  const matrices = matricesOf(adapter).map(
    ({ componentType, resultComponentType, M, N, K }) =>
      `${M} x ${N} x ${K} ${componentType} to ${resultComponentType}`,
  );
  const { subgroupMinSize, subgroupMaxSize } = info;
  say(`- adapter: ${name}; ${info.description || info.device || "no description"}`);
  say(`- features that Tenon uses: ${used.sort().join(", ") || "none"}`);
  say(`- all features: ${[...adapter.features].sort().join(", ")}`);
  say(`- subgroups: ${subgroupMinSize ?? "?"} to ${subgroupMaxSize ?? "?"} threads`);
  say(`- subgroup matrices: ${matrices.join(", ") || "none"}`);
  say(`- limits: ${limits.map((limit) => `${limit} ${adapter.limits[limit]}`).join(", ")}`);
  return { small: software };
};
