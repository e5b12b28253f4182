/** Counts inside Parquet's packed encodings, held against their bytes: RLE/bit-packed runs and delta blocks. */

import { Breach } from "./parquet-breach.js";
import { CompactReader, zigzag } from "./thrift.js";

interface Runs {
  bytes: Uint8Array;
  at: number;
  end: number;
  /** Bits of a value. */
  width: number;
  /** Values that there must be. */
  count: number;
  /** Greatest value allowed. */
  most: number;
  /** How often each value from 0 to `most` comes is added here, if given. */
  counts?: number[];
  /** What the values are, for messages. */
  what: string;
}

/**
 * Walks runs of the RLE/bit-packing hybrid up to `count` values. Throws Breach when a run has more values than are left, a
 * value exceeds `most`, or the bytes end first.
 */
export function walkRuns({ bytes, at, end, width, count, most, counts, what }: Runs): void {
  const exceeds = (value: number) => new Breach(`${what} of a page go up to ${most}, one is ${value}`);
  const note = (value: number, times: number) => {
    if (counts) counts[value] += times;
  };
  const reader = new CompactReader(bytes.subarray(0, end), at);
  let left = count;
  while (left > 0) {
    if (reader.at >= end) throw new Breach(`${what} of a page end ${left} before the ${count} that it announces`);
    const header = reader.varint(5);
    const length = Math.floor(header / 2);
    const from = reader.at;
    if (header % 2 === 1) {
      reader.at += length * width;
      if (reader.at > end) throw new Breach(`a run of ${length * 8} packed ${what} does not fit into its page`);
      if (width === 0 && length * 8 > left + 7) throw tooLong(length * 8, left, what);
      const packed = Math.min(left, length * 8);
      if (width === 1 && most >= 1) {
        const ones = popcount(bytes, from, packed);
        note(1, ones);
        note(0, packed - ones);
      } else if (width <= 24 && (counts || most < 2 ** width - 1)) {
        const greatest = walkPacked(bytes, from, width, packed, counts);
        if (greatest > most) throw exceeds(greatest);
      }
      left -= packed;
      continue;
    }
    let value = 0;
    for (let i = 0; i < width; i += 8) {
      if (reader.at >= end) throw new Breach(`a run of ${what} has no value`);
      value += bytes[reader.at++] * 2 ** i;
    }
    if (length > left) throw tooLong(length, left, what);
    if (value > most && length > 0) throw exceeds(value);
    note(value, length);
    left -= length;
  }
}

const tooLong = (length: number, left: number, what: string) =>
  new Breach(`a run of ${length} ${what} where ${left} are left`);

/** The greatest of `count` packed values; each is added to `counts`, too. */
function walkPacked(bytes: Uint8Array, at: number, width: number, count: number, counts: number[] | undefined): number {
  const mask = 2 ** width - 1;
  let greatest = 0;
  let held = 0;
  let bits = 0;
  for (let i = 0; i < count; i++) {
    while (bits < width) {
      held |= bytes[at++] << bits;
      bits += 8;
    }
    const value = held & mask;
    if (value > greatest) greatest = value;
    if (counts && value < counts.length) counts[value]++;
    held >>>= width;
    bits -= width;
  }
  return greatest;
}

/** Ones among the first `count` bits from byte `at` on. */
function popcount(bytes: Uint8Array, at: number, count: number): number {
  let ones = 0;
  for (let left = count; left > 0; left -= 8) {
    let byte = bytes[at++];
    if (left < 8) byte &= (1 << left) - 1;
    byte -= (byte >> 1) & 0x55;
    byte = (byte & 0x33) + ((byte >> 2) & 0x33);
    ones += (byte + (byte >> 4)) & 15;
  }
  return ones;
}

/** Sizes of delta blocks: the format wants blocks of a multiple of 128 values and miniblocks of one of 32. */
export function checkDeltaHeader(bytes: Uint8Array, at: number, count: number): void {
  new DeltaBlocks(new CompactReader(bytes, at), count);
}

/** DELTA_BYTE_ARRAY: each text repeats a prefix of the one before. Returns how many bytes the texts have together. */
export function checkDeltaTexts(bytes: Uint8Array, at: number, count: number): number {
  const reader = new CompactReader(bytes, at);
  const shared = new DeltaBlocks(reader, count).read();
  const own = new DeltaBlocks(reader, count).read();
  let before = 0;
  let total = 0;
  for (let i = 0; i < count; i++) {
    if (shared[i] < 0 || shared[i] > before || own[i] < 0)
      throw new Breach("a text of a page has an impossible length");
    before = shared[i] + own[i];
    total += before;
  }
  return total;
}

/** DELTA_BINARY_PACKED numbers of 32 bits. */
class DeltaBlocks {
  private readonly miniblocks: number;
  private readonly perMiniblock: number;
  private readonly first: number;

  constructor(
    private readonly reader: CompactReader,
    private readonly count: number,
  ) {
    const size = reader.varint(10);
    this.miniblocks = reader.varint(10);
    this.perMiniblock = size / this.miniblocks;
    const total = reader.varint(10);
    this.first = reader.varint(10);
    const sensible = size > 0 && size <= 2 ** 24 && size % 128 === 0 && this.perMiniblock % 32 === 0;
    if (!sensible || this.miniblocks > reader.bytes.length) {
      throw new Breach(`a page has delta blocks of ${size} values in ${this.miniblocks} miniblocks`);
    }
    if (total !== count) throw new Breach(`a page has ${total} delta values, ${count} were announced`);
  }

  /** All values, modulo 2^32. Leaves the reader behind the last miniblock that holds any. */
  read(): Int32Array {
    const { reader, count, miniblocks, perMiniblock } = this;
    const { bytes } = reader;
    const out = new Int32Array(count);
    let value = zigzag(this.first) | 0;
    let done = 0;
    out[done++] = value;
    while (done < count) {
      const least = zigzag(reader.varint(10)) | 0;
      const widths = bytes.subarray(reader.at, reader.at + miniblocks);
      reader.at += miniblocks;
      for (let m = 0; m < miniblocks && done < count; m++) {
        const width = widths[m];
        const start = reader.at;
        reader.at += (perMiniblock / 8) * width;
        if (!(reader.at <= bytes.length)) throw new Breach("a delta block does not fit into its page");
        for (let k = 0; k < perMiniblock && done < count; k++) {
          let residual = 0;
          for (let bit = 0; bit < width && bit < 32; bit++) {
            const place = k * width + bit;
            residual |= ((bytes[start + (place >> 3)] >> (place & 7)) & 1) << bit;
          }
          value = (value + least + residual) | 0;
          out[done++] = value;
        }
      }
    }
    return out;
  }
}
