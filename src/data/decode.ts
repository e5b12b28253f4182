/** Bytes to text: strict about encodings, because a wrong guess would train on garbage. */

import { ConfigError, DataError } from "../core/errors.js";

export interface TextOptions {
  /**
   * Encoding of the file, as the web platform names it (`utf-8`, `latin1`, `windows-1252`, `utf-16le`, …). Unless told:
   * UTF-16 where a byte order mark says so, else UTF-8. The mark itself is dropped. Bytes that break the encoding are
   * errors, never replaced.
   */
  encoding?: string;
}

/** Characters that a piece of text has at least, so that streams of tiny pieces cost no more than large ones. */
const PIECE = 1 << 16;

/** Decodes a stream; pieces never cut a character. Throws DataError with the offset of the first broken byte. */
export async function* decodeText(
  input: AsyncIterable<Uint8Array>,
  name: string,
  { encoding }: TextOptions = {},
): AsyncGenerator<string> {
  let decoder: TextDecoder | undefined;
  let offset = 0;
  let held = "";
  let tail = new Uint8Array(0);
  const explicit = encoding;
  for await (const piece of joinHead(input, 3)) {
    decoder ??= makeDecoder(explicit ?? sniff(piece), name);
    let text: string;
    try {
      text = decoder.decode(piece as BufferSource, { stream: true });
    } catch (cause) {
      if (decoder.encoding !== "utf-8") throw broken(name, decoder.encoding, offset, undefined, cause);
      const bytes = new Uint8Array([...tail, ...piece]);
      const at = invalidUtf8(bytes);
      const before = new TextDecoder().decode(bytes.subarray(0, at));
      if (held + before) yield held + before;
      throw broken(name, "utf-8", offset - tail.length + at, bytes[at], cause);
    }
    offset += piece.length;
    tail = incompleteTail(piece, tail) as Uint8Array<ArrayBuffer>;
    held += text;
    if (held.length >= PIECE) {
      yield held;
      held = "";
    }
  }
  try {
    held += decoder?.decode() ?? "";
  } catch (cause) {
    if (held) yield held;
    throw broken(name, decoder!.encoding, offset, undefined, cause);
  }
  if (held) yield held;
}

function makeDecoder(encoding: string, name: string): TextDecoder {
  try {
    return new TextDecoder(encoding, { fatal: true });
  } catch (cause) {
    throw new ConfigError(`${name}: unknown encoding "${encoding}".`, { where: name, cause });
  }
}

function broken(name: string, encoding: string, offset: number, byte: number | undefined, cause: unknown): DataError {
  const what = byte === undefined ? "the text ends inside a character" : `byte 0x${byte.toString(16).padStart(2, "0")}`;
  return new DataError(`${name}: is not valid ${encoding}: ${what} at offset ${offset}.`, {
    where: name,
    hint: 'If the file has another encoding, name it, e.g. encoding: "latin1".',
    offset,
    cause,
  });
}

const sniff = (bytes: Uint8Array): string =>
  bytes[0] === 0xff && bytes[1] === 0xfe ? "utf-16le" : bytes[0] === 0xfe && bytes[1] === 0xff ? "utf-16be" : "utf-8";

/** The same bytes, with a first piece of at least `count` bytes where there are so many. */
async function* joinHead(input: AsyncIterable<Uint8Array>, count: number): AsyncGenerator<Uint8Array> {
  let head: Uint8Array | undefined = new Uint8Array(0);
  for await (const piece of input) {
    if (head === undefined) yield piece;
    else {
      head = head.length === 0 ? piece : new Uint8Array([...head, ...piece]);
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

/** The bytes at the end of a piece that begin a character which the next piece completes. */
function incompleteTail(piece: Uint8Array, before: Uint8Array): Uint8Array {
  if (piece.length < 3 && before.length > 0)
    return incompleteTail(new Uint8Array([...before, ...piece]), new Uint8Array(0));
  for (let back = 1; back <= Math.min(3, piece.length); back++) {
    const byte = piece[piece.length - back];
    if ((byte & 0xc0) === 0x80) continue;
    return sequenceLength(byte) > back ? piece.slice(piece.length - back) : new Uint8Array(0);
  }
  return new Uint8Array(0);
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
