/** Ids of pieces that are ranges of a text, never strings of their own, with a memory of the pieces seen before. */

import { byteCharacters, bytesOfText } from "../byte-alphabet.js";
import type { Bpe } from "./bpe.js";
import { finish, mix } from "./hash.js";
import type { Model } from "./model.js";

/** Ids, appended. */
export class IdBuffer {
  ids = new Int32Array(1024);
  length = 0;

  push(id: number): void {
    if (this.length === this.ids.length) this.reserve(1);
    this.ids[this.length++] = id;
  }

  reserve(count: number): void {
    if (this.length + count <= this.ids.length) return;
    const ids = new Int32Array(Math.max(this.length + count, this.ids.length * 2));
    ids.set(this.ids.subarray(0, this.length));
    this.ids = ids;
  }

  toArray(): number[] {
    const out = new Array<number>(this.length);
    for (let i = 0; i < out.length; i++) out[i] = this.ids[i];
    return out;
  }
}

/** Longer pieces are rare and not kept. */
const LONGEST_KEPT = 128;
/** Honest texts seldom look at three; others may be made of pieces that share a hash, and are not kept then. */
const MOST_PROBES = 32;
/** 4 MB: a larger table no longer fits into caches, which costs more than working pieces out again. */
const MOST_SLOTS = 1 << 18;
/** Room is made for so many units of new pieces at a time, and for so many ids of each unit. */
const BLOCK = 1 << 12;
const IDS_OF_UNIT = 3;
/**
 * Ints of a slot: hash; number of units, and of ids above `COUNT_SHIFT`; where the units and the ids start. One or two
 * units stand in the slot themselves, and so does a single id: most pieces are found by one look at the memory.
 */
const SLOT = 4;
const COUNT_SHIFT = 8;
const LENGTH_MASK = (1 << COUNT_SHIFT) - 1;

/** Appends the ids of `text[start, end)`. */
export type EncodeRange = (text: string, start: number, end: number, out: IdBuffer) => void;

/**
 * Remembers the ids of ranges by their UTF-16 units; what it has not seen, `encodeFresh` works out.
 *
 * Lists grow in `makeRoom` alone, which the first piece calls: a branch of `encode` or `keep` that is taken later for
 * the first time would make the engine throw away the code it has compiled, four times in the first megabytes.
 */
export class PieceCache {
  private slots = new Int32Array(0);
  private mask = 0;
  private used = 0;
  private units = new Uint16Array(0);
  private unitsUsed = 0;
  private ids = new Int32Array(0);
  private idsUsed = 0;
  /** Units of new pieces that there is room for; at first not even for an empty one. */
  private room = -1;

  constructor(private readonly encodeFresh: EncodeRange) {}

  /** Appends the ids of `text[start, end)`. */
  encode(text: string, start: number, end: number, out: IdBuffer): void {
    const length = end - start;
    if (this.room < length) this.makeRoom();
    if (length > LONGEST_KEPT) {
      this.encodeFresh(text, start, end, out);
      return;
    }
    let hash = length;
    for (let i = start; i < end; i++) hash = mix(hash, text.charCodeAt(i));
    hash = finish(hash);
    let slot = (hash & this.mask) * SLOT;
    let isFree = false;
    for (let probes = MOST_PROBES; probes > 0; probes--) {
      const { slots } = this;
      const counts = slots[slot + 1];
      isFree = counts === 0;
      if (isFree) break;
      if (
        slots[slot] === hash &&
        (counts & LENGTH_MASK) === length &&
        (length <= 2
          ? slots[slot + 2] === packed(text, start, length)
          : this.sameUnits(slots[slot + 2], text, start, length))
      ) {
        const count = counts >> COUNT_SHIFT;
        const from = slots[slot + 3];
        out.reserve(count);
        if (count === 1) out.ids[out.length++] = from;
        else for (let i = 0; i < count; i++) out.ids[out.length++] = this.ids[from + i];
        return;
      }
      slot += SLOT;
      if (slot > this.mask * SLOT) slot = 0;
    }
    const before = out.length;
    this.encodeFresh(text, start, end, out);
    const count = out.length - before;
    if (isFree && count > 0 && count <= IDS_OF_UNIT * length) this.keep(slot, hash, text, start, length, out, before);
  }

  private sameUnits(from: number, text: string, start: number, length: number): boolean {
    const { units } = this;
    for (let i = 0; i < length; i++) if (units[from + i] !== text.charCodeAt(start + i)) return false;
    return true;
  }

  private keep(
    slot: number,
    hash: number,
    text: string,
    start: number,
    length: number,
    out: IdBuffer,
    before: number,
  ): void {
    const count = out.length - before;
    this.slots[slot] = hash;
    this.slots[slot + 1] = length | (count << COUNT_SHIFT);
    this.slots[slot + 2] = length <= 2 ? packed(text, start, length) : this.unitsUsed;
    this.slots[slot + 3] = count === 1 ? out.ids[before] : this.idsUsed;
    this.used++;
    this.room -= length;
    if (length > 2) for (let i = 0; i < length; i++) this.units[this.unitsUsed++] = text.charCodeAt(start + i);
    if (count > 1) for (let i = before; i < out.length; i++) this.ids[this.idsUsed++] = out.ids[i];
  }

  /** For a block of new pieces; beyond the limit everything is forgotten. */
  private makeRoom(): void {
    if ((this.used + BLOCK) * 2 > MOST_SLOTS) {
      this.slots.fill(0);
      this.used = this.unitsUsed = this.idsUsed = 0;
    }
    let size = Math.max(this.mask + 1, 2 * BLOCK);
    while ((this.used + BLOCK) * 2 > size) size *= 2;
    if (size > this.mask + 1) this.spread(size);
    if (this.unitsUsed + BLOCK > this.units.length) {
      const units = new Uint16Array(Math.max(this.units.length * 2, 4 * BLOCK));
      units.set(this.units);
      this.units = units;
    }
    if (this.idsUsed + BLOCK * IDS_OF_UNIT > this.ids.length) {
      const ids = new Int32Array(Math.max(this.ids.length * 2, 4 * BLOCK));
      ids.set(this.ids);
      this.ids = ids;
    }
    this.room = BLOCK;
  }

  /** A larger table. */
  private spread(size: number): void {
    const old = this.slots;
    this.mask = size - 1;
    this.slots = new Int32Array(size * SLOT);
    for (let from = 0; from < old.length; from += SLOT) {
      if (old[from + 1] === 0) continue;
      let slot = (old[from] & this.mask) * SLOT;
      while (this.slots[slot + 1] !== 0) {
        slot += SLOT;
        if (slot > this.mask * SLOT) slot = 0;
      }
      for (let k = 0; k < SLOT; k++) this.slots[slot + k] = old[from + k];
    }
  }
}

/** One or two units as a number. */
const packed = (text: string, start: number, length: number): number =>
  length === 2 ? text.charCodeAt(start) | (text.charCodeAt(start + 1) << 16) : text.charCodeAt(start);

/** What a model makes of a range. */
export function modelRanges(model: Model): EncodeRange {
  const ids: number[] = [];
  return (text, start, end, out) => {
    ids.length = 0;
    model.encode(text.slice(start, end), ids);
    for (let i = 0; i < ids.length; i++) out.push(ids[i]);
  };
}

/** Byte-level BPE of a range: UTF-8, initial symbols, tokens. */
export function byteRanges(bpe: Bpe): EncodeRange {
  // The token of each byte alone, -1 where the vocabulary has none.
  const byteSymbols = Int32Array.from(byteCharacters, (character) => bpe.idOf(character) ?? -1);
  const whole = modelRanges(bpe);
  let symbols = new Int32Array(1024);
  return (text, start, end, out) => {
    if ((end - start) * 3 > symbols.length) symbols = new Int32Array((end - start) * 6);
    let count = 0;
    for (let i = start; i < end; i++) {
      const unit = text.charCodeAt(i);
      if (unit < 0x80) symbols[count++] = byteSymbols[unit];
      else if (unit < 0x800) {
        symbols[count++] = byteSymbols[0xc0 | (unit >> 6)];
        symbols[count++] = byteSymbols[0x80 | (unit & 0x3f)];
      } else if (unit < 0xd800 || unit > 0xdfff) {
        symbols[count++] = byteSymbols[0xe0 | (unit >> 12)];
        symbols[count++] = byteSymbols[0x80 | ((unit >> 6) & 0x3f)];
        symbols[count++] = byteSymbols[0x80 | (unit & 0x3f)];
      } else {
        const code = text.codePointAt(i++) as number;
        symbols[count++] = byteSymbols[0xf0 | (code >> 18)];
        symbols[count++] = byteSymbols[0x80 | ((code >> 12) & 0x3f)];
        symbols[count++] = byteSymbols[0x80 | ((code >> 6) & 0x3f)];
        symbols[count++] = byteSymbols[0x80 | (code & 0x3f)];
      }
    }
    for (let i = 0; i < count; i++) {
      if (symbols[i] >= 0) continue;
      // A byte without a token: the model knows what to do (unknown token, or nothing).
      const bytes = bytesOfText(text.slice(start, end));
      whole(bytes, 0, bytes.length, out);
      return;
    }
    if (bpe.ignoreMerges) {
      const id = bpe.idOf(bytesOfText(text.slice(start, end)));
      if (id !== undefined) {
        out.push(id);
        return;
      }
    }
    const found = bpe.merges.encode(symbols, count);
    out.reserve(found.count);
    for (let i = 0; i < found.count; i++) out.ids[out.length++] = found.tokens[i];
  };
}
