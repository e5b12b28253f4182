/**
 * Things by their content: every hash that runs mention (weights, tokenizers, data, configs, the runs themselves) and
 * every blob of the store, found by how the hash begins. Weights are not stored twice: those of checkpoints are found
 * where they are.
 */

import { hashFile } from "../artifacts/checkpoint.js";
import type { DataReference } from "../artifacts/manifest.js";
import { openSafetensors, type TensorReader } from "../artifacts/safetensors.js";
import { FormatError, RunError, show } from "../core/errors.js";
import { type RunStore, storeSource } from "../core/store.js";
import { blobPath, listBlobs } from "./blobs.js";
import { ambiguous, listRuns, loadRun } from "./list.js";
import { type StoreOption, storeOf } from "./store.js";

export type ContentKind = "run" | "weights" | "tokenizer" | "data" | "config";

/** Something that has a hash. */
export interface Content {
  readonly kind: ContentKind;
  /** 64 hex digits. */
  readonly sha256: string;
  /** Executions that mention it. */
  readonly runs: readonly string[];
  /** Where its bytes are in the store, when they are there. */
  readonly path?: string;
  /** Of data: the name under which it was found, and its size. */
  readonly data?: DataReference;
}

const PREFIX = /^[0-9a-f]{1,64}$/;

/** Everything whose hash starts with `prefix` (hex digits), one entry per kind and hash. */
export async function findContent(prefix: string, options: StoreOption = {}): Promise<Content[]> {
  const start = checkPrefix(prefix);
  const place = storeOf("findContent", options);
  const found = new Map<string, { -readonly [K in keyof Content]: Content[K] } & { runs: string[] }>();
  const add = (kind: ContentKind, sha256: string | null, run?: string, more: Partial<Content> = {}) => {
    if (!sha256?.startsWith(start)) return;
    const key = `${kind} ${sha256}`;
    let entry = found.get(key);
    if (!entry) found.set(key, (entry = { kind, sha256, runs: [] }));
    if (run !== undefined && !entry.runs.includes(run)) entry.runs.push(run);
    entry.path ??= more.path;
    entry.data ??= more.data;
  };
  for (const { executionId, manifest } of await listRuns({ store: place })) {
    if (!manifest) continue;
    add("run", manifest.fingerprint, executionId, { path: executionId });
    add("config", manifest.configHash, executionId);
    add("tokenizer", manifest.tokenizerHash, executionId);
    add("weights", manifest.initialWeights, executionId);
    add("weights", manifest.finalWeights, executionId);
    for (const data of manifest.data.sources) add("data", data.sha256, executionId, { data });
    const run = await loadRun(executionId, { store: place });
    for (const { folder, files } of await run.checkpoints()) {
      const weights = files["model.safetensors"];
      if (weights) add("weights", weights.sha256, executionId, { path: `${folder}/model.safetensors` });
    }
  }
  for (const hash of await listBlobs(place)) add("data", hash, undefined, { path: blobPath(hash) });
  return [...found.values()].sort((a, b) => (a.sha256 + a.kind < b.sha256 + b.kind ? -1 : 1));
}

/** Executions whose fingerprint (or runId) starts with `prefix`. */
export async function findRuns(prefix: string, options: StoreOption = {}): Promise<string[]> {
  const found = await findContent(prefix, { store: storeOf("findRuns", options) });
  return found.filter(({ kind }) => kind === "run").flatMap(({ runs }) => runs);
}

/** The weights whose hash starts with `prefix`, of a checkpoint; their bytes are re-hashed before use. */
export async function findWeights(prefix: string, options: StoreOption = {}): Promise<TensorReader> {
  const place = storeOf("findWeights", options);
  const content = await theOne("weights", prefix, place);
  if (content.path === undefined) {
    throw new RunError(`${place.name}: weights ${content.sha256} are not stored, only known to ${content.runs[0]}.`, {
      where: place.name,
      hint: "Replaying that run makes them again.",
    });
  }
  const { sha256 } = await hashFile(place, content.path);
  if (sha256 !== content.sha256) {
    throw new FormatError(`${content.path}: SHA-256 ${content.sha256} expected, got ${sha256}.`, {
      where: content.path,
    });
  }
  return openSafetensors(await storeSource(place, content.path));
}

/** What is known of the data whose hash starts with `prefix`; `path` is there when the store holds the bytes. */
export async function loadDataReference(prefix: string, options: StoreOption = {}): Promise<Content> {
  return theOne("data", prefix, storeOf("loadDataReference", options));
}

async function theOne(kind: ContentKind, prefix: string, store: RunStore): Promise<Content> {
  const matches = (await findContent(prefix, { store })).filter((content) => content.kind === kind);
  if (matches.length === 1) return matches[0];
  if (matches.length === 0) throw new RunError(`${store.name}: knows no ${kind} ${prefix}.`, { where: store.name });
  throw ambiguous(
    `${store.name}: ${kind} ${prefix}`,
    matches.map(({ sha256 }) => sha256),
  );
}

function checkPrefix(prefix: string): string {
  const digits = typeof prefix === "string" ? prefix.toLowerCase() : "";
  if (PREFIX.test(digits)) return digits;
  throw new RunError(`find: needs 1 to 64 hex digits, got ${show(prefix)}.`, { where: "find", prefix });
}
