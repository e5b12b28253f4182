/** Bytes to text: strict about encodings, because a wrong guess would train on garbage. */

import { ConfigError, DataError } from "../core/errors.js";
import { joinBytes } from "./join-bytes.js";
import { refuseForeign, unmarkedUtf16 } from "./magic.js";

export interface TextOptions {
  /**
   * Encoding of the file, as the web platform names it (`utf-8`, `latin1`, `windows-1252`, `utf-16le`, …). Unless told:
   * UTF-16 where a byte order mark says so, else UTF-8. The mark itself is dropped. Bytes that break the encoding are
   * errors, never replaced.
   */
  encoding?: string;
}

/**
 * Characters that a piece of text has at least, so that streams of tiny pieces cost no more than large ones, and bytes
 * that are decoded at once: a text and its rows are still in the cache when they are read.
 */
const PIECE = 1 << 16;

/** Bytes by which encodings and foreign formats are known. */
const HEAD = 64;

/** Decodes a stream; pieces never cut a character. Throws DataError with the offset of the first broken byte. */
export async function* decodeText(
  input: AsyncIterable<Uint8Array>,
  name: string,
  { encoding }: TextOptions = {},
): AsyncGenerator<string> {
  let decode: Decode | undefined;
  let held = "";
  try {
    for await (const piece of joinHead(input, HEAD)) {
      decode ??= decoderFor(encoding ?? sniff(piece, name), name);
      for (let at = 0; at < piece.length; at += PIECE) {
        held += decode(piece.subarray(at, at + PIECE));
        if (held.length < PIECE) continue;
        yield held;
        held = "";
      }
    }
    held += decode?.(undefined) ?? "";
  } catch (error) {
    // What stands before the broken byte is text all the same.
    held += error instanceof DataError ? String(error.details["before"] ?? "") : "";
    if (held) yield held;
    throw error;
  }
  if (held) yield held;
}

/** Text of the next piece, or, without one, of what was held back at the end. */
type Decode = (piece: Uint8Array | undefined) => string;

function decoderFor(encoding: string, name: string): Decode {
  const decoder = makeDecoder(encoding, name);
  return decoder.encoding === "utf-8" ? utf8Decoder(name) : streamDecoder(decoder, name);
}

function streamDecoder(decoder: TextDecoder, name: string): Decode {
  let offset = 0;
  return (piece) => {
    try {
      return piece ? decoder.decode(piece as BufferSource, { stream: true }) : decoder.decode();
    } catch (cause) {
      throw broken(name, decoder.encoding, offset, undefined, cause);
    } finally {
      offset += piece?.length ?? 0;
    }
  };
}

/** Whole characters go to the decoder at once, which is several times as fast as its own way with streams. */
function utf8Decoder(name: string): Decode {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let tail = new Uint8Array(0);
  /** Bytes before `tail`. */
  let offset = 0;
  return (piece) => {
    if (!piece) {
      if (tail.length > 0) throw broken(name, "utf-8", offset + tail.length, undefined, undefined);
      return "";
    }
    const bytes = tail.length === 0 ? piece : joinBytes([tail, piece]);
    const start = offset === 0 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
    const kept = incompleteTail(bytes);
    const whole = bytes.subarray(start, bytes.length - kept);
    try {
      return decoder.decode(whole as BufferSource);
    } catch (cause) {
      const at = invalidUtf8(whole);
      const before = decoder.decode(whole.subarray(0, at) as BufferSource);
      throw broken(name, "utf-8", offset + start + at, whole[at], cause, before);
    } finally {
      tail = bytes.slice(bytes.length - kept);
      offset += bytes.length - kept;
    }
  };
}

function makeDecoder(encoding: string, name: string): TextDecoder {
  try {
    return new TextDecoder(encoding, { fatal: true });
  } catch (cause) {
    throw new ConfigError(`${name}: unknown encoding "${encoding}".`, { where: name, cause });
  }
}

function broken(
  name: string,
  encoding: string,
  offset: number,
  byte: number | undefined,
  cause: unknown,
  before?: string,
): DataError {
  const what = byte === undefined ? "the text ends inside a character" : `byte 0x${byte.toString(16).padStart(2, "0")}`;
  return new DataError(`${name}: is not valid ${encoding}: ${what} at offset ${offset}.`, {
    where: name,
    hint: 'If the file has another encoding, name it, e.g. encoding: "latin1".',
    offset,
    before,
    cause,
  });
}

/** The encoding by the byte order mark, else UTF-8. Throws DataError on bytes that are no text, or UTF-16 without a mark. */
function sniff(head: Uint8Array, name: string): string {
  refuseForeign(head, name);
  const [first, second] = head;
  if (first === 0xff && second === 0xfe) return "utf-16le";
  if (first === 0xfe && second === 0xff) return "utf-16be";
  const likely = unmarkedUtf16(head);
  if (!likely) return "utf-8";
  throw new DataError(`${name}: looks like ${likely} without a byte order mark: every other byte is 0.`, {
    where: name,
    hint: `Pass encoding: "${likely}", or "utf-8" if the file is meant to be so.`,
  });
}

/** The same bytes, with a first piece of at least `count` bytes where there are so many. */
async function* joinHead(input: AsyncIterable<Uint8Array>, count: number): AsyncGenerator<Uint8Array> {
  let head: Uint8Array | undefined = new Uint8Array(0);
  for await (const piece of input) {
    if (head === undefined) yield piece;
    else {
      head = head.length === 0 ? piece : joinBytes([head, piece]);
      if (head.length < count) continue;
      yield head;
      head = undefined;
    }
  }
  if (head?.length) yield head;
}

const sequenceLength = (byte: number): number =>
  byte < 0x80
    ? 1
    : byte >= 0xc2 && byte < 0xe0
      ? 2
      : byte >= 0xe0 && byte < 0xf0
        ? 3
        : byte >= 0xf0 && byte < 0xf5
          ? 4
          : 0;

/** How many bytes at the end of a piece begin a character that the next piece completes. */
function incompleteTail(piece: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, piece.length); back++) {
    const byte = piece[piece.length - back];
    if ((byte & 0xc0) === 0x80) continue;
    return sequenceLength(byte) > back ? back : 0;
  }
  return 0;
}

/** Offset of the first byte that is no UTF-8 (RFC 3629: no overlong forms, no surrogates), or the length. */
export function invalidUtf8(bytes: Uint8Array): number {
  let i = 0;
  while (i < bytes.length) {
    const first = bytes[i];
    const length = sequenceLength(first);
    if (length === 0) return i;
    const second = bytes[i + 1];
    if (length > 1) {
      const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
      const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
      if (second < low || second > high) return i;
    }
    for (let k = 1; k < length; k++) {
      if (i + k >= bytes.length) return i;
      if ((bytes[i + k] & 0xc0) !== 0x80) return i;
    }
    i += length;
  }
  return i;
}
