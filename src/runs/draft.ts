/** The manifest of a run as far as it is known before the first step. */

import type { Capabilities } from "../backend/report.js";
import { BUILD_HASH, VERSION } from "../core/version.js";
import type { TrainingConfig } from "./config.js";
import { hashedConfig } from "./identity.js";
import { promiseOf } from "./promise.js";
import type { RunDraft } from "./recorder.js";
import type { Setup } from "./task.js";

/** In words, where a manifest names another build of this version than the one at work. */
export function otherBuild({ package: { version, buildHash } }: Pick<RunDraft, "package">): string[] {
  if (version !== VERSION || buildHash === undefined || buildHash === BUILD_HASH) return [];
  const name = (hash: string) => (/^[0-9a-f]{64}$/.test(hash) ? `${hash.slice(0, 12)}…` : hash);
  return [`another build of tenon ${VERSION}: it was ${name(buildHash)}, this is ${name(BUILD_HASH)}`];
}

/** What settings and device say, whatever is trained. */
export function settingsDraft(
  config: Pick<TrainingConfig, "seed" | "deterministic"> & Record<"precision" | "device" | "numerics", string>,
  {
    device,
    numerics,
    ...machine
  }: Pick<Capabilities, "threads" | "simd" | "fusedMultiplyAdd" | "missing" | "environment"> &
    Record<"device" | "numerics", string>,
  initialWeights: string,
) {
  const { threads, simd, fusedMultiplyAdd, missing, environment } = machine;
  return {
    package: { name: "tenon", version: VERSION, buildHash: BUILD_HASH },
    initialWeights,
    seed: config.seed,
    numerics,
    precision: config.precision,
    device,
    asked: { device: config.device, numerics: config.numerics, deterministic: config.deterministic },
    environment: { ...environment, threads, simd, fusedMultiplyAdd, missing },
    determinism: promiseOf(device, numerics),
  };
}

/** The draft of a run that a config describes whole. */
export function configDraft(
  config: TrainingConfig,
  { hashed, tokenizerHash, fingerprint, sources }: Setup,
  capabilities: Capabilities,
  initialWeights: string,
): RunDraft {
  const { device, numerics } = capabilities;
  return {
    ...settingsDraft(config, capabilities, initialWeights),
    config: hashedConfig(config, { device, numerics, tokenizerHash, ...hashed }),
    tokenizerHash,
    data: { fingerprint, sources, split: config.data.split },
  };
}
