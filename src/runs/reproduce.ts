/**
 * A run made again from nothing but its manifest: what someone else claims, checked here. Where the whole run is at hand,
 * `replay` compares more (every step).
 */

import { checkManifest, type RunManifest } from "../artifacts/manifest.js";
import { RunError } from "../core/errors.js";
import { checkClock, checkOptions } from "../core/options.js";
import type { RunStore } from "../core/store.js";
import { VERSION } from "../core/version.js";
import type { TrainingConfigInput } from "./config.js";
import type { TrainingEvent } from "./events.js";
import { loadRun } from "./list.js";
import { MemoryStore } from "./memory-store.js";
import { train } from "./train.js";
import { otherInputs, relativeDifference, type Verdict } from "./verdict.js";

export interface ReproduceOptions {
  /** The data, where the manifest names them by their hash: a path, URL, Blob or File, or several in order. */
  readonly data?: string | URL | Blob | readonly (string | URL | Blob)[];
  /** Told of everything that happens. */
  readonly onEvent?: (event: TrainingEvent) => void;
  readonly threads?: number;
  readonly clock?: () => number;
  /** Where the new run is kept; nowhere unless given. */
  readonly store?: RunStore;
}

export interface Reproduction {
  readonly verdict: Verdict;
  /** One sentence: the verdict with its figures. */
  readonly statement: string;
  readonly expected: { readonly weightsHash: string | null; readonly result: Readonly<Record<string, unknown>> };
  readonly got: { readonly weightsHash: string | null; readonly result: Readonly<Record<string, unknown>> };
  /** The run that was made here. */
  readonly executionId: string;
}

/** The config that a manifest stands for; data named by hash are those given. Throws RunError where that is not enough. */
function configFromManifest(manifest: RunManifest, data?: ReproduceOptions["data"]): TrainingConfigInput {
  const refuse = (why: string, hint: string): never => {
    throw new RunError(`${manifest.executionId}: cannot be made again, ${why}.`, { where: manifest.executionId, hint });
  };
  if (manifest.code)
    refuse("it was made by code, not by a config", "Run that code again and compare with `tenon runs compare`.");
  if (manifest.provisional) refuse(manifest.provisional, "Only runs made from a config can.");
  if (manifest.status !== "done" || manifest.finalWeights === null)
    refuse(`it is ${manifest.status} and has no final weights`, "Finish it first (tenon train --resume).");
  if (manifest.package.version !== VERSION)
    refuse(
      `it was made by tenon ${manifest.package.version}, this is ${VERSION}`,
      "Use that version; others make no promise.",
    );
  const { tokenizer, ...others } = manifest.config;
  // Null stands for a run in which no tokenizer took part: of a table, or of ids.
  const config = (tokenizer === null ? others : manifest.config) as unknown as TrainingConfigInput & {
    data: Record<string, unknown>;
  };
  if (typeof config.tokenizer === "string" && config.tokenizer.startsWith("sha256:"))
    refuse("its tokenizer is a file that is not here", "Replay the whole run where its files are: tenon runs replay.");
  const named = Object.keys(config.data).find((key) => String(config.data[key]).startsWith("sha256:"));
  if (named && data === undefined) {
    const files = manifest.data.sources
      .map(({ name, sha256 }) => `${name} (SHA-256 ${sha256.slice(0, 12)}…)`)
      .join(", ");
    refuse(`it needs ${files}`, "Give the file: it is known by its hash, whatever its name.");
  }
  // A file of ids stands alone, others may be several.
  const place = Array.isArray(data) && data.length === 1 ? data[0] : data;
  return named ? { ...config, data: { ...config.data, [named]: place } } : config;
}

/** Trains as the manifest says and compares data, tokenizer, weights and results. */
export async function reproduce(manifest: RunManifest, options: ReproduceOptions = {}): Promise<Reproduction> {
  checkOptions("reproduce", options, ["data", "onEvent", "threads", "clock", "store"]);
  const { data, onEvent, threads, clock, store = new MemoryStore() } = options;
  checkClock("reproduce", clock);
  checkManifest(manifest, "reproduce");
  const config = configFromManifest(manifest, data);
  const run = train(
    { ...config, deterministic: false, ...(threads === undefined ? {} : { threads }) },
    { store, ...(clock ? { clock } : {}) },
  );
  try {
    for await (const event of run) {
      onEvent?.(event);
      if (event.type !== "start") continue;
      const others = otherInputs(manifest, (await loadRun(event.executionId, { store })).manifest);
      if (others.length === 0) continue;
      throw new RunError(`${manifest.executionId}: cannot be compared: ${others.join("; ")}.`, {
        where: manifest.executionId,
        hint: "Give the files of its manifest (by SHA-256).",
      });
    }
  } catch (error) {
    await run.stop().catch(() => undefined);
    throw error;
  }
  const { executionId } = await run;
  return judge(manifest, (await loadRun(executionId, { store })).manifest);
}

function judge(was: RunManifest, now: RunManifest): Reproduction {
  const side = ({ finalWeights, result = {} }: RunManifest) => ({ weightsHash: finalWeights, result });
  const base = { expected: side(was), got: side(now), executionId: now.executionId };
  const steps = String(now.result?.["steps"] ?? "all");
  if (was.finalWeights === now.finalWeights) {
    return { ...base, verdict: "equal bits", statement: `Equal bits: ${steps} steps gave the same weights.` };
  }
  const loss = (manifest: RunManifest) => Number(manifest.result?.["trainLoss"]);
  const difference = relativeDifference(loss(was), loss(now));
  const tolerance = was.determinism.tolerances?.loss;
  const figure = `the loss of the last step differs by ${difference.toExponential(1)}`;
  if (tolerance !== undefined && difference <= tolerance) {
    return { ...base, verdict: "within tolerance", statement: `Within tolerance ${tolerance}: ${figure}.` };
  }
  return { ...base, verdict: "differs", statement: `Differs: other weights after ${steps} steps, ${figure}.` };
}
