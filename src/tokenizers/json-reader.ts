/** JSON off its text, for large files: strings stay where they are, with hashes. `scan.ts` says why. */

import { mix } from "./models/hash.js";

/** Not the shape that is read here. */
export class Unusual extends Error {}

export const SEED = 0x811c9dc5;

/** JSON's tokens, one after the other, with hashes of the strings. */
export class Reader {
  /** The last string, without its quotation marks. */
  start = 0;
  end = 0;
  escaped = false;
  hash = 0;
  /** The hash of the string before and the last one end to end. */
  joined = 0;
  /** In a string with one space: where it is, and the hash of what comes before it. */
  space = 0;
  beforeSpace = 0;

  constructor(
    readonly text: string,
    public at: number,
  ) {}

  /** The next unit that is no white space, which is left there. */
  peek(): number {
    for (;;) {
      const unit = this.text.charCodeAt(this.at);
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return unit;
      this.at++;
    }
  }

  take(unit: number): void {
    if (this.peek() !== unit) throw new Unusual();
    this.at++;
  }

  /** A comma (true), or the end of a list or object (false). */
  more(closing: number): boolean {
    const unit = this.peek();
    if (unit !== 0x2c && unit !== closing) throw new Unusual();
    this.at++;
    return unit === 0x2c;
  }

  string(): void {
    this.take(0x22);
    const { text } = this;
    let hash = SEED;
    let joined = this.hash;
    let at = this.at;
    this.escaped = false;
    this.space = -1;
    for (;;) {
      const unit = text.charCodeAt(at);
      if (unit === 0x22) break;
      // A control character, or the end of the text.
      if (!(unit >= 0x20)) throw new Unusual();
      if (unit === 0x5c) {
        this.escaped = true;
        at++;
      } else if (unit === 0x20 && this.space < 0) {
        this.space = at;
        this.beforeSpace = hash;
        // What follows is hashed as a string of its own, and joined to what came before.
        joined = hash;
        hash = SEED;
        at++;
        continue;
      }
      hash = mix(hash, unit);
      joined = mix(joined, unit);
      at++;
    }
    this.start = this.at;
    this.end = at;
    this.at = at + 1;
    this.hash = hash;
    this.joined = joined;
  }

  /** Whether the last string has neither escapes nor spaces: its hash is `hash`. */
  get isPlain(): boolean {
    return !this.escaped && this.space < 0;
  }

  /** The value of the last string. */
  value(): string {
    const { text, start, end } = this;
    return this.escaped ? JSON.parse(text.slice(start - 1, end + 1)) : text.slice(start, end);
  }

  wholeNumber(): number {
    let value = 0;
    let digits = 0;
    this.peek();
    for (;;) {
      const digit = this.text.charCodeAt(this.at) - 0x30;
      if (!(digit >= 0 && digit <= 9)) break;
      if (digits > 0 && value === 0) throw new Unusual();
      value = value * 10 + digit;
      digits++;
      this.at++;
    }
    if (digits === 0 || digits > 9) throw new Unusual();
    return value;
  }
}
