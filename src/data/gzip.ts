/** Undoing gzip (RFC 1952) as a stream, with a bound on what a hostile file may expand to. */

import { DataError } from "../core/errors.js";

const LEAST_LIMIT = 64 * 2 ** 20;
/** Text seldom compresses more than 30 times; the format's own maximum is 1032. */
const MOST_RATIO = 250;
/** What Chromium, Firefox and Safari say of bytes behind the first member; Node goes on with the next. */
const AFTER_END = /junk found after|after the end|extra bytes past/i;

/** Passes bytes through; when they start with gzip's magic number, expands them. */
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
      else head = head.length === 0 ? (value as Uint8Array<ArrayBuffer>) : concat(head, value);
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

function concat(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

async function* expand(
  head: Uint8Array,
  rest: AsyncIterable<Uint8Array>,
  name: string,
  limit: number | undefined,
): AsyncGenerator<Uint8Array> {
  const stream = new DecompressionStream("gzip");
  const writer = stream.writable.getWriter();
  const reader = stream.readable.getReader();
  let read = head.length;
  let written = 0;
  let inputError: unknown;
  const pump = async () => {
    try {
      await writer.write(head as BufferSource);
      for await (const piece of rest) {
        read += piece.length;
        await writer.write(piece as BufferSource);
      }
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
      written += value.length;
      const most = limit ?? Math.max(LEAST_LIMIT, MOST_RATIO * read);
      if (written > most) {
        throw new DataError(
          `${name}: gzip data may expand to ${most} bytes, got more after ${read} compressed bytes.`,
          {
            where: name,
            hint: "If the file is trusted, pass a larger maxDecompressedBytes.",
          },
        );
      }
      yield value;
    }
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    if (inputError instanceof DataError) throw inputError;
    const { message } = cause as Error;
    if (AFTER_END.test(message)) {
      throw new DataError(`${name}: holds more than one gzip member, which browsers do not undo.`, {
        where: name,
        hint: "Files that are appended to each other, or written by bgzip, need to be compressed again as one.",
        cause,
      });
    }
    throw new DataError(`${name}: broken gzip data after ${written} expanded bytes: ${message || "it ends early"}.`, {
      where: name,
      hint: "The file is cut or damaged: fetch it again.",
      cause,
    });
  } finally {
    await reader.cancel().catch(() => {});
    await pumping;
  }
}
