/** Runs of users' own loops: the same folder, identity, metrics and checkpoints as those of `train`. */

import type { Checkpoint, FileContent } from "../artifacts/checkpoint.js";
import type { RunManifest } from "../artifacts/manifest.js";
import { safetensorsChunks, type TensorsToWrite, weightsHash } from "../artifacts/safetensors-write.js";
import { capabilities } from "../backend/devices.js";
import { isBytes } from "../core/bytes.js";
import { determinism } from "../core/determinism.js";
import { ConfigError, kindOf } from "../core/errors.js";
import { canonicalJson, parseJson } from "../core/json.js";
import { checkOptions } from "../core/options.js";
import { sha256Hex } from "../core/sha256.js";
import { codeOf } from "./code.js";
import { settingsDraft } from "./draft.js";
import { type Ending, RunRecorder } from "./recorder.js";
import { checkSinks, type Sink } from "./sinks.js";
import { type StoreOption, storeOf } from "./store.js";

export interface StartRunOptions extends StoreOption {
  readonly sinks?: readonly Sink[];
  /** Weights before the first step; they are part of the identity. */
  readonly weights?: TensorsToWrite;
  /** Fingerprint of the data (64 hex digits), or the data themselves as bytes or text. */
  readonly data?: string | Uint8Array;
  /**
   * What names your code. Without it the git commit does, where there is one and nothing was changed since; else the ID
   * is provisional, and says so.
   */
  readonly codeVersion?: string;
  /** Where the loop computes: the default device, and its numerics, unless told. */
  readonly device?: string;
  readonly numerics?: string;
}

/** A run in a user's hands. */
export interface StartedRun {
  /** `<runId>-<n>`. */
  readonly id: string;
  readonly runId: string;
  log(name: string, value: number, step: number): void;
  log(values: Readonly<Record<string, number>>, step: number): void;
  sample(step: number, text: string): void;
  /** Keeps weights (as `model.safetensors`) and any further files. */
  checkpoint(step: number, weights: TensorsToWrite, files?: Readonly<Record<string, FileContent>>): Promise<Checkpoint>;
  /** Ends the run; with `weights` their hash is the run's result. */
  finish(ending?: Partial<Omit<Ending, "finalWeights">> & { weights?: TensorsToWrite }): Promise<RunManifest>;
}

const HASH = /^[0-9a-f]{64}$/;

/** Starts a run for a loop of one's own. `config` is any JSON; its `seed`, if it has one, is the run's. */
export async function startRun(
  config: Readonly<Record<string, unknown>>,
  options: StartRunOptions = {},
): Promise<StartedRun> {
  const store = storeOf("startRun", options, ["sinks", "weights", "data", "codeVersion", "device", "numerics"]);
  const { sinks, weights = {}, data = "", codeVersion, ...told } = options;
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    throw new ConfigError(`startRun: needs a config object, got ${kindOf(config)}.`, { where: "startRun" });
  }
  checkSinks("startRun", sinks);
  if (typeof weights !== "object" || weights === null) {
    throw new ConfigError(`startRun: needs weights as tensors by name, got ${kindOf(weights)}.`, { where: "startRun" });
  }
  if (typeof data !== "string" && !isBytes(data)) {
    throw new ConfigError(`startRun: needs data as a fingerprint, text or bytes, got ${kindOf(data)}.`, {
      where: "startRun",
    });
  }
  // Within the limits that the manifest is read with.
  const plain = parseJson(canonicalJson(config, "startRun: config"), {
    where: "startRun: config",
    maxDepth: 60,
  }) as typeof config;
  const fingerprint = typeof data === "string" && HASH.test(data) ? data : sha256Hex(data);
  const machine = capabilities();
  const { device = machine.device, numerics = machine.numerics } = told;
  const { seed: given } = plain as { seed?: unknown };
  const seed = typeof given === "number" && Number.isSafeInteger(given) && given >= 0 ? given : 0;
  const asked = { seed, precision: "float32", device, numerics, deterministic: determinism() };
  const recorder = await RunRecorder.start(
    store,
    {
      ...settingsDraft(asked, { ...machine, device, numerics }, await weightsHash(weights)),
      ...(await codeOf("startRun", codeVersion)),
      config: plain,
      tokenizerHash: null,
      data: { fingerprint, sources: [], split: null },
      determinism: {
        promise: "device",
        statement: "The loop is the user's own: equal bits as far as its code is deterministic.",
      },
    },
    { sinks },
  );
  const { metrics, executionId, runId } = recorder;
  return {
    id: executionId,
    runId,
    log: metrics.log.bind(metrics) as StartedRun["log"],
    sample: (step, text) => metrics.sample(step, text),
    checkpoint: (step, tensors, files = {}) =>
      recorder.checkpoint(step, { ...files, "model.safetensors": safetensorsChunks(tensors) }),
    finish: async (given = {}) => {
      checkOptions("finish", given, ["weights", "status", "result", "wallClock"]);
      const { weights: final, ...ending } = given;
      const finalWeights = final && (await weightsHash(final));
      return recorder.finish({ status: "done", ...ending, ...(finalWeights && { finalWeights }) });
    },
  };
}
