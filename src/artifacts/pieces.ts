/** Long byte work in short pieces, so that a page answers between them. */

import { useWasmSha256 } from "../backend/wasm/sha256.js";
import { breathe } from "../core/breathe.js";
import { isBytes } from "../core/bytes.js";
import { platform } from "../core/platform.js";
import { createHasher } from "../core/sha256.js";

/** Bytes between two breaths: about 10 ms of hashing in plain JavaScript. */
const PIECE = 2 * 1024 * 1024;

/** Consecutive views of `bytes`; long arrays yield to the event loop in between. */
export async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE) {
    if (at > 0) await breathe();
    yield bytes.subarray(at, at + PIECE);
  }
}

/** The bytes `[0, size)` of anything with `read`, in pieces: for hashing and copying what is larger than memory. */
export async function* readPieces(
  read: (start: number, end: number) => Promise<Uint8Array>,
  size: number,
): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < size; at += PIECE) yield await read(at, Math.min(size, at + PIECE));
}

/** Size and content of a file. */
export interface FileRecord {
  readonly size: number;
  /** 64 hex digits. */
  readonly sha256: string;
}

/** Bytes on their way to somewhere, measured as they pass: iterate it to the end, then ask for `record()`. */
export function measured(bytes: Uint8Array | AsyncIterable<Uint8Array>) {
  if (platform().createSha256 === undefined) useWasmSha256();
  const hasher = createHasher();
  let size = 0;
  return {
    record: (): FileRecord => ({ size, sha256: hasher.digest() }),
    async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
      for await (const piece of isBytes(bytes) ? pieces(bytes) : bytes) {
        hasher.update(piece);
        size += piece.length;
        yield piece;
      }
    },
  };
}

/**
 * Largest array that is given to a digest as a whole: in a worker 1 GiB of weights and their header. It is copied first,
 * at a stroke, for which a page has little time.
 */
const AT_ONCE = typeof document === "undefined" ? (1 << 30) + (1 << 24) : 1 << 26;

/** Does this host hash whole arrays faster than streams? Browsers do, off the thread that asks; Node streams natively. */
export const hashesAtOnce = (size: number): boolean =>
  platform().createSha256 === undefined && globalThis.crypto?.subtle !== undefined && size <= AT_ONCE;

async function digestAtOnce(bytes: Uint8Array<ArrayBuffer>): Promise<FileRecord> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return { size: bytes.length, sha256: Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("") };
}

/** Size and SHA-256 of bytes or of a stream of them, without blocking for long. */
export async function hashBytes(bytes: Uint8Array | AsyncIterable<Uint8Array>): Promise<FileRecord> {
  if (isBytes(bytes) && bytes.buffer instanceof ArrayBuffer && hashesAtOnce(bytes.length)) {
    return digestAtOnce(bytes as Uint8Array<ArrayBuffer>);
  }
  const stream = measured(bytes);
  for await (const _ of stream);
  return stream.record();
}
