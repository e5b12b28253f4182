/** POSIX ustar archives, as far as runs need them: regular files with plain paths. */

import { FormatError } from "../core/errors.js";
import type { ByteSource } from "../core/platform.js";

const BLOCK = 512;
const latin1 = new TextDecoder("latin1");
const utf8 = new TextEncoder();

export interface TarEntry {
  readonly path: string;
  readonly size: number;
  /** Offset of its bytes in the archive. */
  readonly start: number;
}

/** The header block of a file. The time is 1970, the owner nobody: equal files give equal archives. */
export function tarHeader(path: string, size: number): Uint8Array {
  const block = new Uint8Array(BLOCK);
  const put = (text: string, at: number) => block.set(utf8.encode(text), at);
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, "0");
  const [name, prefix] = splitPath(path);
  put(name, 0);
  put(`${octal(0o644, 7)}\0${octal(0, 7)}\0${octal(0, 7)}\0`, 100);
  put(`${octal(size, size < 8 ** 11 ? 11 : 12)}${size < 8 ** 11 ? "\0" : ""}`, 124);
  put(`${octal(0, 11)}\0`, 136);
  put("0", 156);
  put("ustar\x0000", 257);
  put(prefix, 345);
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(`${octal(sum, 6)}\0 `, 148);
  return block;
}

/** ustar keeps 100 bytes of name and 155 of folders before it. */
function splitPath(path: string): [name: string, prefix: string] {
  if (utf8.encode(path).length <= 100) return [path, ""];
  for (let cut = path.indexOf("/"); cut >= 0; cut = path.indexOf("/", cut + 1)) {
    const [prefix, name] = [path.slice(0, cut), path.slice(cut + 1)];
    if (utf8.encode(name).length <= 100 && utf8.encode(prefix).length <= 155) return [name, prefix];
  }
  throw new FormatError(`tar: a path of at most 255 bytes expected, got ${path}.`, { where: "tar", path });
}

/** Zeros that fill the last block of a file. */
export const tarPadding = (size: number): Uint8Array => new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK);

/** The end of an archive: two empty blocks. */
export const tarEnd = (): Uint8Array => new Uint8Array(2 * BLOCK);

/**
 * The regular files of an archive, in order; folders are passed over. Links, devices and other kinds, wrong checksums
 * and an archive that is cut short are FormatErrors naming the offset. Paths are as they are written: check them.
 */
export async function* tarEntries(archive: ByteSource): AsyncGenerator<TarEntry> {
  const broken = (offset: number, expected: string, got: string) =>
    new FormatError(`${archive.name}: at byte ${offset} ${expected} expected, got ${got}.`, {
      where: archive.name,
      offset,
    });
  for (let at = 0; ; ) {
    if (at + BLOCK > archive.byteLength) throw broken(at, "a block of 512 bytes", `${archive.byteLength - at} bytes`);
    const block = await archive.read(at, at + BLOCK);
    if (block.every((byte) => byte === 0)) return;
    const number = (from: number, to: number, what: string): number => {
      const digits = latin1
        .decode(block.subarray(from, to))
        .replace(/[\0 ]+$/, "")
        .trim();
      if (/^[0-7]+$/.test(digits)) return Number.parseInt(digits, 8);
      throw broken(at + from, `an octal ${what}`, JSON.stringify(digits));
    };
    const text = (from: number, to: number): string => {
      const end = block.indexOf(0, from);
      return new TextDecoder().decode(block.subarray(from, end < 0 || end > to ? to : end));
    };
    const sum = block.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 0x20 : byte), 0);
    const written = number(148, 156, "checksum");
    if (written !== sum) throw broken(at, `a header with checksum ${sum}`, String(written));
    const size = number(124, 136, "size");
    const prefix = latin1.decode(block.subarray(257, 262)) === "ustar" ? text(345, 500) : "";
    const path = prefix === "" ? text(0, 100) : `${prefix}/${text(0, 100)}`;
    const kind = block[156];
    const start = at + BLOCK;
    if (start + size > archive.byteLength) throw broken(start, `${size} bytes of ${path}`, "the end of the archive");
    if (kind === 0x30 || kind === 0) yield { path, size, start };
    else if (kind !== 0x35)
      throw broken(at + 156, "regular files and folders", `kind "${String.fromCharCode(kind)}" for ${path}`);
    at = start + Math.ceil(size / BLOCK) * BLOCK;
  }
}
