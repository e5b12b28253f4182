/** Undoing gzip (RFC 1952) as a stream, with a bound on what a hostile file may expand to. */

import { DataError } from "../core/errors.js";
import { expandMembers } from "./gzip-members.js";
import { joinBytes } from "./join-bytes.js";
import { once } from "./once.js";

const LEAST_LIMIT = 64 * 2 ** 20;
/** Text seldom compresses more than 30 times; the format's own maximum is 1032. */
const MOST_RATIO = 250;
/** What Chromium, Firefox and Safari say of bytes behind the first member; Node goes on with the next. */
const AFTER_END = /junk found after|after the end|extra bytes past/i;
/** What Node says of bytes behind a member that are no other. */
const NO_MEMBER = /incorrect header check/;
/** Compressed bytes that are kept at most, where a second member would mean to begin again. */
const MOST_KEPT = 64 * 2 ** 20;

/** Passes bytes through; when they start with gzip's magic number, expands them, all members one after the other. */
export async function* gunzip(
  input: AsyncIterable<Uint8Array>,
  name: string,
  limit?: number,
): AsyncGenerator<Uint8Array> {
  const pieces = input[Symbol.asyncIterator]();
  try {
    // The magic number may be cut by the first pieces of a stream.
    let head = new Uint8Array(0);
    let ended = false;
    while (head.length < 2 && !ended) {
      const { done, value } = await pieces.next();
      if (done) ended = true;
      else head = head.length === 0 ? (value as Uint8Array<ArrayBuffer>) : joinBytes([head, value]);
    }
    const rest = { [Symbol.asyncIterator]: () => ({ next: () => pieces.next() }) };
    if (head[0] === 0x1f && head[1] === 0x8b) {
      yield* expand(head, rest, name, limit);
    } else {
      if (head.length > 0) yield head;
      if (!ended) yield* rest;
    }
  } finally {
    await pieces.return?.();
  }
}

/** Does the host's decompressor go on with the next member? Asked once, of two empty ones. */
const hostGoesOn = once(async (): Promise<boolean> => {
  const empty = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
  const stream = new Blob([Uint8Array.from([...empty, ...empty])]).stream();
  try {
    await new Response(stream.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
    return true;
  } catch {
    return false;
  }
});

async function* expand(
  head: Uint8Array,
  rest: AsyncIterable<Uint8Array>,
  name: string,
  limit: number | undefined,
): AsyncGenerator<Uint8Array> {
  let read = 0;
  let written = 0;
  /** What was read, where it may have to be read again. */
  let kept: Uint8Array[] | undefined = (await hostGoesOn()) ? undefined : [];
  const count = (piece: Uint8Array): Uint8Array => {
    read += piece.length;
    kept?.push(piece);
    if (read > MOST_KEPT) kept = undefined;
    return piece;
  };
  const bound = (piece: Uint8Array): Uint8Array => {
    written += piece.length;
    const most = limit ?? Math.max(LEAST_LIMIT, MOST_RATIO * read);
    if (written <= most) return piece;
    throw new DataError(`${name}: gzip data may expand to ${most} bytes, got more after ${read} compressed bytes.`, {
      where: name,
      hint: "If the file is trusted, pass a larger maxDecompressedBytes.",
    });
  };
  async function* input() {
    yield count(head);
    for await (const piece of rest) yield count(piece);
  }
  try {
    for await (const piece of expandByHost(input())) yield bound(piece);
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    if (!AFTER_END.test((cause as Error).message)) throw brokenGzip(name, written, cause as Error);
    if (!kept) throw tooLongToKeep(name, cause);
    // The host dropped what it had expanded last: all members again, without what was given already.
    const again = kept;
    kept = undefined;
    async function* fromStart() {
      yield* again;
      for await (const piece of rest) yield count(piece);
    }
    let given = written;
    try {
      for await (const piece of expandMembers(fromStart())) {
        const fresh = piece.subarray(Math.min(given, piece.length));
        given -= piece.length - fresh.length;
        if (fresh.length > 0) yield bound(fresh);
      }
    } catch (error) {
      throw error instanceof RangeError ? brokenGzip(name, written, error) : error;
    }
  }
}

/** The host's own decompressor. A DataError of the input comes out as it is. */
async function* expandByHost(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const stream = new DecompressionStream("gzip");
  const writer = stream.writable.getWriter();
  const reader = stream.readable.getReader();
  let inputError: unknown;
  const pump = async () => {
    try {
      for await (const piece of input) await writer.write(piece as BufferSource);
      await writer.close();
    } catch (error) {
      inputError = error;
      await writer.abort(error).catch(() => {});
    }
  };
  const pumping = pump();
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) break;
      yield value;
    }
  } catch (cause) {
    throw inputError instanceof DataError ? inputError : cause;
  } finally {
    await reader.cancel().catch(() => {});
    await pumping;
  }
}

function brokenGzip(name: string, written: number, cause: Error): DataError {
  if (NO_MEMBER.test(cause.message)) {
    return new DataError(`${name}: the gzip data is followed by bytes that are no gzip.`, {
      where: name,
      hint: "Cut them off, or write the file again.",
      cause,
    });
  }
  return new DataError(
    `${name}: broken gzip data after ${written} expanded bytes: ${cause.message || "it ends early"}.`,
    {
      where: name,
      hint: "The file is cut or damaged: fetch it again.",
      cause,
    },
  );
}

const tooLongToKeep = (name: string, cause: unknown): DataError =>
  new DataError(
    `${name}: a second gzip member begins after more than ${MOST_KEPT} bytes, too late to go on in this host.`,
    {
      where: name,
      hint: "Compress the parts again as one.",
      cause,
    },
  );
