/** Oniguruma's regular expressions (Ruby syntax, Unicode), read into a tree. What is not understood is refused by name. */

import { caseless } from "./caseless.js";
import {
  anything,
  type CharacterSet,
  ignoringCase,
  notNewline,
  outsideBrackets,
  range,
  single,
  union,
} from "./character-set.js";
import { SetReader } from "./set-reader.js";

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

const EMPTY: Node = { kind: "all", nodes: [] };

interface Flags {
  ignoreCase: boolean;
  dotAll: boolean;
  extended: boolean;
}

const MOST_REPEATS = 100000;
const MOST_STACKED = 1000;

export class Parser extends SetReader {
  private flags: Flags = { ignoreCase: false, dotAll: false, extended: false };
  private groups = 0;
  private readonly names = new Map<string, number>();
  private readonly hasNames: boolean;

  constructor(pattern: string) {
    super(pattern);
    // With named groups, plain ones do not capture.
    this.hasNames = /\(\?<[^=!]/.test(pattern);
  }

  parse(): Node {
    const node = this.alternatives();
    if (this.at < this.characters.length) throw this.error("closes a group that was not opened");
    return node;
  }

  private alternatives(): Node {
    this.enter();
    const flags = this.flags;
    const nodes = [this.sequence()];
    while (this.take("|")) nodes.push(this.sequence());
    this.flags = flags;
    this.leave();
    return nodes.length === 1 ? nodes[0] : { kind: "any", nodes };
  }

  private sequence(): Node {
    const nodes: Node[] = [];
    // Plain characters in a row while case is ignored: "ss" may be one character of the text.
    let run: number[] = [];
    const flush = () => {
      if (run.length > 0) for (const node of caseless(run)) nodes.push(node);
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
          nodes.push(this.quantified({ kind: "all", nodes: caseless([atom]) }));
        }
      }
    }
    flush();
    return nodes.length === 1 ? nodes[0] : { kind: "all", nodes };
  }

  private quantifierStart = 0;
  /** Quantifiers that follow others, in all of the expression. */
  private stacked = 0;

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
      // Each stands around the ones before, as groups do.
      if (node !== (atom ?? EMPTY) && ++this.stacked > MOST_STACKED)
        throw this.error(`repeats repetitions ${MOST_STACKED} times`);
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
        return { kind: "set", set: this.bracketSet(this.flags.ignoreCase ? ignoringCase : undefined) };
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
}
