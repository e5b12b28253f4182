/**
 * Replay: a run is made again from its manifest, and every number it recorded is compared. Equal bits, within a stated
 * tolerance, or the first step that differs, with what in the environment explains it.
 */

import type { RunManifest } from "../artifacts/manifest.js";
import { listOf, RunError } from "../core/errors.js";
import { checkClock } from "../core/options.js";
import { VERSION } from "../core/version.js";
import type { TrainingConfigInput } from "./config.js";
import { otherBuild } from "./draft.js";
import { createRun, type TrainingEvent, type TrainingResult } from "./events.js";
import { holding, type OpenDevice } from "./holding.js";
import { type LoadedRun, loadRun } from "./list.js";
import { MemoryStore } from "./memory-store.js";
import { type StoreOption, storeOf } from "./store.js";
import { openStored } from "./stored-data.js";
import { workWith } from "./train.js";
import { otherInputs, relativeDifference, type Verdict } from "./verdict.js";

export interface ReplayOptions extends StoreOption {
  /** Replay although the package, the data or the device differ; the answer is marked. */
  readonly force?: boolean;
  /** Files for data that moved, in the order of the config. */
  readonly data?: TrainingConfigInput["data"];
  /** Told of each step that was compared. */
  readonly onStep?: (step: number, steps: number) => void;
  /** Of the CPU, in place of those of the run; the results are the same. */
  readonly threads?: number;
  readonly clock?: () => number;
}

/** The first recorded number that came out otherwise. */
export interface ReplayDifference {
  readonly step: number;
  /** `loss`, `gradNorm`, `valLoss` or another measure, or `weights` of a checkpoint. */
  readonly what: string;
  readonly expected: number | string;
  readonly got: number | string;
}

export interface Replay {
  readonly executionId: string;
  readonly verdict: Verdict;
  /** One sentence: the verdict with its figures. */
  readonly statement: string;
  /** Steps compared. */
  readonly steps: number;
  readonly difference?: ReplayDifference;
  /** Largest relative difference of a loss, and its step. */
  readonly largest: { readonly difference: number; readonly step: number };
  /** What differs between then and now and may explain it. */
  readonly explanations: readonly string[];
  /** Run although something did not fit (`force`). */
  readonly forced: boolean;
}

/** What speaks against a faithful replay here and now. */
function obstacles(manifest: RunManifest): string[] {
  const problems: string[] = [];
  if (manifest.package.version !== VERSION) {
    problems.push(`the run was made by tenon ${manifest.package.version}, this is ${VERSION}`);
  }
  return problems;
}

/** Runs a recorded run again and compares. Throws a RunError where it cannot be run at all, naming what is missing. */
export async function replay(name: string, options: ReplayOptions = {}): Promise<Replay> {
  checkClock("replay", options?.clock);
  const run = await loadRun(name, {
    store: storeOf("replay", options, ["force", "data", "onStep", "threads", "clock"]),
  });
  refuseCode(run.manifest);
  // Warnings of its training are told where others are.
  return holding(
    () => undefined,
    (open) => again(run, options, open),
  );
}

async function again(run: LoadedRun, options: ReplayOptions, given: OpenDevice): Promise<Replay> {
  const { manifest } = run;
  const problems = obstacles(manifest);
  const open: OpenDevice = (settings) => given({ ...settings, threads: options.threads ?? settings.threads });
  const device = await chooseDevice(manifest, problems, open);
  await sameArithmetic(manifest, device, problems, open);
  if (problems.length > 0 && !options.force) {
    throw new RunError(`${manifest.executionId}: cannot be replayed faithfully: ${problems.join("; ")}.`, {
      where: manifest.executionId,
      hint: "Pass force (--force) to run it anyway; the answer says so.",
    });
  }
  return compare(run, device, problems, options, open);
}

/** What code did is known to the code alone. */
export function refuseCode({ executionId, code, provisional }: RunManifest): void {
  if (!code && !provisional) return;
  const name = code?.version
    ? `version ${code.version}`
    : code?.commit
      ? `commit ${code.commit.slice(0, 10)}`
      : "unnamed";
  throw new RunError(`${executionId}: cannot be replayed, it was made by code (${name}), not by a config.`, {
    where: executionId,
    hint: "Run that code again and compare with `tenon runs compare`.",
  });
}

/** The device of the manifest where there is one; else the CPU, under the run's tolerances. */
async function chooseDevice(
  manifest: RunManifest,
  problems: string[],
  open: OpenDevice,
): Promise<TrainingConfigInput["device"]> {
  if (manifest.device !== "webgpu") return manifest.device as TrainingConfigInput["device"];
  try {
    await open({ device: "webgpu", numerics: manifest.numerics as "portable" | "fast", deterministic: false });
    return "webgpu";
  } catch (error) {
    if (!manifest.determinism.tolerances)
      problems.push(`the run was made on WebGPU, which is missing here: ${(error as Error).message}`);
    return "cpu";
  }
}

/** Fast numerics are those of the processor and engine: with fused multiply-add, or without. */
async function sameArithmetic(
  { numerics, device, environment }: RunManifest,
  now: TrainingConfigInput["device"],
  problems: string[],
  open: OpenDevice,
): Promise<void> {
  if (numerics !== "fast" || device === "webgpu" || now === "webgpu") return;
  const { fusedMultiplyAdd } = await open({ device: now as "cpu", numerics, deterministic: false });
  if (fusedMultiplyAdd === environment["fusedMultiplyAdd"]) return;
  const [had, has] = fusedMultiplyAdd ? ["without", "fuses"] : ["with", "does not fuse"];
  problems.push(
    `the run was made with fast numerics, ${had} fused multiply-add, and this machine or engine ${has} them`,
  );
}

/** What the run recorded, by step. */
interface Recorded {
  readonly metrics: ReadonlyMap<number, Readonly<Record<string, number>>>;
  readonly weights: ReadonlyMap<number, string>;
}

async function recorded(run: LoadedRun): Promise<Recorded> {
  const metrics = new Map<number, Record<string, number>>();
  for (const { step, values } of await run.metrics()) metrics.set(step, { ...metrics.get(step), ...values });
  const checkpoints = await run.checkpoints();
  return {
    metrics,
    weights: new Map(checkpoints.map(({ step, files }) => [step, files["model.safetensors"]?.sha256 ?? ""])),
  };
}

async function compare(
  run: LoadedRun,
  device: TrainingConfigInput["device"],
  problems: string[],
  options: ReplayOptions,
  open: OpenDevice,
): Promise<Replay> {
  const { manifest } = run;
  const expected = await recorded(run);
  // Not by spreading: a run may have more records than a call takes arguments.
  const last = [...expected.metrics.keys(), ...expected.weights.keys()].reduce((a, b) => Math.max(a, b), 0);
  if (last === 0 && expected.weights.has(0)) {
    throw new RunError(`${manifest.executionId}: was stopped before its first step, there is nothing to compare.`, {
      where: manifest.executionId,
      hint: `Go on with it first: tenon train --resume ${manifest.executionId}.`,
    });
  }
  if (last === 0) {
    throw new RunError(`${manifest.executionId}: recorded nothing to compare, neither metrics nor a checkpoint.`, {
      where: manifest.executionId,
      hint: "Start it again: nothing of it was kept.",
    });
  }
  const config = {
    ...((await run.config()) as TrainingConfigInput),
    device,
    numerics: manifest.numerics as "portable" | "fast",
    // What was refused then was not part of the run; what differs now is the answer's business.
    deterministic: false,
    ...(options.threads === undefined ? {} : { threads: options.threads }),
  };
  const store = new MemoryStore();
  let now = manifest;
  // What its store kept (data that could be read only once) is there, not in the store of the replay.
  const data = (await openStored({ ...config.data, ...options.data }, run.store)) as TrainingConfigInput["data"];
  const work = createRun<TrainingEvent, TrainingResult>((emit, signal) => {
    const tell = (event: TrainingEvent) => {
      emit(event);
      // Before the loop goes on, so that its last checkpoint is that of the record's last step.
      if (event.type === "step" && event.step >= last) void work.stop();
    };
    return workWith(open, { ...config, data }, { store, clock: options.clock }, tell, signal);
  });
  const exact = device === manifest.device && manifest.determinism.promise !== "tolerance";
  const tolerance = exact ? undefined : manifest.determinism.tolerances?.loss;
  const state: State = { steps: 0, compared: new Set(), largest: { difference: 0, step: 0 }, tolerance };
  try {
    for await (const event of work) {
      if (event.type === "start")
        now = await sameBeginning(store, event.executionId, manifest, problems, options.force ?? false);
      for (const [step, what, got] of numbersOf(event))
        note(state, step, what, expected.metrics.get(step)?.[what], got);
      if (event.type === "checkpoint") {
        note(state, event.step, "weights", expected.weights.get(event.step), event.weightsHash);
        await store.remove(event.path);
      }
      if (event.type === "step") {
        state.steps = event.step;
        options.onStep?.(event.step, last);
        if (exact && state.difference) void work.stop();
      }
    }
    await work;
  } catch (error) {
    void work.stop().catch(() => undefined);
    throw error;
  }
  return judge(manifest, state, problems, now);
}

/** Is it the same run: weights, data and tokenizer as recorded? Gives its manifest. */
async function sameBeginning(
  store: MemoryStore,
  executionId: string,
  was: RunManifest,
  problems: string[],
  force: boolean,
): Promise<RunManifest> {
  const { manifest: now } = await loadRun(executionId, { store });
  const found = otherInputs(was, now);
  problems.push(...found);
  if (found.length === 0 || force) return now;
  throw new RunError(`${was.executionId}: cannot be replayed: ${found.join("; ")}.`, {
    where: was.executionId,
    hint: "Bring the files of its manifest back (by SHA-256), or pass force to compare all the same.",
  });
}

/** The reproducible numbers of an event, as they were recorded. */
function numbersOf(event: TrainingEvent): [step: number, what: string, value: number][] {
  if (event.type === "step")
    return [
      [event.step, "loss", event.loss],
      [event.step, "gradNorm", event.gradNorm],
    ];
  if (event.type !== "eval") return [];
  return Object.entries({ valLoss: event.valLoss, ...event.metrics }).map(([name, value]) => [event.step, name, value]);
}

/** What is another engine, system or feature than then. Threads and what is missing change no bits. */
function otherEnvironment({ environment: then }: RunManifest, { environment: now }: RunManifest): string[] {
  const harmless = new Set(["threads", "missing"]);
  return [...new Set([...Object.keys(then), ...Object.keys(now)])]
    .filter((key) => !harmless.has(key) && JSON.stringify(then[key]) !== JSON.stringify(now[key]))
    .map((key) => `${key} was ${then[key] ?? "none"}, is ${now[key] ?? "none"}`);
}

interface State {
  steps: number;
  /** Losses, weights, or both. */
  readonly compared: Set<"losses" | "weights">;
  /** The first number that is not what was recorded. */
  difference?: ReplayDifference;
  /** The first loss that is further from it than the tolerance. */
  beyond?: ReplayDifference;
  largest: { difference: number; step: number };
  readonly tolerance: number | undefined;
}

function note(
  state: State,
  step: number,
  what: string,
  expected: number | string | undefined,
  got: number | string,
): void {
  if (expected === undefined) return;
  state.compared.add(what === "weights" ? "weights" : "losses");
  if (Object.is(expected, got)) return;
  state.difference ??= { step, what, expected, got };
  if (typeof expected !== "number" || typeof got !== "number" || what === "gradNorm") return;
  const difference = relativeDifference(expected, got);
  // Written so that NaN is beyond every tolerance.
  if (!(difference <= state.largest.difference)) state.largest = { difference, step };
  if (!(difference <= (state.tolerance ?? 0))) state.beyond ??= { step, what, expected, got };
}

function judge(
  manifest: RunManifest,
  { steps, compared, difference: first, beyond, largest, tolerance }: State,
  problems: readonly string[],
  now: RunManifest,
): Replay {
  const { executionId } = manifest;
  const difference = tolerance === undefined ? first : (beyond ?? first);
  const noted = [...problems, ...otherBuild(manifest)];
  const base = { executionId, steps, difference, largest, explanations: noted, forced: problems.length > 0 };
  if (!difference)
    return {
      ...base,
      verdict: "equal bits",
      statement: `Equal bits: ${steps} steps gave the recorded ${listOf([...compared])}.`,
    };
  const explanations = [...noted, ...otherEnvironment(manifest, now)];
  if (tolerance !== undefined && !beyond) {
    const figure = `largest difference ${largest.difference.toExponential(1)} at step ${largest.step}`;
    return {
      ...base,
      explanations,
      verdict: "within tolerance",
      statement: `Within tolerance ${tolerance}: ${figure}.`,
    };
  }
  const { step, what, expected, got } = difference;
  return {
    ...base,
    explanations,
    verdict: "differs",
    statement: `Differs from step ${step}: ${what} was ${expected}, now ${got}.`,
  };
}
