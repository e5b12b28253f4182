/** Which sets of an expression a character belongs to, as one small number: its class. */

import type { CharacterSet } from "./character-set.js";

/** Class 0 is the end (or the start) of the text. */
export const EDGE = 0;

export class CharacterClasses {
  /** Class of each unit of the basic plane; 0: not known yet. */
  readonly units = new Uint8Array(65536);
  private readonly planes: (Uint8Array | undefined)[] = [];
  private readonly numbers = new Map<string, number>();
  /** For each class, which sets hold it. */
  readonly members: boolean[][] = [[]];

  constructor(private readonly sets: CharacterSet[]) {
    this.members[EDGE] = sets.map(() => false);
  }

  /** The class of a code point. Throws RangeError beyond 255 classes. */
  of(code: number): number {
    if (code < 0x10000) return this.units[code] || (this.units[code] = this.work(code));
    const plane = (this.planes[code >> 16] ??= new Uint8Array(65536));
    return plane[code & 0xffff] || (plane[code & 0xffff] = this.work(code));
  }

  private work(code: number): number {
    const inside = this.sets.map((set) => set.has(code));
    const key = inside.map(Number).join("");
    let number = this.numbers.get(key);
    if (number === undefined) {
      number = this.members.length;
      if (number > 255) throw new RangeError("too many classes");
      this.members.push(inside);
      this.numbers.set(key, number);
    }
    return number;
  }
}
