/** Oniguruma's regular expressions (Ruby syntax, Unicode), read into a tree. What is not understood is refused by name. */

import { FormatError } from "../../core/errors.js";
import {
  anything,
  type CharacterSet,
  caseVariants,
  complement,
  ignoringCase,
  intersection,
  multipleFolds,
  named,
  notNewline,
  outsideBrackets,
  property,
  range,
  single,
  union,
} from "./character-set.js";

export type Assertion = "lineStart" | "lineEnd" | "start" | "end" | "lastLine" | "word" | "notWord" | "searchStart";

export type Node =
  | { kind: "set"; set: CharacterSet }
  | { kind: "all"; nodes: Node[] }
  | { kind: "any"; nodes: Node[] }
  | { kind: "repeat"; node: Node; min: number; max: number; lazy: boolean }
  | { kind: "assert"; assertion: Assertion }
  | { kind: "look"; node: Node; behind: boolean; negated: boolean }
  | { kind: "atomic"; node: Node }
  | { kind: "group"; node: Node; index: number }
  | { kind: "reference"; index: number; ignoreCase: boolean };

export const EMPTY: Node = { kind: "all", nodes: [] };

interface Flags {
  ignoreCase: boolean;
  dotAll: boolean;
  extended: boolean;
}

const MOST_REPEATS = 100000;
const MOST_NESTED = 200;

export class Parser {
  private at = 0;
  private readonly characters: string[];
  private flags: Flags = { ignoreCase: false, dotAll: false, extended: false };
  private groups = 0;
  private readonly names = new Map<string, number>();
  private nested = 0;
  private readonly hasNames: boolean;

  constructor(private readonly pattern: string) {
    this.characters = [...pattern];
    // With named groups, plain ones do not capture.
    this.hasNames = /\(\?<[^=!]/.test(pattern);
  }

  parse(): Node {
    const node = this.alternatives();
    if (this.at < this.characters.length) throw this.error("closes a group that was not opened");
    return node;
  }

  private error(what: string): FormatError {
    return new FormatError(
      `regex ${JSON.stringify(this.pattern)}: ${what} at character ${this.at}, which is not supported.`,
      { where: "regex", pattern: this.pattern, position: this.at },
    );
  }

  private get peek(): string | undefined {
    return this.characters[this.at];
  }

  private take(text: string): boolean {
    for (let i = 0; i < text.length; i++) if (this.characters[this.at + i] !== text[i]) return false;
    this.at += text.length;
    return true;
  }

  private alternatives(): Node {
    if (++this.nested > MOST_NESTED) throw this.error(`nests deeper than ${MOST_NESTED}`);
    const flags = this.flags;
    const nodes = [this.sequence()];
    while (this.take("|")) nodes.push(this.sequence());
    this.flags = flags;
    this.nested--;
    return nodes.length === 1 ? nodes[0] : { kind: "any", nodes };
  }

  private sequence(): Node {
    const nodes: Node[] = [];
    // Plain characters in a row while case is ignored: "ss" may be one character of the text.
    let run: number[] = [];
    const flush = () => {
      if (run.length > 0) nodes.push(...this.caseless(run));
      run = [];
    };
    for (;;) {
      const next = this.peek;
      if (next === undefined || next === "|" || next === ")") break;
      if (this.flags.extended && /\s/.test(next)) {
        this.at++;
        continue;
      }
      if (this.flags.extended && next === "#") {
        while (this.peek !== undefined && this.peek !== "\n") this.at++;
        continue;
      }
      if (this.take("(?#")) {
        while (this.peek !== ")" && this.peek !== undefined) this.at++;
        this.at++;
        continue;
      }
      const option = this.options();
      if (option !== undefined) {
        flush();
        if (option === "rest") {
          // Options without a colon hold to the end of the group, alternatives included.
          nodes.push(this.alternatives());
          break;
        }
        nodes.push(this.quantified(option));
        continue;
      }
      const atom = this.atom();
      if (typeof atom !== "number") {
        flush();
        nodes.push(this.quantified(atom));
      } else if (!this.flags.ignoreCase) {
        nodes.push(this.quantified({ kind: "set", set: single(atom) }));
      } else {
        const quantified = this.quantified(undefined);
        if (quantified === EMPTY) run.push(atom);
        else {
          flush();
          this.at = this.quantifierStart;
          nodes.push(this.quantified({ kind: "all", nodes: this.caseless([atom]) }));
        }
      }
    }
    flush();
    return nodes.length === 1 ? nodes[0] : { kind: "all", nodes };
  }

  private quantifierStart = 0;

  /** A run of characters without regard to case; some characters fold to two or three. */
  private caseless(run: number[]): Node[] {
    const lower = run.map((code) => String.fromCodePoint(code).toLowerCase().codePointAt(0) as number);
    const out: Node[] = [];
    const one = (code: number): Node => ({ kind: "set", set: union(caseVariants(code).map(single)) });
    for (let i = 0; i < run.length; ) {
      const folds =
        run.every((code) => code < 0x80) && !/ss|f[fil]|st/.test(String.fromCodePoint(...lower)) ? [] : multipleFolds();
      const own = folds.find(([code]) => code === run[i]);
      if (own !== undefined) {
        const same = folds.filter(([, fold]) => String(fold) === String(own[1])).map(([code]) => single(code));
        out.push({
          kind: "any",
          nodes: [
            { kind: "set", set: union(same) },
            { kind: "all", nodes: own[1].map(one) },
          ],
        });
        i++;
        continue;
      }
      const matching = folds.filter(([, fold]) => fold.every((code, k) => lower[i + k] === code));
      const longest = Math.max(1, ...matching.map(([, fold]) => fold.length));
      const plain: Node = { kind: "all", nodes: run.slice(i, i + longest).map(one) };
      if (matching.length === 0) out.push(one(run[i]));
      else {
        const others = matching.map(
          ([code, fold]): Node => ({
            kind: "all",
            nodes: [{ kind: "set", set: single(code) }, ...run.slice(i + fold.length, i + longest).map(one)],
          }),
        );
        out.push({ kind: "any", nodes: [plain, ...others] });
      }
      i += longest;
    }
    return out;
  }

  /** `(?i)` and `(?i:…)`: "rest" when the options hold for the rest of the group; undefined when this is none. */
  private options(): Node | "rest" | undefined {
    const match = /^\(\?([imx]*)(?:-([imx]*))?([:)])/.exec(this.characters.slice(this.at, this.at + 12).join(""));
    if (match === null) return undefined;
    this.at += match[0].length;
    const outer = this.flags;
    const flags = { ...outer };
    for (const [letters, value] of [
      [match[1], true],
      [match[2] ?? "", false],
    ] as const) {
      if (letters.includes("i")) flags.ignoreCase = value;
      if (letters.includes("m")) flags.dotAll = value;
      if (letters.includes("x")) flags.extended = value;
    }
    this.flags = flags;
    if (match[3] === ")") return "rest";
    const node = this.alternatives();
    this.flags = outer;
    if (!this.take(")")) throw this.error("does not close a group");
    return node;
  }

  /** Applies the quantifiers that follow. Given nothing, returns EMPTY when there is none. */
  private quantified(atom: Node | undefined): Node {
    this.quantifierStart = this.at;
    let node = atom ?? EMPTY;
    for (;;) {
      const bounds = this.bounds();
      if (bounds === undefined) return node;
      const [min, max, braces] = bounds;
      if (max < min && max >= 0) throw this.error(`repeats from ${min} to ${max}`);
      const fixed = braces && min === max;
      if (!fixed && this.take("?")) node = { kind: "repeat", node, min, max, lazy: true };
      else if (!braces && this.take("+"))
        node = { kind: "atomic", node: { kind: "repeat", node, min, max, lazy: false } };
      else node = { kind: "repeat", node, min, max, lazy: false };
    }
  }

  /** `*`, `+`, `?`, `{n}`, `{n,}`, `{,m}`, `{n,m}`; other braces are plain characters. */
  private bounds(): [min: number, max: number, braces: boolean] | undefined {
    if (this.take("*")) return [0, Number.POSITIVE_INFINITY, false];
    if (this.take("+")) return [1, Number.POSITIVE_INFINITY, false];
    if (this.take("?")) return [0, 1, false];
    if (this.peek !== "{") return undefined;
    const match = /^\{(\d*)(,?)(\d*)\}/.exec(this.characters.slice(this.at, this.at + 16).join(""));
    if (match === null || (match[1] === "" && match[3] === "")) return undefined;
    this.at += match[0].length;
    const min = match[1] === "" ? 0 : Number(match[1]);
    const max = match[2] === "" ? min : match[3] === "" ? Number.POSITIVE_INFINITY : Number(match[3]);
    if (min > MOST_REPEATS || (max > MOST_REPEATS && max < Number.POSITIVE_INFINITY)) {
      throw this.error(`repeats more than ${MOST_REPEATS} times`);
    }
    return [min, max, true];
  }

  /** One plain character (as a number), or anything else. */
  private atom(): Node | number {
    const character = this.characters[this.at++];
    switch (character) {
      case ".":
        return { kind: "set", set: this.flags.dotAll ? anything : notNewline };
      case "^":
        return { kind: "assert", assertion: "lineStart" };
      case "$":
        return { kind: "assert", assertion: "lineEnd" };
      case "[":
        return this.bracket();
      case "(":
        return this.group();
      case "\\":
        return this.escape();
      case "*":
      case "+":
      case "?":
        this.at--;
        throw this.error("repeats nothing");
      default:
        return character.codePointAt(0) as number;
    }
  }

  private group(): Node {
    const outer = this.flags;
    const body = (): Node => {
      const node = this.alternatives();
      this.flags = outer;
      if (!this.take(")")) throw this.error("does not close a group");
      return node;
    };
    if (this.take("?:")) return body();
    if (this.take("?=")) return { kind: "look", node: body(), behind: false, negated: false };
    if (this.take("?!")) return { kind: "look", node: body(), behind: false, negated: true };
    if (this.take("?<=")) return { kind: "look", node: body(), behind: true, negated: false };
    if (this.take("?<!")) return { kind: "look", node: body(), behind: true, negated: true };
    if (this.take("?>")) return { kind: "atomic", node: body() };
    if (this.take("?<")) {
      let name = "";
      while (this.peek !== undefined && this.peek !== ">") name += this.characters[this.at++];
      this.at++;
      const index = ++this.groups;
      this.names.set(name, index);
      return { kind: "group", node: body(), index };
    }
    if (this.peek === "?") throw this.error(`opens a group with (?${this.characters[this.at + 1] ?? ""}`);
    if (this.peek === "*") throw this.error("opens a group with (*");
    if (this.hasNames) return body();
    const index = ++this.groups;
    return { kind: "group", node: body(), index };
  }

  private escape(): Node | number {
    const letter = this.peek;
    if (letter === undefined) throw this.error("ends with a backslash");
    const set = this.escapedSet(outsideBrackets);
    if (set !== undefined) return { kind: "set", set };
    const assertions: Record<string, Assertion> = {
      A: "start",
      z: "end",
      Z: "lastLine",
      b: "word",
      B: "notWord",
      G: "searchStart",
    };
    if (Object.hasOwn(assertions, letter)) {
      this.at++;
      return { kind: "assert", assertion: assertions[letter] };
    }
    if (letter === "R") {
      this.at++;
      const crlf: Node = { kind: "all", nodes: [13, 10].map((code) => ({ kind: "set", set: single(code) })) };
      const newline = union([range(10, 13), single(0x85), single(0x2028), single(0x2029)]);
      return { kind: "atomic", node: { kind: "any", nodes: [crlf, { kind: "set", set: newline }] } };
    }
    if (letter >= "1" && letter <= "9") {
      const digits = /^\d+/.exec(this.characters.slice(this.at, this.at + 3).join(""))?.[0] as string;
      const index = Number(digits);
      if (index > this.groups && digits.length > 1) throw this.error(`refers to group ${index}`);
      this.at += digits.length;
      return { kind: "reference", index, ignoreCase: this.flags.ignoreCase };
    }
    if (this.take("k<")) {
      let name = "";
      while (this.peek !== undefined && this.peek !== ">") name += this.characters[this.at++];
      this.at++;
      const index = this.names.get(name) ?? Number(name);
      if (!(index >= 1)) throw this.error(`refers to group ${name}`);
      return { kind: "reference", index, ignoreCase: this.flags.ignoreCase };
    }
    return this.escapedCharacter();
  }

  /** `\d`, `\p{…}` and the like; undefined when the escape is none of them. */
  private escapedSet(meaning = (set: CharacterSet) => set): CharacterSet | undefined {
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
  private escapedCharacter(): number {
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

  /** A bracket expression as a node: without regard to case a member such as "ß" also stands for "ss". */
  private bracket(): Node {
    const set = this.bracketSet();
    if (!this.flags.ignoreCase) return { kind: "set", set };
    const plain: Node = { kind: "set", set: ignoringCase(set) };
    return plain;
  }

  /** `[…]` after its opening bracket. */
  private bracketSet(): CharacterSet {
    if (++this.nested > MOST_NESTED) throw this.error(`nests deeper than ${MOST_NESTED}`);
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
    this.nested--;
    const set = intersection([...intersected, union(members)]);
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
