/**
 * What a run is, as a hash: the canonical config with content hashes in place of paths and URLs and with the device it
 * resolved to, the initial weights, the tokenizer, the data, the version of the package. Threads, output options and
 * times take no part, so equal runs meet under one `runId`; each execution has a number of its own besides.
 */

import { RunError } from "../core/errors.js";
import { canonicalJson } from "../core/json.js";
import { sha256Hex } from "../core/sha256.js";
import type { RunStore } from "../core/store.js";
import type { RunSettings, TrainingConfig } from "./config.js";
import { dataKindOf } from "./data-config.js";

/** The parts of a run's identity; all hashes are 64 hex digits. */
export interface RunIdentity {
  readonly configHash: string;
  readonly initialWeights: string;
  readonly tokenizer: string | null;
  /** Fingerprint of content and split. */
  readonly data: string;
  readonly packageVersion: string;
  /** Name of the caller's code (`codeName`), for runs that are not made from a config alone. */
  readonly code?: string | null;
}

/** Digits of the fingerprint that make a `runId`. */
const RUN_ID_DIGITS = 16;

/** SHA-256 over all parts of an identity. */
export const runFingerprint = (identity: RunIdentity): string =>
  sha256Hex(
    canonicalJson({
      kind: "tenon-run",
      configHash: identity.configHash,
      initialWeights: identity.initialWeights,
      tokenizer: identity.tokenizer,
      data: identity.data,
      packageVersion: identity.packageVersion,
      code: identity.code ?? null,
    }),
  );

/** The run's name: the first 16 digits of its fingerprint. */
export const runIdOf = (fingerprint: string): string => fingerprint.slice(0, RUN_ID_DIGITS);

export interface Resolved {
  /** What `auto` became. */
  readonly device: string;
  readonly numerics: string;
  /** SHA-256 of what the config names by place: the data, and the tokenizer when it is a file. */
  readonly dataHash: string;
  /** Null where no tokenizer takes part. */
  readonly tokenizerHash?: string | null;
  /** Fields of `data` as they were resolved: the schema, hashes of further files. */
  readonly data?: Readonly<Record<string, unknown>>;
}

/** The config that is hashed: contents in place of places, no threads, budget or output folder. */
export function hashedConfig(config: TrainingConfig, resolved: Resolved): Record<string, unknown> {
  const { data, tokenizer, ...rest } = config;
  const kind = dataKindOf(data);
  const named = typeof tokenizer !== "string" || tokenizer === "char" || tokenizer === "byte";
  return {
    ...hashedSettings(rest, resolved),
    data: { ...data, [kind]: kind === "corpus" ? data.corpus : `sha256:${resolved.dataHash}`, ...resolved.data },
    tokenizer: resolved.tokenizerHash === null ? null : named ? tokenizer : `sha256:${resolved.tokenizerHash}`,
  };
}

/** Settings that change what a run is, with what `auto` became. */
export function hashedSettings<S extends RunSettings>(
  settings: S,
  { device, numerics }: Pick<Resolved, "device" | "numerics">,
) {
  const { threads, memoryBudget, out, deterministic, ...rest } = settings;
  return { ...rest, device, numerics };
}

/** SHA-256 of the canonical form of a hashed config. */
export const configHash = (hashed: Record<string, unknown>): string => sha256Hex(canonicalJson(hashed));

/** Takes the next free execution of a run: `<runId>-<n>`, whose folder exists and is empty when this returns. */
export async function claimExecution(store: RunStore, runId: string): Promise<string> {
  for (let n = 1; n < 1_000_000; n++) {
    const executionId = `${runId}-${n}`;
    if (await store.claim(executionId)) return executionId;
  }
  throw new RunError(`${store.name}: run ${runId} has a million executions.`, { where: store.name });
}
