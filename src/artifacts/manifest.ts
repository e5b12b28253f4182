/**
 * `manifest.json`: what a run is, where it ran, what came out, and a hash over all of it, so that an edited manifest
 * is known as one.
 */

import { isBytes } from "../core/bytes.js";
import { ConfigError, FormatError } from "../core/errors.js";
import { canonicalJson, parseJson } from "../core/json.js";
import { sha256Hex } from "../core/sha256.js";
import { fileRecords } from "./checkpoint.js";
import { checkStamp, stampedJson } from "./format.js";
import type { FileRecord } from "./pieces.js";
import {
  anything,
  boolean,
  check,
  integer,
  list,
  nullable,
  number,
  object,
  oneOf,
  optional,
  type Place,
  plainObject,
  record,
  text,
} from "./schema.js";
import { type FolderLike, openFolder, sourceText } from "./sources.js";

export const MANIFEST = "manifest.json";

/** A source of data, by content; the name is where it was found and takes no part in any hash. */
export interface DataReference {
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
}

export interface RunManifest {
  readonly runId: string;
  readonly executionId: string;
  /** SHA-256 of the run's identity; `runId` is how it starts. */
  readonly fingerprint: string;
  /** `buildHash` is over the built files; where the sources ran unbuilt, it is a text that says so. */
  readonly package: { readonly name: string; readonly version: string; readonly buildHash?: string };
  /** The user's code, where a run is more than its config: a version, or a commit (null with the reason). */
  readonly code?: {
    readonly version?: string;
    readonly commit?: string | null;
    /** Were there changes besides the commit? */
    readonly dirty?: boolean;
    readonly reason?: string;
  };
  /** The config that was hashed: contents in place of paths. */
  readonly config: Record<string, unknown>;
  readonly configHash: string;
  readonly tokenizerHash: string | null;
  readonly data: { readonly fingerprint: string; readonly sources: readonly DataReference[]; readonly split: unknown };
  readonly initialWeights: string;
  /** `weightsHash` after the last step; null until the run is done. */
  readonly finalWeights: string | null;
  readonly seed: number;
  readonly numerics: string;
  readonly precision: string;
  readonly device: string;
  /** What was asked for, beside what it became. */
  readonly asked: Record<string, unknown>;
  /** Engine, system, threads, SIMD, flags; takes no part in any hash of the run. */
  readonly environment: Record<string, unknown>;
  readonly determinism: Determinism;
  readonly status: "running" | "done" | "stopped" | "failed";
  /** Why the identity is provisional (a source that could be read only once), or absent. */
  readonly provisional?: string;
  /** Final metrics and sizes that are reproducible. */
  readonly result?: Record<string, unknown>;
  /** Files of the finished run with size and hash, checkpoints apart (they have lists of their own). */
  readonly files?: Readonly<Record<string, FileRecord>>;
  /** Steps at which the run was resumed. */
  readonly resumedAt?: readonly number[];
  /** Times and rates of this execution: never hashed into the run, never compared. */
  readonly wallClock?: Record<string, unknown>;
}

export interface Determinism {
  /** `bits`: equal bits on every machine; `device`: equal on this device; `tolerance`: close, as stated. */
  readonly promise: "bits" | "device" | "tolerance";
  readonly statement: string;
  /** Largest relative differences under which a replay elsewhere agrees. */
  readonly tolerances?: { readonly loss: number; readonly weights?: number };
}

const hash = text({ pattern: /^[0-9a-f]{64}$/, expects: "64 hex digits" });
const name = text({ pattern: /^[0-9A-Za-z][0-9A-Za-z._-]*$/, expects: "a plain name" });
const facts = record(anything);

const schema = object(
  {
    runId: name,
    executionId: name,
    fingerprint: hash,
    package: object({ name: text(), version: text(), buildHash: optional(text()) }, { open: true }),
    code: optional(
      object(
        {
          version: optional(text()),
          commit: optional(nullable(text())),
          dirty: optional(boolean()),
          reason: optional(text()),
        },
        { open: true },
      ),
    ),
    config: facts,
    configHash: hash,
    tokenizerHash: nullable(hash),
    data: object(
      {
        fingerprint: hash,
        sources: list(object({ name: text(), size: integer({ min: 0 }), sha256: hash }, { open: true })),
        split: anything,
      },
      { open: true },
    ),
    initialWeights: hash,
    finalWeights: nullable(hash),
    seed: integer({ min: 0 }),
    numerics: text(),
    precision: text(),
    device: text(),
    asked: facts,
    environment: facts,
    determinism: object(
      {
        promise: oneOf(["bits", "device", "tolerance"]),
        statement: text(),
        tolerances: optional(object({ loss: number(), weights: optional(number()) }, { open: true })),
      },
      { open: true },
    ),
    status: oneOf(["running", "done", "stopped", "failed"]),
    provisional: optional(text()),
    result: optional(facts),
    files: optional(fileRecords),
    resumedAt: optional(list(integer({ min: 0 }))),
    wallClock: optional(facts),
  },
  { open: true },
);

/** SHA-256 of the canonical form of a manifest without its own hash. */
export function manifestHash(manifest: object): string {
  const { manifestHash: _, ...rest } = manifest as Record<string, unknown>;
  return sha256Hex(canonicalJson(rest));
}

/** Throws ConfigError where a manifest could not be read again; `where` names who wants it. */
export function checkManifest(manifest: unknown, where: string): asserts manifest is RunManifest {
  const at: Place = { where, path: "", errorType: ConfigError };
  const { format, formatVersion, ...members } = plainObject(manifest, at, "a manifest");
  schema.check(JSON.parse(canonicalJson(members, where)), at);
}

/** The text of `manifest.json`: the manifest, stamped and sealed with its hash. */
export function writeManifest(manifest: RunManifest): string {
  checkManifest(manifest, MANIFEST);
  const stamped = JSON.parse(stampedJson("tenon-manifest", manifest));
  return `${JSON.stringify({ ...stamped, manifestHash: manifestHash(stamped) }, null, 2)}\n`;
}

/**
 * Reads and checks a manifest: its text or parsed form, or the folder that holds it. Throws FormatError for another
 * format, a missing or wrong field, and for a manifest that was edited after it was written.
 */
export async function readManifest(from: FolderLike | { readonly json: string | object }): Promise<RunManifest> {
  if (typeof from === "object" && "json" in from && (typeof from.json === "string" || isPlain(from.json))) {
    return parseManifest(from.json);
  }
  const folder = openFolder(from as FolderLike);
  const file = await folder.find(MANIFEST);
  if (!file) throw new FormatError(`${folder.name}: ${MANIFEST} expected, found none.`, { where: folder.name });
  return parseManifest(await sourceText(file), file.name);
}

/** Reads and checks the text of a manifest, or one that is parsed already. `where` names it in errors. */
export function parseManifest(json: string | object, where = MANIFEST): RunManifest {
  const found = typeof json === "string" ? parseJson(json, { where }) : json;
  checkStamp(found, "tenon-manifest", where);
  const { format, formatVersion, ...checked } = check(schema, found, where, FormatError) as Record<string, unknown>;
  const { manifestHash: sealed, ...manifest } = checked;
  if (sealed !== manifestHash(found)) {
    throw new FormatError(`${where}: was edited after it was written, its manifestHash does not fit its content.`, {
      where,
      hint: "Take it from the run's own folder or archive again.",
    });
  }
  const { runId, executionId, fingerprint } = manifest as unknown as RunManifest;
  if (!fingerprint.startsWith(runId) || !executionId.startsWith(`${runId}-`)) {
    throw new FormatError(`${where}: runId ${runId} does not fit fingerprint ${fingerprint} and ${executionId}.`, {
      where,
    });
  }
  return manifest as unknown as RunManifest;
}

const isPlain = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !isBytes(value) && !(value instanceof Blob);
