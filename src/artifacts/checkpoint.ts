/**
 * A checkpoint is a folder in the Hugging Face layout whose `checkpoint.json`, written last, lists every file with
 * size and SHA-256. A folder without it, or whose files differ from it, does not exist as a checkpoint: a crash at any
 * moment leaves the last good one.
 */

import { FormatError, RunError } from "../core/errors.js";
import { checkName, missingFile, nameProblem, type RunStore, readText, writeText } from "../core/store.js";
import { warn } from "../core/warnings.js";
import { parseStamped, stampedJson } from "./format.js";
import { type FileRecord, hashBytes, hashesAtOnce, measured, readPieces } from "./pieces.js";
import { check, integer, object, record, text } from "./schema.js";

/** The list of a checkpoint's files, which makes it one. */
export const CHECKPOINT_LIST = "checkpoint.json";
const utf8 = new TextEncoder();

export interface Checkpoint {
  readonly store: RunStore;
  /** Path of the folder in the store. */
  readonly folder: string;
  /** The optimizer step after which it was taken. */
  readonly step: number;
  readonly files: Readonly<Record<string, FileRecord>>;
}

/** Size and SHA-256 of files by name, as `checkpoint.json` and manifests list them. */
export const fileRecords = record(
  object({ size: integer({ min: 0 }), sha256: text({ pattern: /^[0-9a-f]{64}$/, expects: "64 hex digits" }) }),
  { nameProblem },
);
const listSchema = object({ step: integer({ min: 0 }), files: fileRecords }, { open: true });

/** `step-000500`: sorts by name as by number up to a million steps. */
export const checkpointName = (step: number): string => `step-${String(step).padStart(6, "0")}`;

/** A file to write: text, bytes, or bytes as they are made. */
export type FileContent = string | Uint8Array | AsyncIterable<Uint8Array>;

/**
 * Writes a checkpoint folder; when the promise resolves it is complete and durable. What a crash left in its place is
 * replaced; a valid checkpoint is never overwritten.
 */
export async function writeCheckpoint(
  store: RunStore,
  folder: string,
  step: number,
  contents: Readonly<Record<string, FileContent>>,
): Promise<Checkpoint> {
  if (
    (await store.size(`${folder}/${CHECKPOINT_LIST}`)) !== undefined &&
    (await checkpointProblems(store, folder)).length === 0
  ) {
    throw new RunError(`${folder}: holds a checkpoint already, nothing is overwritten.`, { where: folder });
  }
  await store.remove(folder);
  const files: Record<string, FileRecord> = {};
  for (const [name, content] of Object.entries(contents)) {
    const stream = measured(typeof content === "string" ? utf8.encode(content) : content);
    await store.write(`${folder}/${checkName(name, folder)}`, stream);
    files[name] = stream.record();
  }
  await writeText(store, `${folder}/${CHECKPOINT_LIST}`, stampedJson("tenon-checkpoint", { step, files }));
  return { store, folder, step, files };
}

/** Reads `checkpoint.json`; a folder without one is a RunError, a broken one a FormatError. Files are not checked. */
export async function openCheckpoint(store: RunStore, folder: string): Promise<Checkpoint> {
  const where = `${folder}/${CHECKPOINT_LIST}`;
  if ((await store.size(where)) === undefined) {
    throw new RunError(`${folder}: is no complete checkpoint, ${CHECKPOINT_LIST} is missing.`, {
      where: folder,
      hint: "It was being written when its run ended; use an earlier one.",
    });
  }
  const found = parseStamped(await readText(store, where), "tenon-checkpoint", where);
  const { step, files } = check(listSchema, found, where, FormatError);
  return { store, folder, step, files };
}

/** Re-hashes every file. Each thing that differs from `checkpoint.json` is one sentence; none means valid. */
export async function checkpointProblems(store: RunStore, folder: string): Promise<string[]> {
  let checkpoint: Checkpoint;
  try {
    checkpoint = await openCheckpoint(store, folder);
  } catch (error) {
    return [(error as Error).message];
  }
  return filesProblems(store, folder, { ...checkpoint.files, [CHECKPOINT_LIST]: undefined });
}

/**
 * Compares a folder with records of its files, one sentence for each difference. A name whose record is undefined may
 * be there unchecked; any other file that has no record is foreign.
 */
export async function filesProblems(
  store: RunStore,
  folder: string,
  files: Readonly<Record<string, FileRecord | undefined>>,
): Promise<string[]> {
  const problems: string[] = [];
  for (const [name, expected] of Object.entries(files)) {
    if (!expected) continue;
    const path = `${folder}/${name}`;
    const size = await store.size(path);
    if (size === undefined) problems.push(`${path}: is missing.`);
    else if (size !== expected.size) problems.push(`${path}: ${expected.size} bytes expected, got ${size}.`);
    else {
      const { sha256 } = await hashFile(store, path);
      if (sha256 !== expected.sha256) problems.push(`${path}: SHA-256 ${expected.sha256} expected, got ${sha256}.`);
    }
  }
  for (const { name } of await store.list(folder)) {
    if (!Object.hasOwn(files, name)) problems.push(`${folder}/${name}: is foreign, no record names it.`);
  }
  return problems;
}

/** Size and SHA-256 of a file of a store, read in pieces. */
export async function hashFile(store: RunStore, path: string): Promise<FileRecord> {
  const size = await store.size(path);
  if (size === undefined) throw missingFile(store.name, path);
  if (hashesAtOnce(size)) return hashBytes(await store.read(path));
  return hashBytes(readPieces((start, end) => store.read(path, start, end), size));
}

/**
 * The valid checkpoint of the highest step among the folders in `parent` (`runs/<id>/checkpoints`), every file of it
 * re-hashed; undefined when there is none. Incomplete and damaged ones are passed over with a warning.
 */
export async function latestCheckpoint(store: RunStore, parent: string): Promise<Checkpoint | undefined> {
  const steps = (await store.list(parent))
    .map(({ name }) => ({ name, step: Number(/^step-(\d+)$/.exec(name)?.[1]) }))
    .filter(({ step }) => Number.isSafeInteger(step))
    .sort((a, b) => b.step - a.step);
  for (const { name } of steps) {
    const folder = `${parent}/${name}`;
    const [problem] = await checkpointProblems(store, folder);
    if (problem === undefined) return openCheckpoint(store, folder);
    warn("checkpoint-skipped", `${problem} An earlier checkpoint is looked for.`, { folder });
  }
  return undefined;
}

/** All of one file of a checkpoint, its hash checked; a difference is a FormatError. */
export async function readCheckpointFile(checkpoint: Checkpoint, name: string): Promise<Uint8Array<ArrayBuffer>> {
  const path = `${checkpoint.folder}/${name}`;
  const expected = checkpoint.files[name];
  if (!expected) throw new FormatError(`${path}: ${CHECKPOINT_LIST} names no such file.`, { where: path });
  const bytes = await checkpoint.store.read(path);
  const { sha256, size } = await hashBytes(bytes);
  if (sha256 === expected.sha256) return bytes;
  throw new FormatError(
    `${path}: ${expected.size} bytes with SHA-256 ${expected.sha256} expected, got ${size} with ${sha256}.`,
    { where: path },
  );
}
