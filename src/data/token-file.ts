/**
 * Token files: a corpus as ids on disk, read by range, so that training takes 10 GB of them without loading it.
 *
 * Layout, little-endian: `TENONTOK`, u32 version (1), u32 bytes per id (2 or 4); the ids; u64 number of ids, 32 bytes of
 * their content hash, `TENONEND`. What stands at the end is known only then, so a file is written in one pass, and a cut
 * file is recognised. Files of bare ids (as nanoGPT writes them) are read by naming their `dtype`.
 */

import { ConfigError, DataError } from "../core/errors.js";
import { createHasher } from "../core/sha256.js";
import { type DataSource, openBytes } from "./bytes.js";
import { checkKinds } from "./options.js";
import { hashTokens, type TokenArray, type TokenSequence } from "./tokens.js";

const HEAD = 16;
const TAIL = 48;
const text = (bytes: Uint8Array): string => String.fromCharCode(...bytes);
const ascii = (word: string): Uint8Array => Uint8Array.from(word, (letter) => letter.charCodeAt(0));

/** Ids on disk; `close` frees the file. */
export interface TokenFile extends TokenSequence {
  close(): Promise<void>;
}

export interface TokenFileOptions {
  /** For files of bare ids: how they are stored, little-endian. */
  dtype?: "uint16" | "uint32" | "int32";
}

/** Opens a token file for reading by range. Throws DataError on files that are cut or of another kind. */
export async function openTokenFile(source: DataSource, options: TokenFileOptions = {}): Promise<TokenFile> {
  checkKinds("openTokenFile", options, { dtype: ["uint16", "uint32", "int32"] });
  const file = await openBytes(source).open();
  const { name, byteLength } = file;
  const fail = async (what: string, hint?: string): Promise<never> => {
    await file.close?.();
    throw new DataError(`${name}: ${what}.`, { where: name, hint });
  };
  const close = async () => {
    await file.close?.();
  };
  if (options.dtype !== undefined) {
    const width = options.dtype === "uint16" ? 2 : 4;
    if (byteLength % width !== 0) await fail(`${byteLength} bytes are no whole number of ${options.dtype} ids`);
    const read = reader(file, 0, width);
    const length = byteLength / width;
    return { name, length, read, close, contentHash: () => hashTokens(length, read) };
  }
  const isOurs = byteLength >= HEAD + TAIL && text(await file.read(0, 8)) === "TENONTOK";
  if (!isOurs) await fail("is no token file", 'For a file of bare ids, name their dtype, e.g. dtype: "uint16".');
  const head = new DataView((await file.read(8, HEAD)).buffer);
  const width = head.getUint32(4, true);
  if (head.getUint32(0, true) !== 1) await fail(`has version ${head.getUint32(0, true)}, version 1 was expected`);
  if (width !== 2 && width !== 4) await fail(`has ${width} bytes per id, 2 or 4 were expected`);
  const tail = await file.read(byteLength - TAIL, byteLength);
  const length = Number(new DataView(tail.buffer, tail.byteOffset).getBigUint64(0, true));
  if (text(tail.subarray(40)) !== "TENONEND" || HEAD + length * width + TAIL !== byteLength) {
    await fail("is a token file that was cut or never finished", "Write it again.");
  }
  const hash = Array.from(tail.subarray(8, 40), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { name, length, read: reader(file, HEAD, width), close, contentHash: async () => hash };
}

/** Does the content of a token file have the hash that stands at its end? Reads all of it. */
export async function verifyTokenFile(tokens: TokenSequence): Promise<boolean> {
  return (await hashTokens(tokens.length, (start, end) => tokens.read(start, end))) === (await tokens.contentHash());
}

function reader(file: { read(start: number, end: number): Promise<Uint8Array> }, base: number, width: number) {
  return async (start: number, end: number): Promise<ArrayLike<number>> => {
    const bytes = await file.read(base + start * width, base + end * width);
    // A fresh array starts at offset 0; anything else is copied, because typed arrays need alignment.
    const aligned = bytes.byteOffset % width === 0 ? bytes : bytes.slice();
    const Ids = width === 2 ? Uint16Array : Int32Array;
    return new Ids(aligned.buffer as ArrayBuffer, aligned.byteOffset, end - start);
  };
}

/**
 * The bytes of a token file, for ids that come in pieces: write them to a file, OPFS or a Blob as they come. `width` 2
 * serves vocabularies up to 65,536. Throws ConfigError on an id that does not fit.
 */
export async function* tokenFileBytes(
  pieces: AsyncIterable<TokenArray> | Iterable<TokenArray>,
  width: 2 | 4 = 4,
): AsyncGenerator<Uint8Array> {
  const head = new Uint8Array(HEAD);
  head.set(ascii("TENONTOK"));
  const headView = new DataView(head.buffer);
  headView.setUint32(8, 1, true);
  headView.setUint32(12, width, true);
  yield head;
  const hasher = createHasher();
  const most = width === 2 ? 0xffff : 0x7fffffff;
  let count = 0;
  for await (const ids of pieces) {
    const words = new Uint8Array(4 * ids.length);
    const wordView = new DataView(words.buffer);
    const out = new Uint8Array(width * ids.length);
    const view = new DataView(out.buffer);
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i];
      if (id < 0 || id > most) {
        throw new ConfigError(`token file: ids of ${width} bytes reach from 0 to ${most}, got ${id}.`, {
          where: "token file",
          hint: width === 2 ? "Write with a width of 4." : undefined,
        });
      }
      wordView.setUint32(4 * i, id, true);
      if (width === 2) view.setUint16(2 * i, id, true);
    }
    hasher.update(words);
    count += ids.length;
    yield width === 2 ? out : words;
  }
  const tail = new Uint8Array(TAIL);
  new DataView(tail.buffer).setBigUint64(0, BigInt(count), true);
  const digest = hasher.digest();
  for (let i = 0; i < 32; i++) tail[8 + i] = Number.parseInt(digest.slice(2 * i, 2 * i + 2), 16);
  tail.set(ascii("TENONEND"), 40);
  yield tail;
}
