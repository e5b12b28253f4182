/**
 * A deterministic automaton, built state by state as texts ask for it, that finds the same matches as backtracking
 * would (the first alternative that leads to a match wins) in time proportional to the text (Cox 2010, "Regular
 * Expression Matching in the Wild"). Conditions on the next character are decided when that character is read.
 */

import { NEWLINE, WORD } from "./character-set.js";
import { CharacterClasses, EDGE } from "./classes.js";
import type { Assertion } from "./parse.js";
import type { Instruction, Program } from "./program.js";

const DEAD = 0;
const UNKNOWN = -1;
const MOST_STATES = 4096;
/** Of all states together. */
const MOST_THREADS = 1 << 22;
/** Columns of a row of transitions; grows with the classes. */
const FIRST_WIDTH = 32;

export class Automaton {
  /** Characters read and threads followed so far by all calls: expressions that read far ahead again and again are stopped by their caller. */
  work = 0;
  private readonly code: Instruction[];
  private readonly classes: CharacterClasses;
  private readonly newline: number;
  private readonly word: number;
  private readonly looksBack: boolean;
  /** For each state and class: next state times 2, plus 1 where a match ends before the character. */
  private transitions = new Int32Array(0);
  private width = FIRST_WIDTH;
  private states: { threads: number[]; before: number }[] = [];
  private numbers = new Map<string, number>();
  private held = 0;
  /** The state at the start of a match, by the class before it; 0: not made yet. */
  private startStates = new Int32Array(256);
  /** By instruction, the number of the step that last followed a thread there. */
  private readonly followed: Float64Array;
  private steps = 0;

  constructor(program: Program) {
    this.code = program.codes[0];
    this.followed = new Float64Array(this.code.length);
    this.classes = new CharacterClasses(program.sets);
    this.newline = program.sets.findIndex((set) => set.name === NEWLINE.name);
    this.word = program.sets.findIndex((set) => set.name === WORD.name);
    this.looksBack = this.code.some(
      (instruction) => instruction.op === "assert" || (instruction.op === "lookSet" && instruction.behind),
    );
    this.reset();
  }

  private reset(): void {
    this.states = [{ threads: [], before: EDGE }];
    this.numbers.clear();
    this.held = 0;
    this.startStates.fill(0);
    this.transitions = new Int32Array(64 * this.width).fill(UNKNOWN);
    this.transitions.fill(DEAD * 2, 0, this.width);
  }

  /** End of the match that begins at `start`, or -1. */
  matchAt(text: string, start: number): number {
    const { units } = this.classes;
    const { length } = text;
    const before = this.looksBack && start > 0 ? this.classes.of(codeBefore(text, start)) : EDGE;
    let state = this.startStates[before];
    if (state === 0) state = this.startStates[before] = this.stateOf([0], before);
    let { transitions, width } = this;
    let end = -1;
    for (let at = start; ; ) {
      let klass = EDGE;
      let next = at + 1;
      if (at < length) {
        const unit = text.charCodeAt(at);
        klass = units[unit];
        if (klass === EDGE || (unit & 0xfc00) === 0xd800) {
          const code = text.codePointAt(at) as number;
          klass = this.classes.of(code);
          if (code > 0xffff) next++;
        }
      }
      let step = klass < width ? transitions[state * width + klass] : UNKNOWN;
      if (step === UNKNOWN) {
        state = this.makeRoom(state, klass);
        step = this.step(state, klass);
        ({ transitions, width } = this);
      }
      if ((step & 1) === 1) end = at;
      state = step >> 1;
      if (state === DEAD || at >= length) {
        this.work += at - start;
        return end;
      }
      at = next;
    }
  }

  /** Rebuilds the table where it is too narrow or too long; the state keeps its meaning, not its number. */
  private makeRoom(state: number, klass: number): number {
    if (klass < this.width && this.states.length <= MOST_STATES && this.held <= MOST_THREADS) return state;
    const { threads, before } = this.states[state];
    while (this.classes.members.length > this.width) this.width *= 2;
    this.reset();
    return this.stateOf(threads, before);
  }

  private stateOf(threads: number[], before: number): number {
    const key = this.looksBack ? `${before}:${threads}` : String(threads);
    let number = this.numbers.get(key);
    if (number === undefined) {
      number = this.states.length;
      this.states.push({ threads, before });
      this.held += threads.length;
      this.numbers.set(key, number);
      if ((number + 1) * this.width > this.transitions.length) {
        const grown = new Int32Array(this.transitions.length * 2).fill(UNKNOWN);
        grown.set(this.transitions);
        this.transitions = grown;
      }
    }
    return number;
  }

  /** Follows all threads of a state, in order, over a character of class `klass`. */
  private step(state: number, klass: number): number {
    const { threads, before } = this.states[state];
    const inside = this.classes.members[klass];
    const { followed } = this;
    const now = ++this.steps;
    const next: number[] = [];
    let matched = false;
    const stack = threads.slice().reverse();
    while (stack.length > 0) {
      const at = stack.pop() as number;
      if (followed[at] === now) continue;
      followed[at] = now;
      this.work++;
      const instruction = this.code[at];
      switch (instruction.op) {
        case "set":
          if (inside[instruction.set]) next.push(at + 1);
          break;
        case "split":
          stack.push(instruction.second, instruction.first);
          break;
        case "jump":
          stack.push(instruction.to);
          break;
        case "assert":
          if (this.holds(instruction.assertion, before, klass)) stack.push(at + 1);
          break;
        case "lookSet": {
          const other = instruction.behind ? this.classes.members[before] : inside;
          if (other[instruction.set] !== instruction.negated) stack.push(at + 1);
          break;
        }
        case "match":
          // Threads of lower rank are cut off.
          matched = true;
          stack.length = 0;
          break;
        default:
          stack.push(at + 1);
      }
    }
    const target = next.length === 0 || klass === EDGE ? DEAD : this.stateOf(next, this.looksBack ? klass : EDGE);
    const step = target * 2 + (matched ? 1 : 0);
    this.transitions[state * this.width + klass] = step;
    return step;
  }

  private holds(assertion: Assertion, before: number, after: number): boolean {
    const { members } = this.classes;
    switch (assertion) {
      case "start":
        return before === EDGE;
      case "end":
        return after === EDGE;
      case "lineStart":
        return before === EDGE || (members[before][this.newline] && after !== EDGE);
      case "lineEnd":
        return after === EDGE || members[after][this.newline];
      default:
        return (members[before][this.word] !== members[after][this.word]) === (assertion === "word");
    }
  }
}

/** The code point that ends at `at`. */
export function codeBefore(text: string, at: number): number {
  const unit = text.charCodeAt(at - 1);
  return unit >= 0xdc00 && unit < 0xe000 && at > 1 ? (text.codePointAt(at - 2) as number) : unit;
}
