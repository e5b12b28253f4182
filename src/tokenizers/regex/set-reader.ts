/** The part of an expression that names characters: escapes and brackets, read from left to right. */

import { FormatError, show } from "../../core/errors.js";
import {
  anything,
  type CharacterSet,
  complement,
  intersection,
  named,
  notNewline,
  property,
  range,
  single,
  union,
} from "./character-set.js";

const MOST_NESTED = 200;

export class SetReader {
  protected at = 0;
  protected readonly characters: string[];
  private nested = 0;

  constructor(private readonly pattern: string) {
    this.characters = [...pattern];
  }

  /** To be called at the opening of a group or bracket, and `leave` at its end. */
  protected enter(): void {
    if (++this.nested > MOST_NESTED) throw this.error(`nests deeper than ${MOST_NESTED}`);
  }

  protected leave(): void {
    this.nested--;
  }

  protected error(what: string): FormatError {
    return new FormatError(`regex ${show(this.pattern)}: ${what} at character ${this.at}, which is not supported.`, {
      where: "regex",
      pattern: this.pattern,
      position: this.at,
    });
  }

  protected get peek(): string | undefined {
    return this.characters[this.at];
  }

  protected take(text: string): boolean {
    for (let i = 0; i < text.length; i++) if (this.characters[this.at + i] !== text[i]) return false;
    this.at += text.length;
    return true;
  }

  /** `\d`, `\p{…}` and the like; undefined when the escape is none of them. */
  protected escapedSet(meaning = (set: CharacterSet) => set): CharacterSet | undefined {
    const letter = this.peek as string;
    const shorthand: Record<string, string> = { d: "digit", w: "word", s: "space", h: "xdigit" };
    const name = shorthand[letter.toLowerCase()];
    if (name !== undefined && /[dwshDWSH]/.test(letter)) {
      this.at++;
      const set = meaning(named(name) as CharacterSet);
      return letter === letter.toLowerCase() ? set : complement(set);
    }
    if (letter === "N") {
      this.at++;
      return notNewline;
    }
    if (letter === "O") {
      this.at++;
      return anything;
    }
    if ((letter === "p" || letter === "P") && this.characters[this.at + 1] === "{") {
      const end = this.characters.indexOf("}", this.at);
      if (end < 0) throw this.error("does not close a property");
      const set = meaning(property(this.characters.slice(this.at + 2, end).join(""), this.pattern));
      this.at = end + 1;
      return letter === "p" ? set : complement(set);
    }
    return undefined;
  }

  /** The code of an escaped plain character. */
  protected escapedCharacter(): number {
    const letter = this.characters[this.at++];
    const controls: Record<string, number> = { t: 9, n: 10, v: 11, f: 12, r: 13, a: 7, e: 27 };
    if (Object.hasOwn(controls, letter)) return controls[letter];
    const rest = this.characters.slice(this.at, this.at + 12).join("");
    if (letter === "x") {
      const match = /^\{([0-9a-fA-F]{1,8})\}/.exec(rest) ?? /^([0-9a-fA-F]{1,2})/.exec(rest);
      if (match === null) throw this.error("has an unfinished \\x");
      this.at += match[0].length;
      return this.codePoint(Number.parseInt(match[1], 16));
    }
    if (letter === "u") {
      const match = /^[0-9a-fA-F]{4}/.exec(rest);
      if (match === null) throw this.error("has an unfinished \\u");
      this.at += 4;
      return this.codePoint(Number.parseInt(match[0], 16));
    }
    if (letter >= "0" && letter <= "7") {
      const match = /^[0-7]{0,2}/.exec(rest)?.[0] as string;
      this.at += match.length;
      return Number.parseInt(letter + match, 8);
    }
    if (/[XKyYgcCMQE]/.test(letter)) {
      this.at--;
      throw this.error(`uses \\${letter}`);
    }
    return letter.codePointAt(0) as number;
  }

  private codePoint(code: number): number {
    if (code > 0x10ffff) throw this.error(`names the character ${code.toString(16)}`);
    return code;
  }

  /** `[…]` after its opening bracket. `fold` is for the outermost one: case is ignored before it is negated. */
  protected bracketSet(fold = (set: CharacterSet) => set): CharacterSet {
    this.enter();
    const negated = this.take("^");
    const intersected: CharacterSet[] = [];
    let members: CharacterSet[] = [];
    let first = true;
    for (;;) {
      const character = this.peek;
      if (character === undefined) throw this.error("does not close a bracket");
      if (character === "]" && !first) {
        this.at++;
        break;
      }
      first = false;
      if (this.take("&&")) {
        intersected.push(union(members));
        members = [];
        continue;
      }
      if (this.take("[:")) {
        const posix = /^(\^?)(\w+):\]/.exec(this.characters.slice(this.at, this.at + 12).join(""));
        const set = posix === null ? undefined : named(posix[2]);
        if (posix !== null && set !== undefined) {
          this.at += posix[0].length;
          members.push(posix[1] === "^" ? complement(set) : set);
          continue;
        }
        this.at -= 2;
      }
      if (this.take("[")) {
        members.push(this.bracketSet());
        continue;
      }
      const low = this.member();
      if (typeof low !== "number") {
        members.push(low);
        continue;
      }
      // A range, unless the hyphen is the last member.
      const next = this.characters[this.at + 1];
      if (
        this.peek === "-" &&
        next !== "]" &&
        next !== undefined &&
        next !== "[" &&
        !(next === "&" && this.characters[this.at + 2] === "&")
      ) {
        this.at++;
        const high = this.member();
        if (typeof high !== "number") members.push(single(low), single(45), high);
        else if (high < low) throw this.error("has a range that runs backwards");
        else members.push(range(low, high));
      } else members.push(single(low));
    }
    this.leave();
    const set = fold(intersection([...intersected, union(members)]));
    return negated ? complement(set) : set;
  }

  /** One member of a bracket: a character or a set. */
  private member(): CharacterSet | number {
    const character = this.characters[this.at++];
    if (character !== "\\") return character.codePointAt(0) as number;
    if (this.peek === undefined) throw this.error("ends with a backslash");
    if (this.take("b")) return 8;
    return this.escapedSet() ?? this.escapedCharacter();
  }
}
