/** Pages of Parquet expanded, never beyond the length that their header claims. */

import { readAll } from "./bytes.js";
import { gunzip } from "./gzip.js";
import { Breach } from "./parquet-breach.js";

/** Decompressors by the format's names, from hyparquet-compressors. */
export type Codecs = Readonly<Record<string, ((input: Uint8Array, length: number) => Uint8Array) | undefined>>;

/** One page's bytes expanded to exactly `length`. Throws Breach on any other length. */
export async function expandPage(
  codecs: Codecs,
  codec: string,
  input: Uint8Array,
  length: number,
): Promise<Uint8Array> {
  let page: Uint8Array;
  // A copy: cells are views of their page, and the input may be the caller's own memory.
  if (codec === "UNCOMPRESSED") page = input.slice();
  else if (length === 0) return new Uint8Array(0);
  else if (codec === "GZIP") page = await expandGzip(input, length);
  else {
    const expand = codecs[codec];
    if (!expand) throw new Breach(`the codec ${codec} is not supported`);
    if (codec === "ZSTD") checkZstd(input, length);
    page = expand(input, length);
  }
  if (page.length !== length) throw new Breach(`a page expands to ${page.length} bytes, its header says ${length}`);
  return page;
}

/** By the host's own decompressor, which can be stopped; the library's runs to the end of what it is given. */
async function expandGzip(input: Uint8Array, length: number): Promise<Uint8Array> {
  async function* once() {
    yield input;
  }
  try {
    if (input[0] !== 0x1f || input[1] !== 0x8b) throw new Breach("no gzip header");
    return await readAll(gunzip(once(), "gzip", length), "gzip", length);
  } catch (cause) {
    throw new Breach(`a page of ${input.length} bytes is no gzip data of ${length} bytes`, undefined, cause);
  }
}

/** Zstandard's frames (RFC 8878) walked without expanding: their windows and blocks decide what expanding costs. */
function checkZstd(input: Uint8Array, length: number): void {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  const block = 1 << 17;
  let at = 0;
  let known = 0;
  let compressedBlocks = 0;
  while (at < input.length) {
    const magic = view.getUint32(at, true);
    if (magic >>> 4 === 0x184d2a5) {
      at += 8 + view.getUint32(at + 4, true);
      continue;
    }
    if (magic !== 0xfd2fb528) throw new Breach("a page is not in the Zstandard format");
    const flags = view.getUint8(at + 4);
    const single = (flags & 32) !== 0;
    const sizeBytes = flags >> 6 ? 1 << (flags >> 6) : single ? 1 : 0;
    const exponent = view.getUint8(at + 5) >> 3;
    // A window beyond 8 MiB and the page itself serves no page.
    if (!single && 2 ** (10 + exponent) > Math.max(2 ** 23, 2 * length)) {
      throw new Breach(`a Zstandard page of ${length} bytes asks for a window of 2^${10 + exponent} bytes`);
    }
    at += 5 + (single ? 0 : 1) + [0, 1, 2, 4][flags & 3];
    if (sizeBytes > 0) {
      const size =
        sizeBytes === 1
          ? view.getUint8(at)
          : sizeBytes === 2
            ? view.getUint16(at, true) + 256
            : view.getUint32(at, true);
      if (size > length || (sizeBytes === 8 && view.getUint32(at + 4, true) > 0)) {
        throw new Breach(`a Zstandard frame claims more bytes than the ${length} of its page`);
      }
    }
    at += sizeBytes;
    for (let last = false; !last; ) {
      const head = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
      const size = head >> 3;
      const kind = (head >> 1) & 3;
      last = (head & 1) === 1;
      at += 3 + (kind === 1 ? 1 : size);
      if (kind < 2) known += size;
      else compressedBlocks++;
      if (known > length || compressedBlocks * block > 64 * length + 2 ** 26) {
        throw new Breach(`the blocks of a Zstandard page expand beyond its ${length} bytes`);
      }
    }
    if (flags & 4) at += 4;
  }
}
