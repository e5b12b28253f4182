/** Runs in a store: listing them, finding one by name or by how its hashes begin, and reading what it holds. */

import { CHECKPOINT_LIST, type Checkpoint, latestCheckpoint, openCheckpoint } from "../artifacts/checkpoint.js";
import { MANIFEST, parseManifest, type RunManifest } from "../artifacts/manifest.js";
import { FormatError, listOf, RunError, TenonError } from "../core/errors.js";
import { parseJson } from "../core/json.js";
import { checkName, type RunStore, readText } from "../core/store.js";
import { warn } from "../core/warnings.js";
import { type Aggregate, Aggregates } from "./aggregates.js";
import { BLOBS } from "./blobs.js";
import { CHECKPOINTS } from "./folder.js";
import { type MetricRecord, readMetrics, readSamples } from "./metrics.js";
import { type StoreOption, storeOf } from "./store.js";

/** A folder of a store that holds, or should hold, a run. */
export interface RunEntry {
  readonly executionId: string;
  readonly manifest?: RunManifest;
  /** Why the manifest cannot be used; one of the two is there. */
  readonly problem?: string;
}

/** A run that was opened. Nothing but its manifest is read before it is asked for. */
export interface LoadedRun {
  readonly store: RunStore;
  /** Path of its folder in the store. */
  readonly folder: string;
  readonly manifest: RunManifest;
  /** `config.json` as the user gave it. */
  config(): Promise<unknown>;
  metrics(): Promise<MetricRecord[]>;
  /** Mean, min, max, last and best of every metric: of the run, and of each pass over its data. */
  aggregates(): Promise<RunAggregates>;
  timing(): Promise<MetricRecord[]>;
  samples(): Promise<{ step: number; text: string }[]>;
  /** Complete checkpoints by step; their files are not re-hashed. Broken lists of files are passed over with a warning. */
  checkpoints(): Promise<Checkpoint[]>;
  /** The last one whose every file is as it was written. */
  latestCheckpoint(): Promise<Checkpoint | undefined>;
}

/** By metric, of a run and of its epochs. */
export interface RunAggregates {
  readonly run: Readonly<Record<string, Aggregate>>;
  /** From epoch 0; a run whose data have no epochs (blocks drawn at random) is one. */
  readonly epochs: readonly { readonly epoch: number; readonly metrics: Readonly<Record<string, Aggregate>> }[];
}

/** Every run of a store by its executionId; a broken one is listed with its problem. */
export async function listRuns(options: StoreOption = {}): Promise<RunEntry[]> {
  const place = storeOf("listRuns", options);
  const entries: RunEntry[] = [];
  for (const { name, kind } of await place.list("")) {
    if (kind !== "folder" || name === BLOBS) continue;
    const path = `${name}/${MANIFEST}`;
    if ((await place.size(path)) === undefined) {
      entries.push({ executionId: name, problem: `${path}: is missing.` });
      continue;
    }
    try {
      entries.push({ executionId: name, manifest: await readManifestOf(place, name) });
    } catch (error) {
      entries.push({ executionId: name, problem: (error as Error).message });
    }
  }
  return entries.sort((a, b) => byExecution(a.executionId, b.executionId));
}

/** `abc-2` before `abc-10`. */
function byExecution(a: string, b: string): number {
  const split = (id: string): [string, number] => [id.replace(/-\d+$/, ""), Number(/-(\d+)$/.exec(id)?.[1] ?? 0)];
  const [[runA, nA], [runB, nB]] = [split(a), split(b)];
  return runA === runB ? nA - nB : runA < runB ? -1 : 1;
}

/**
 * Opens a run by its executionId, or by its runId or the start of it (its last execution). No match and several runs
 * that match are RunErrors that list what there is.
 */
export async function loadRun(name: string, options: StoreOption = {}): Promise<LoadedRun> {
  const place = storeOf("loadRun", options);
  const folder = await findRunFolder(place, name);
  const manifest = await readManifestOf(place, folder);
  const checkpoints = `${folder}/${CHECKPOINTS}`;
  return {
    store: place,
    folder,
    manifest,
    async config() {
      const where = `${folder}/config.json`;
      return parseJson(await readText(place, where), { where });
    },
    metrics: () => readMetrics(place, folder),
    async aggregates() {
      const found = Aggregates.from(await readMetrics(place, folder));
      return { run: found.of(), epochs: found.passes.map((epoch) => ({ epoch, metrics: found.of(epoch) })) };
    },
    timing: () => readMetrics(place, folder, "timing"),
    samples: () => readSamples(place, folder),
    async checkpoints() {
      const found: Checkpoint[] = [];
      for (const { name, kind } of await place.list(checkpoints)) {
        const path = `${checkpoints}/${name}`;
        if (kind !== "folder" || (await place.size(`${path}/${CHECKPOINT_LIST}`)) === undefined) continue;
        try {
          found.push(await openCheckpoint(place, path));
        } catch (error) {
          if (!(error instanceof FormatError)) throw error;
          warn("checkpoint-skipped", `${error.message} The checkpoint is passed over.`, { folder: path });
        }
      }
      return found.sort((a, b) => a.step - b.step);
    },
    latestCheckpoint: () => latestCheckpoint(place, checkpoints),
  };
}

/** The folder of the run that `name` means, as `loadRun` finds it. */
export async function findRunFolder(store: RunStore, name: string): Promise<string> {
  checkName(name, "run");
  const folders = (await store.list(""))
    .filter((entry) => entry.kind === "folder" && entry.name !== BLOBS)
    .map((entry) => entry.name)
    .sort(byExecution);
  if (folders.includes(name)) return name;
  // Not by the start of a number: `abc-1` is another execution than `abc-10`.
  const runOf = (folder: string) => folder.replace(/-\d+$/, "");
  const matches = folders.filter((folder) => runOf(folder).startsWith(name));
  const runs = new Set(matches.map(runOf));
  if (runs.size === 1) return matches[matches.length - 1];
  if (runs.size === 0) {
    const held: string[] = []; // a store may be any folder, and what else lies in it is no run
    for (const folder of folders)
      if ((await store.size(`${folder}/manifest.json`).catch(() => undefined)) !== undefined) held.push(folder);
    const hint = held.length
      ? `It holds ${held.length}, the last are ${listOf(held.slice(-5))}.`
      : "It holds no run at all.";
    throw new RunError(`${store.name}: holds no run "${name}".`, { where: store.name, hint });
  }
  throw ambiguous(`${store.name}: "${name}"`, [...runs]);
}

/** The error of a prefix that several things have. */
export const ambiguous = (what: string, matches: readonly string[]): RunError =>
  new RunError(`${what} is the start of ${matches.length} names: ${listOf(matches)}.`, {
    where: what,
    matches,
    hint: "Give more of it.",
  });

/** Reads a run's manifest and checks that it belongs to its folder. */
export async function readManifestOf(store: RunStore, folder: string): Promise<RunManifest> {
  const where = `${folder}/${MANIFEST}`;
  try {
    const manifest = parseManifest(await readText(store, where), where);
    if (manifest.executionId === folder) return manifest;
    throw new FormatError(`${where}: belongs to run ${manifest.executionId}, not to the folder ${folder}.`, { where });
  } catch (error) {
    const saved = error instanceof TenonError && !error.hint && (await lastSaved(store, folder));
    if (!saved) throw error;
    throw error.advise(
      `Its checkpoints need no manifest: generate from ${store.name}/${saved}, or load it with loadModel.`,
    );
  }
}

/** The folder of a run's last checkpoint that was written to its end; no file in it is re-hashed. */
async function lastSaved(store: RunStore, folder: string): Promise<string | undefined> {
  const paths = (await store.list(`${folder}/${CHECKPOINTS}`)).map(({ name }) => `${folder}/${CHECKPOINTS}/${name}`);
  for (const path of paths.sort().reverse())
    if ((await store.size(`${path}/${CHECKPOINT_LIST}`)) !== undefined) return path;
  return undefined;
}
