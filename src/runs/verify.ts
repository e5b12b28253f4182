/** Checking a finished run against its own record: every hash is made again, and what differs is said. */

import {
  CHECKPOINT_LIST,
  checkpointProblems,
  filesProblems,
  hashFile,
  openCheckpoint,
} from "../artifacts/checkpoint.js";
import { MANIFEST, type RunManifest } from "../artifacts/manifest.js";
import { hashBytes, readPieces } from "../artifacts/pieces.js";
import { canonicalJson } from "../core/json.js";
import { type ByteSource, platform } from "../core/platform.js";
import { sha256Hex } from "../core/sha256.js";
import type { RunStore } from "../core/store.js";
import { VERSION } from "../core/version.js";
import { gunzip } from "../data/gzip.js";
import { blobPath } from "./blobs.js";
import { codeName } from "./code.js";
import { otherBuild } from "./draft.js";
import { CHECKPOINTS, LOCK } from "./folder.js";
import { runFingerprint } from "./identity.js";
import { findRunFolder, readManifestOf } from "./list.js";
import { type StoreOption, storeOf } from "./store.js";

export interface Verification {
  readonly executionId: string;
  /** True when nothing differs. */
  readonly ok: boolean;
  /** What differs from the run's record, one sentence each. */
  readonly problems: readonly string[];
  /** What could not be checked, or is no fault of the run (data that moved); one sentence each. */
  readonly notes: readonly string[];
}

/** What a run may hold besides the files of its record: it is checked by itself, or is no part of it. */
const KNOWN = [CHECKPOINTS, MANIFEST, LOCK];

export interface VerifyOptions extends StoreOption {
  /**
   * Look for the data under the names in the manifest, too: paths of the machine that made the run. Only those that the
   * store keeps are checked unless told, as a run may come from somebody else.
   */
  readonly data?: boolean;
}

/**
 * Re-hashes all that a run has on disk: manifest, identity, line files, every checkpoint, the final weights, and data
 * that the store keeps. Never throws for what is wrong with the run; a run that is not there is a RunError.
 */
export async function verify(name: string, options: VerifyOptions = {}): Promise<Verification> {
  const place = storeOf("verify", options, ["data"]);
  const folder = await findRunFolder(place, name);
  const problems: string[] = [];
  const notes: string[] = [];
  let manifest: RunManifest | undefined;
  try {
    manifest = await readManifestOf(place, folder);
  } catch (error) {
    problems.push((error as Error).message);
  }
  if (manifest) {
    problems.push(...identityProblems(manifest));
    const allowed = Object.fromEntries(KNOWN.map((file) => [file, undefined]));
    if (manifest.files) problems.push(...(await filesProblems(place, folder, { ...allowed, ...manifest.files })));
    else notes.push(`${folder}: is "${manifest.status}", its files have no record yet.`);
    notes.push(...packageNotes(manifest));
    if (manifest.provisional) notes.push(`${folder}: has a provisional ID: ${manifest.provisional}`);
  }
  problems.push(...(await checkpointsProblems(place, folder, manifest, notes)));
  if (manifest) await checkData(place, manifest, options.data ?? false, problems, notes);
  return { executionId: folder, ok: problems.length === 0, problems, notes };
}

/** Another version or build is no fault of the run, but it may not make it again. */
function packageNotes(manifest: RunManifest): string[] {
  const { version } = manifest.package;
  const notes = version === VERSION ? otherBuild(manifest) : [`tenon ${version}, this is ${VERSION}`];
  return notes.map((note) => `${manifest.executionId}: was made by ${note}.`);
}

/** Does the manifest's identity follow from what it says? */
function identityProblems(manifest: RunManifest): string[] {
  const where = `${manifest.executionId}/${MANIFEST}`;
  const problems: string[] = [];
  const config = sha256Hex(canonicalJson(manifest.config));
  if (config !== manifest.configHash) problems.push(`${where}: configHash ${manifest.configHash} expected ${config}.`);
  const fingerprint = runFingerprint({
    configHash: manifest.configHash,
    initialWeights: manifest.initialWeights,
    tokenizer: manifest.tokenizerHash,
    data: manifest.data.fingerprint,
    packageVersion: manifest.package.version,
    code: codeName(manifest.code),
  });
  if (fingerprint !== manifest.fingerprint) {
    problems.push(`${where}: fingerprint ${fingerprint} expected from its parts, got ${manifest.fingerprint}.`);
  }
  return problems;
}

async function checkpointsProblems(
  store: RunStore,
  folder: string,
  manifest: RunManifest | undefined,
  notes: string[],
): Promise<string[]> {
  const problems: string[] = [];
  let last: { step: number; weights?: string } = { step: -1 };
  for (const { name } of await store.list(`${folder}/${CHECKPOINTS}`)) {
    const path = `${folder}/${CHECKPOINTS}/${name}`;
    if ((await store.size(`${path}/${CHECKPOINT_LIST}`)) === undefined) {
      notes.push(`${path}: is no complete checkpoint, its run ended while it was written.`);
      continue;
    }
    const found = await checkpointProblems(store, path);
    problems.push(...found);
    if (found.length === 0) {
      const { step, files } = await openCheckpoint(store, path);
      if (step > last.step) last = { step, weights: files["model.safetensors"]?.sha256 };
    }
  }
  const final = manifest?.finalWeights;
  if (final && last.weights === undefined) {
    notes.push(`${folder}: keeps no checkpoint with weights; the final ones cannot be checked.`);
  } else if (final && last.weights !== final) {
    problems.push(`${folder}: final weights ${final} expected, the last checkpoint holds ${last.weights}.`);
  }
  return problems;
}

/** Data are not part of a run; where they are still found they must be the same. */
async function checkData(
  store: RunStore,
  manifest: RunManifest,
  byName: boolean,
  problems: string[],
  notes: string[],
): Promise<void> {
  const { corpus } = (manifest.config["data"] ?? {}) as { corpus?: unknown };
  if (corpus !== undefined) return; // The package makes it; replay does so again, and compares.
  const { openFile } = platform();
  for (const { name, sha256 } of manifest.data.sources) {
    const stored = blobPath(sha256);
    if ((await store.size(stored)) !== undefined) {
      compareData(stored, sha256, (await hashFile(store, stored)).sha256, problems);
      continue;
    }
    if (!byName) {
      notes.push(`${name}: the data were not checked (SHA-256 ${sha256}); verify with data: true opens them by name.`);
      continue;
    }
    if (!openFile) {
      notes.push(`${name}: this host opens no files by name, the data were not checked.`);
      continue;
    }
    const source = await openFile(name).catch(() => undefined);
    if (!source) {
      notes.push(`${name}: the data are not there any more (SHA-256 ${sha256}).`);
      continue;
    }
    try {
      compareData(name, sha256, await contentHash(source, sha256), problems);
    } catch (error) {
      problems.push(`${name}: the data changed, they cannot be read any more: ${(error as Error).message}`);
    } finally {
      await source.close?.();
    }
  }
}

/** The hash of what a file holds, as runs record it: gzip undone, of a text without its byte-order mark. */
async function contentHash(source: ByteSource, expected: string): Promise<string> {
  const { byteLength, name } = source;
  const from = (first: number) =>
    readPieces((start, end) => source.read(first + start, first + end), Math.max(0, byteLength - first));
  const { sha256 } = await hashBytes(gunzip(from(0), name));
  if (sha256 === expected || byteLength < 3) return sha256;
  const [a, b, c] = await source.read(0, 3);
  const marked = a === 0xef && b === 0xbb && c === 0xbf;
  return marked && (await hashBytes(from(3))).sha256 === expected ? expected : sha256;
}

function compareData(name: string, expected: string, got: string, problems: string[]): void {
  if (got !== expected) problems.push(`${name}: the data changed, SHA-256 ${expected} expected, got ${got}.`);
}
