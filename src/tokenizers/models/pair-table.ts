/** Which merge two neighbours have: an open hash table in typed memory. */

import { hashPair, tableSize } from "./hash.js";

/** Ints of a slot: first id, second id, rank, merged id. */
const SLOT = 4;
/** The ids below are bytes or characters in most files: half of all look-ups. A power of 2. */
const FEW = 256;
const NOT_ASKED = -2;

export class PairTable {
  private readonly slots: Int32Array;
  private readonly mask: number;
  /** Slots of the merges of the first ids. */
  private readonly few = new Int32Array(FEW * FEW).fill(NOT_ASKED);

  /** `pairs` holds three ids for each merge in order of rank: first, second, merged. */
  constructor(pairs: Int32Array) {
    const count = pairs.length / 3;
    const size = tableSize(count);
    this.mask = size - 1;
    const slots = new Int32Array(size * SLOT).fill(-1);
    for (let i = 0; i < count; i++) {
      const a = pairs[3 * i];
      const b = pairs[3 * i + 1];
      let slot = hashPair(a, b) & this.mask;
      while (slots[slot * SLOT] !== -1 && (slots[slot * SLOT] !== a || slots[slot * SLOT + 1] !== b)) {
        slot = (slot + 1) & this.mask;
      }
      // A merge that is listed twice counts where it is listed last.
      slots[slot * SLOT] = a;
      slots[slot * SLOT + 1] = b;
      slots[slot * SLOT + 2] = i;
      slots[slot * SLOT + 3] = pairs[3 * i + 2];
    }
    this.slots = slots;
  }

  /** The place of the merge of two ids, or -1. */
  find(a: number, b: number): number {
    const { slots, mask } = this;
    let slot = hashPair(a, b) & mask;
    for (;;) {
      const at = slot * SLOT;
      const key = slots[at];
      if (key === a && slots[at + 1] === b) return at;
      if (key === -1) return -1;
      slot = (slot + 1) & mask;
    }
  }

  /** The same, remembered where both are among the first ids. */
  findAgain(a: number, b: number): number {
    if ((a | b) >= FEW) return this.find(a, b);
    const slot = this.few[a * FEW + b];
    return slot === NOT_ASKED ? (this.few[a * FEW + b] = this.find(a, b)) : slot;
  }

  rank(place: number): number {
    return this.slots[place + 2];
  }

  merged(place: number): number {
    return this.slots[place + 3];
  }
}
