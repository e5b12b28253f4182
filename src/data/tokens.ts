/** Token ids in a row, wherever they lie: in memory or in a file that is larger than memory. */

import { ConfigError, DataError, listOf, show } from "../core/errors.js";
import { createHasher } from "../core/sha256.js";

/** Ids that can be read by range. `read` may answer at once (memory) or later (files). */
export interface TokenSequence {
  /** For messages. */
  readonly name: string;
  /** Number of tokens. */
  readonly length: number;
  /** Ids `[start, end)`; the caller only reads them, and only until its next call. */
  read(start: number, end: number): ArrayLike<number> | Promise<ArrayLike<number>>;
  /** SHA-256 of the ids as little-endian uint32, so that it does not depend on how wide they are stored. */
  contentHash(): Promise<string>;
}

export type TokenArray = Int32Array | Uint32Array | Uint16Array | Uint8Array;

const ARRAYS = [Int32Array, Uint32Array, Uint16Array, Uint8Array];

/** Ids in memory as a `TokenSequence`; the array is used as it is, not copied. Throws ConfigError on another kind of list. */
export function tokensInMemory(ids: TokenArray, name = "tokens"): TokenSequence {
  if (!ARRAYS.some((Ids) => ids instanceof Ids)) {
    throw new ConfigError(
      `${name}: needs ${listOf(
        ARRAYS.map((Ids) => Ids.name),
        "or",
      )} of ids, got ${show(ids)}.`,
      {
        where: name,
        hint: "Make one of a list of ids: Int32Array.from(ids).",
      },
    );
  }
  return {
    name,
    length: ids.length,
    read: (start, end) => ids.subarray(start, end),
    async contentHash() {
      return hashTokens(ids.length, (start, end) => ids.subarray(start, end));
    },
  };
}

/** A part `[start, end)` of a sequence, without a copy. */
export function tokenRange(tokens: TokenSequence, start: number, end: number): TokenSequence {
  if (!(Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start <= end && end <= tokens.length)) {
    throw new DataError(`tokenRange: needs 0 <= start <= end <= ${tokens.length}, got start ${start} and end ${end}.`, {
      where: tokens.name,
    });
  }
  return {
    name: tokens.name,
    length: end - start,
    read: (from, to) => tokens.read(start + from, start + to),
    contentHash: () => hashTokens(end - start, (from, to) => tokens.read(start + from, start + to)),
  };
}

const HASH_CHUNK = 1 << 20;

/** The hash of `length` ids that `read` gives in ranges: little-endian uint32, in order. */
export async function hashTokens(
  length: number,
  read: (start: number, end: number) => ArrayLike<number> | Promise<ArrayLike<number>>,
): Promise<string> {
  const hasher = createHasher();
  const words = new Uint8Array(4 * Math.min(length, HASH_CHUNK));
  const view = new DataView(words.buffer);
  for (let start = 0; start < length; start += HASH_CHUNK) {
    const end = Math.min(length, start + HASH_CHUNK);
    const ids = await read(start, end);
    for (let i = 0; i < ids.length; i++) view.setUint32(4 * i, ids[i], true);
    hasher.update(words.subarray(0, 4 * (end - start)));
  }
  return hasher.digest();
}
