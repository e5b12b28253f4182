/** Regular expressions with Oniguruma's meaning, found without JavaScript's own engine. */

import { FormatError, show } from "../../core/errors.js";
import type { Pattern } from "../pattern.js";
import type { Scanner } from "../pre-tokenizer.js";
import { Automaton } from "./automaton.js";
import { Backtracker } from "./backtracker.js";
import { Parser } from "./parse.js";
import { compile } from "./program.js";

/** Characters that may be read while matches are looked for in one text: so many, and so many for each unit of it. */
const WORK = 10_000_000;
const WORK_PER_UNIT = 100;

/** Throws FormatError for a pattern that is malformed or not supported, naming what and where. */
export class Regex implements Pattern, Scanner {
  private readonly automaton: Automaton | undefined;
  private readonly backtracker: Backtracker;

  readonly scanner: Scanner = this;

  private limit = Number.POSITIVE_INFINITY;

  constructor(readonly source: string) {
    const program = compile(new Parser(source).parse(), source);
    this.automaton = program.simple ? new Automaton(program) : undefined;
    this.backtracker = new Backtracker(program, source);
  }

  /** End of the match that begins exactly at `start`, or -1; `searchStart` is what `\G` stands for. */
  matchAt(text: string, start: number, searchStart = start): number {
    const { automaton } = this;
    if (automaton === undefined) return this.backtracker.matchAt(text, start, searchStart);
    const end = automaton.matchAt(text, start);
    if (automaton.work > this.limit) {
      throw new FormatError(
        `regex ${show(this.source)}: reads a text of ${text.length} characters more than ${WORK_PER_UNIT} times over.`,
        { where: "regex", pattern: this.source, hint: "Rewrite it so that it does not look far ahead in vain." },
      );
    }
    return end;
  }

  /** To be called before looking for matches in a text: how much may be read is counted from here. */
  begin(text: string): void {
    if (this.automaton === undefined) this.backtracker.begin(text);
    else this.limit = this.automaton.work + WORK + WORK_PER_UNIT * text.length;
  }

  matches(text: string): [number, number][] {
    const out: [number, number][] = [];
    // Hugging Face's library looks for nothing in an empty text.
    if (text === "") return out;
    this.begin(text);
    let from = 0;
    let lastEnd = -1;
    while (from <= text.length) {
      let start = from;
      let end = -1;
      while (start <= text.length) {
        end = this.matchAt(text, start, from);
        if (end >= 0) break;
        start += (text.codePointAt(start) ?? 0) > 0xffff ? 2 : 1;
      }
      if (end < 0) break;
      if (end === start && lastEnd === end) {
        // An empty match right after the last one does not count.
        from += (text.codePointAt(from) ?? 0) > 0xffff ? 2 : 1;
        continue;
      }
      out.push([start, end]);
      from = lastEnd = end;
    }
    return out;
  }
}

const compiled = new Map<string, Regex>();

/** The regular expression of a source, made once. Throws FormatError for one that is not supported. */
export function regex(source: string): Regex {
  let expression = compiled.get(source);
  if (expression === undefined) compiled.set(source, (expression = new Regex(source)));
  return expression;
}
