/** Counts inside Parquet's packed encodings, held against their bytes: RLE/bit-packed runs and delta blocks. */

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
  /** The value to count, if any. */
  wanted?: number;
  /** What the values are, for messages. */
  what: string;
}

/**
 * Walks runs of the RLE/bit-packing hybrid up to `count` values; returns how many equal `wanted`. Throws RangeError when
 * a run has more values than are left, a value exceeds `most`, or the bytes end first.
 */
export function walkRuns({ bytes, at, end, width, count, most, wanted = -1, what }: Runs): number {
  const exceeds = (value: number) => new RangeError(`${what} of a page go up to ${most}, one is ${value}`);
  let equal = 0;
  let left = count;
  while (left > 0) {
    let header = 0;
    for (let shift = 0; ; shift += 7) {
      if (at >= end) throw new RangeError(`${what} of a page end ${left} before the ${count} that it announces`);
      if (shift > 28) throw new RangeError(`a run of ${what} has an endless length`);
      const byte = bytes[at++];
      header |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    const length = header >>> 1;
    if (header & 1) {
      const stop = at + length * width;
      if (stop > end) throw new RangeError(`a run of ${length * 8} packed ${what} does not fit into its page`);
      if (width === 0 && length * 8 > left + 7) throw tooLong(length * 8, left, what);
      const packed = Math.min(left, length * 8);
      if (width === 1 && most >= 1) {
        const ones = popcount(bytes, at, packed);
        equal += wanted === 1 ? ones : wanted === 0 ? packed - ones : 0;
      } else if (width <= 24 && (wanted >= 0 || most < 2 ** width - 1))
        equal += walkPacked(bytes, at, width, packed, most, wanted, exceeds);
      at = stop;
      left -= packed;
      continue;
    }
    let value = 0;
    for (let i = 0; i < width; i += 8) {
      if (at >= end) throw new RangeError(`a run of ${what} has no value`);
      value += bytes[at++] * 2 ** i;
    }
    if (length > left) throw tooLong(length, left, what);
    if (value > most && length > 0) throw exceeds(value);
    if (value === wanted) equal += length;
    left -= length;
  }
  return equal;
}

const tooLong = (length: number, left: number, what: string) =>
  new RangeError(`a run of ${length} ${what} where ${left} are left`);

function walkPacked(
  bytes: Uint8Array,
  at: number,
  width: number,
  count: number,
  most: number,
  wanted: number,
  exceeds: (value: number) => RangeError,
): number {
  const mask = 2 ** width - 1;
  let equal = 0;
  let held = 0;
  let bits = 0;
  for (let i = 0; i < count; i++) {
    while (bits < width) {
      held |= bytes[at++] << bits;
      bits += 8;
    }
    const value = held & mask;
    held >>>= width;
    bits -= width;
    if (value === wanted) equal++;
    if (value > most) throw exceeds(value);
  }
  return equal;
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
  new DeltaBlocks(bytes, at, count);
}

/** DELTA_BYTE_ARRAY: each text repeats a prefix of the one before; the sum of lengths must be near what is there. */
export function checkDeltaTexts(bytes: Uint8Array, at: number, count: number): void {
  const prefixes = new DeltaBlocks(bytes, at, count);
  const shared = prefixes.read();
  const suffixes = new DeltaBlocks(bytes, prefixes.at, count);
  const own = suffixes.read();
  let before = 0;
  let total = 0;
  for (let i = 0; i < count; i++) {
    if (shared[i] < 0 || shared[i] > before || own[i] < 0)
      throw new RangeError("a text of a page has an impossible length");
    before = shared[i] + own[i];
    total += before;
  }
  if (total > Math.max(2 ** 26, 1100 * bytes.length)) {
    throw new RangeError(`the texts of a page of ${bytes.length} bytes claim ${total} bytes`);
  }
}

/** DELTA_BINARY_PACKED numbers of 32 bits. */
class DeltaBlocks {
  at: number;
  private readonly miniblocks: number;
  private readonly perMiniblock: number;
  private readonly first: number;

  constructor(
    private readonly bytes: Uint8Array,
    at: number,
    private readonly count: number,
  ) {
    this.at = at;
    const size = this.varint();
    this.miniblocks = this.varint();
    this.perMiniblock = size / this.miniblocks;
    const total = this.varint();
    this.first = this.varint();
    const sensible = size > 0 && size <= 2 ** 24 && size % 128 === 0 && this.perMiniblock % 32 === 0;
    if (!sensible || this.miniblocks > bytes.length) {
      throw new RangeError(`a page has delta blocks of ${size} values in ${this.miniblocks} miniblocks`);
    }
    if (total !== count) throw new RangeError(`a page has ${total} delta values, ${count} were announced`);
  }

  /** All values, modulo 2^32. Leaves `at` behind the last miniblock that holds any. */
  read(): Int32Array {
    const { bytes, count, miniblocks, perMiniblock } = this;
    const out = new Int32Array(count);
    let value = unzigzag(this.first);
    let done = 0;
    out[done++] = value;
    while (done < count) {
      const least = unzigzag(this.varint());
      const widths = bytes.subarray(this.at, this.at + miniblocks);
      this.at += miniblocks;
      for (let m = 0; m < miniblocks && done < count; m++) {
        const width = widths[m];
        const start = this.at;
        this.at += (perMiniblock / 8) * width;
        if (!(this.at <= bytes.length)) throw new RangeError("a delta block does not fit into its page");
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

  private varint(): number {
    let value = 0;
    for (let i = 0, scale = 1; i < 10; i++, scale *= 128) {
      if (this.at >= this.bytes.length) throw new RangeError("a delta block has no end");
      const byte = this.bytes[this.at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw new RangeError("a delta block has a number of more than ten bytes");
  }
}

const unzigzag = (value: number): number => (value % 2 ? -(value + 1) / 2 : value / 2) | 0;
