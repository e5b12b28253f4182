/** The general matcher: tries one way after the other, with a limit to how long. */

import { FormatError, show } from "../../core/errors.js";
import { codeBefore } from "./automaton.js";
import { WORD } from "./character-set.js";
import type { Assertion } from "./parse.js";
import type { Program } from "./program.js";

/** Steps allowed for one text, and for each unit of it besides. */
const STEPS = 1_000_000;
const STEPS_PER_UNIT = 1000;

export class Backtracker {
  private saved: Int32Array;
  private entered: Int32Array;
  private steps = STEPS;
  private searchStart = 0;

  constructor(
    private readonly program: Program,
    private readonly pattern: string,
  ) {
    this.saved = new Int32Array(2 * program.groups + 2);
    this.entered = new Int32Array(program.loops);
  }

  /** To be called before looking for matches in a text: steps are counted from here. */
  begin(text: string): void {
    this.steps = STEPS + STEPS_PER_UNIT * text.length;
  }

  /** End of the match that begins at `start`, or -1; `searchStart` is what `\G` stands for. */
  matchAt(text: string, start: number, searchStart: number): number {
    this.saved.fill(-1);
    this.searchStart = searchStart;
    return this.run(0, text, start, -1);
  }

  /** Runs one body; with `target` >= 0 the match must end there. */
  private run(body: number, text: string, start: number, target: number): number {
    const code = this.program.codes[body];
    const { sets } = this.program;
    const { saved, entered } = this;
    // Three numbers for each way not taken yet: instruction and position, or what to put back.
    const stack: number[] = [];
    const BACK_SAVED = -1;
    const BACK_ENTERED = -2;
    let at = 0;
    let position = start;
    for (;;) {
      if (--this.steps < 0) {
        throw new FormatError(
          `regex ${show(this.pattern)}: needs more than ${STEPS} steps and ${STEPS_PER_UNIT} for each character: it backtracks without end.`,
          { where: "regex", pattern: this.pattern, hint: "Rewrite it without nested repetition." },
        );
      }
      const instruction = code[at];
      let ok = true;
      switch (instruction.op) {
        case "set": {
          ok = false;
          if (position < text.length) {
            const character = text.codePointAt(position) as number;
            if (sets[instruction.set].has(character)) {
              position += character > 0xffff ? 2 : 1;
              at++;
              ok = true;
            }
          }
          break;
        }
        case "split":
          stack.push(instruction.second, position, 0);
          at = instruction.first;
          break;
        case "jump":
          at = instruction.to;
          break;
        case "match":
          if (target < 0 || position === target) return position;
          ok = false;
          break;
        case "assert":
          ok = this.holds(instruction.assertion, text, position);
          at++;
          break;
        case "lookSet": {
          const { set, behind, negated } = instruction;
          const edge = behind ? position === 0 : position === text.length;
          const inside =
            !edge && sets[set].has(behind ? codeBefore(text, position) : (text.codePointAt(position) as number));
          ok = inside !== negated;
          at++;
          break;
        }
        case "look": {
          const { program, negated, lengths } = instruction;
          const found =
            lengths === undefined
              ? this.run(program, text, position, -1) >= 0
              : this.behind(program, text, position, lengths);
          ok = found !== negated;
          at++;
          break;
        }
        case "atomic": {
          const end = this.run(instruction.program, text, position, -1);
          ok = end >= 0;
          position = end;
          at++;
          break;
        }
        case "save":
          stack.push(BACK_SAVED, instruction.slot, saved[instruction.slot]);
          saved[instruction.slot] = position;
          at++;
          break;
        case "reference": {
          const from = saved[2 * instruction.index];
          const to = saved[2 * instruction.index + 1];
          ok = from >= 0 && to >= 0;
          if (ok) {
            const wanted = text.slice(from, to);
            const got = text.slice(position, position + wanted.length);
            ok = got === wanted || (instruction.ignoreCase && got.toLowerCase() === wanted.toLowerCase());
            position += wanted.length;
          }
          at++;
          break;
        }
        case "enter":
          stack.push(BACK_ENTERED, instruction.loop, entered[instruction.loop]);
          entered[instruction.loop] = position;
          at++;
          break;
        case "leaveIfEmpty":
          at = entered[instruction.loop] === position ? instruction.to : at + 1;
          break;
      }
      while (!ok) {
        if (stack.length === 0) return -1;
        const value = stack.pop() as number;
        const second = stack.pop() as number;
        const first = stack.pop() as number;
        if (first === BACK_SAVED) saved[second] = value;
        else if (first === BACK_ENTERED) entered[second] = value;
        else {
          at = first;
          position = second;
          ok = true;
        }
      }
    }
  }

  /** Whether a body matches text that ends at `position`, going back from the fewest to the most characters. */
  private behind(body: number, text: string, position: number, [min, max]: [number, number]): boolean {
    let start = position;
    for (let count = 0; count <= max; count++) {
      if (count >= min && this.run(body, text, start, position) >= 0) return true;
      if (start === 0) return false;
      start -= codeBefore(text, start) > 0xffff ? 2 : 1;
    }
    return false;
  }

  private holds(assertion: Assertion, text: string, position: number): boolean {
    const atEnd = position === text.length;
    switch (assertion) {
      case "start":
        return position === 0;
      case "end":
        return atEnd;
      case "lastLine":
        return atEnd || (position === text.length - 1 && text[position] === "\n");
      case "lineStart":
        return position === 0 || (text[position - 1] === "\n" && !atEnd);
      case "lineEnd":
        return atEnd || text[position] === "\n";
      case "searchStart":
        return position === this.searchStart;
      default: {
        const before = position > 0 && WORD.has(codeBefore(text, position));
        const after = !atEnd && WORD.has(text.codePointAt(position) as number);
        return (before !== after) === (assertion === "word");
      }
    }
  }
}
