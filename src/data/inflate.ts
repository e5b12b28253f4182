/**
 * DEFLATE (RFC 1951) undone in JavaScript, as a stream that says where it ends: what browsers' own decompressors do not,
 * and without which the next member of a gzip file cannot be found.
 */

/** Throws RangeError on what breaks the format. */
const broken = (what: string): never => {
  throw new RangeError(what);
};

/** Length codes 257 to 285 and distance codes 0 to 29: least value and number of further bits. */
const LENGTHS = codes(29, 8, 4, 3);
const DISTANCES = codes(30, 4, 2, 1);
LENGTHS.bits[28] = 0;
LENGTHS.base[28] = 258;

/** `flat` codes without further bits, then one bit more for every `group` codes. */
function codes(count: number, flat: number, group: number, first: number): { base: Uint16Array; bits: Uint8Array } {
  const base = new Uint16Array(count);
  const bits = new Uint8Array(count);
  for (let i = 0, at = first; i < count; i++) {
    bits[i] = i < flat ? 0 : Math.floor((i - flat) / group) + 1;
    base[i] = at;
    at += 1 << bits[i];
  }
  return { base, bits };
}

/** In which order the lengths of the codes for code lengths are written. */
const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const LONGEST = 15;

/** A prefix code as a table: the next 15 bits of input lead to a symbol and its length, `symbol << 4 | length`. */
type Code = Uint16Array;

function codeOf(lengths: Uint8Array): Code {
  const counts = new Uint16Array(LONGEST + 1);
  for (const length of lengths) counts[length]++;
  counts[0] = 0;
  const next = new Uint16Array(LONGEST + 2);
  for (let bits = 1; bits <= LONGEST; bits++) next[bits + 1] = (next[bits] + counts[bits]) << 1;
  let left = 1;
  for (let bits = 1; bits <= LONGEST; bits++) {
    left = 2 * left - counts[bits];
    if (left < 0) broken("a code has more words than its lengths allow");
  }
  const table = new Uint16Array(1 << LONGEST);
  for (let symbol = 0; symbol < lengths.length; symbol++) {
    const length = lengths[symbol];
    if (length === 0) continue;
    // Codes are written from their highest bit, input is read from the lowest.
    let reversed = 0;
    for (let bit = 0, code = next[length]++; bit < length; bit++, code >>= 1) reversed = (reversed << 1) | (code & 1);
    const entry = (symbol << 4) | length;
    for (let at = reversed; at < table.length; at += 1 << length) table[at] = entry;
  }
  return table;
}

const fixedLengths = new Uint8Array(288).fill(8).fill(9, 144, 256).fill(7, 256, 280);
let fixed: { literals: Code; distances: Code } | undefined;

const WINDOW = 1 << 15;
const OUT = 1 << 16;
/** Bytes that the longest header of a block and one symbol after it can take. */
const RESERVE = 400;

/**
 * One DEFLATE stream. `push` input and take what it gives until `ended`; `rest()` is the input behind the end. Throws
 * RangeError on what breaks the format, and on input that ends first.
 */
export class Inflate {
  ended = false;
  private input = new Uint8Array(0);
  private at = 0;
  private held = 0;
  private count = 0;
  /** The window of 32 KiB, then what is new. */
  private readonly out = new Uint8Array(WINDOW + OUT + 258);
  private end = WINDOW;
  /** Bytes before `end` that were written: no distance may reach further back. */
  private written = 0;
  private final = false;
  private block: "none" | "stored" | "coded" = "none";
  private stored = 0;
  private literals: Code = new Uint16Array(0);
  private distances: Code = new Uint16Array(0);

  /** Expands further input; `last` says that no more will come. The arrays are the caller's. */
  *push(piece: Uint8Array, last: boolean): Generator<Uint8Array> {
    this.putBack();
    const left = this.input.length - this.at;
    const joined = new Uint8Array(left + piece.length);
    joined.set(this.input.subarray(this.at));
    joined.set(piece, left);
    this.input = joined;
    this.at = 0;
    while (!this.ended) {
      // Within the reserve nothing can run out in the middle of a symbol.
      if (!last && this.input.length - this.at <= RESERVE) break;
      if (this.block === "none") this.begin();
      else if (this.block === "stored") this.copyStored(last);
      else this.decode(last);
      if (this.end - WINDOW >= OUT) yield this.flush();
    }
    if (this.end > WINDOW) yield this.flush();
  }

  /** Input that was pushed and lies behind the end. */
  rest(): Uint8Array {
    this.putBack();
    return this.input.subarray(this.at);
  }

  /** Whole bytes that were read ahead are input again. */
  private putBack(): void {
    this.at -= this.count >> 3;
    this.count &= 7;
    this.held &= (1 << this.count) - 1;
  }

  private flush(): Uint8Array {
    const fresh = this.out.slice(WINDOW, this.end);
    this.out.copyWithin(0, this.end - WINDOW, this.end);
    this.end = WINDOW;
    return fresh;
  }

  private bits(wanted: number): number {
    while (this.count < wanted) {
      if (this.at >= this.input.length) broken("the data ends early");
      this.held |= this.input[this.at++] << this.count;
      this.count += 8;
    }
    const value = this.held & ((1 << wanted) - 1);
    this.held >>>= wanted;
    this.count -= wanted;
    return value;
  }

  private begin(): void {
    if (this.final) {
      this.ended = true;
      return;
    }
    this.final = this.bits(1) === 1;
    const kind = this.bits(2);
    if (kind === 0) {
      this.bits(this.count & 7);
      this.stored = this.bits(16);
      if ((this.stored ^ 0xffff) !== this.bits(16)) broken("a stored block contradicts its length");
      this.block = "stored";
    } else if (kind === 1) {
      fixed ??= { literals: codeOf(fixedLengths), distances: codeOf(new Uint8Array(30).fill(5)) };
      this.literals = fixed.literals;
      this.distances = fixed.distances;
      this.block = "coded";
    } else if (kind === 2) {
      this.readCodes();
      this.block = "coded";
    } else broken("a block has the unknown type 3");
  }

  private readCodes(): void {
    const literals = this.bits(5) + 257;
    const distances = this.bits(5) + 1;
    const count = this.bits(4) + 4;
    if (literals > 286) broken(`a block has ${literals} codes`);
    const lengths = new Uint8Array(19);
    for (let i = 0; i < count; i++) lengths[ORDER[i]] = this.bits(3);
    const code = codeOf(lengths);
    const all = new Uint8Array(literals + distances);
    for (let i = 0; i < all.length; ) {
      const symbol = this.symbol(code);
      if (symbol < 16) {
        all[i++] = symbol;
        continue;
      }
      if (symbol === 16 && i === 0) broken("a block repeats a length before the first");
      const times = symbol === 16 ? 3 + this.bits(2) : symbol === 17 ? 3 + this.bits(3) : 11 + this.bits(7);
      if (i + times > all.length) broken("a block has more lengths than codes");
      if (symbol === 16) all.fill(all[i - 1], i, i + times);
      i += times;
    }
    if (all[256] === 0) broken("a block has no end");
    this.literals = codeOf(all.subarray(0, literals));
    this.distances = codeOf(all.subarray(literals));
  }

  /** One symbol; slowly, bit by bit where the input ends. */
  private symbol(code: Code): number {
    while (this.count < LONGEST && this.at < this.input.length) {
      this.held |= this.input[this.at++] << this.count;
      this.count += 8;
    }
    const entry = code[this.held & 0x7fff];
    const length = entry & 15;
    if (length === 0) broken("the data has a word that no code knows");
    if (length > this.count) broken("the data ends early");
    this.held >>>= length;
    this.count -= length;
    return entry >> 4;
  }

  private copyStored(last: boolean): void {
    while (this.stored > 0 && this.count >= 8) {
      this.put(this.bits(8));
      this.stored--;
    }
    const most = Math.min(this.stored, this.input.length - this.at, WINDOW + OUT - this.end);
    this.out.set(this.input.subarray(this.at, this.at + most), this.end);
    this.at += most;
    this.end += most;
    this.written += most;
    this.stored -= most;
    if (this.stored === 0) this.block = "none";
    else if (last && this.at === this.input.length) broken("the data ends early");
  }

  private put(byte: number): void {
    this.out[this.end++] = byte;
    this.written++;
  }

  /** Symbols of a block until it ends, the output is full, or the input comes near its end. */
  private decode(last: boolean): void {
    const { out, input, literals, distances } = this;
    let { held, count, at, end } = this;
    const full = WINDOW + OUT;
    // A symbol with its distance has at most 48 bits: with 16 bytes at hand none of it has to be looked for.
    const quick = input.length - (last ? 16 : RESERVE);
    while (at < quick && end < full) {
      while (count < LONGEST) {
        held |= input[at++] << count;
        count += 8;
      }
      const entry = literals[held & 0x7fff];
      const bits = entry & 15;
      if (bits === 0) broken("the data has a word that no code knows");
      held >>>= bits;
      count -= bits;
      const symbol = entry >> 4;
      if (symbol < 256) {
        out[end++] = symbol;
        continue;
      }
      if (symbol === 256) {
        this.block = "none";
        break;
      }
      if (symbol > 285) broken("the data has a length that no code knows");
      const more = LENGTHS.bits[symbol - 257];
      while (count < more) {
        held |= input[at++] << count;
        count += 8;
      }
      const length = LENGTHS.base[symbol - 257] + (held & ((1 << more) - 1));
      held >>>= more;
      count -= more;
      while (count < LONGEST) {
        held |= input[at++] << count;
        count += 8;
      }
      const place = distances[held & 0x7fff];
      const placeBits = place & 15;
      if (placeBits === 0) broken("the data has a word that no code knows");
      held >>>= placeBits;
      count -= placeBits;
      const far = place >> 4;
      if (far > 29) broken("the data has a distance that no code knows");
      const farBits = DISTANCES.bits[far];
      while (count < farBits) {
        held |= input[at++] << count;
        count += 8;
      }
      const distance = DISTANCES.base[far] + (held & ((1 << farBits) - 1));
      held >>>= farBits;
      count -= farBits;
      if (distance > this.written + (end - this.end)) broken("the data points before its beginning");
      for (let i = 0; i < length; i++) out[end + i] = out[end + i - distance];
      end += length;
    }
    this.written += end - this.end;
    Object.assign(this, { held, count, at, end });
    if (last && this.block === "coded" && at >= quick && end < full) this.decodeOne();
  }

  /** The same for one symbol, where the input may end in it. */
  private decodeOne(): void {
    const symbol = this.symbol(this.literals);
    if (symbol < 256) {
      this.put(symbol);
      return;
    }
    if (symbol === 256) {
      this.block = "none";
      return;
    }
    if (symbol > 285) broken("the data has a length that no code knows");
    const length = LENGTHS.base[symbol - 257] + this.bits(LENGTHS.bits[symbol - 257]);
    const far = this.symbol(this.distances);
    if (far > 29) broken("the data has a distance that no code knows");
    const distance = DISTANCES.base[far] + this.bits(DISTANCES.bits[far]);
    if (distance > this.written) broken("the data points before its beginning");
    for (let i = 0; i < length; i++) this.put(this.out[this.end - distance]);
  }
}
