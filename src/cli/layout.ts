/** Text in lines: broken between words where a terminal ends, and words beside what they mean. */

import type { CommandIo } from "./io.js";

/** The lines of a text, broken between words where they are longer than `width`. */
export const linesOf = (text: string, width: number): string[] =>
  text.split("\n").flatMap((line) => {
    const broken: string[] = [];
    while (line.length > width) {
      const space = line.lastIndexOf(" ", width);
      const at = space > 0 ? space : width;
      broken.push(line.slice(0, at));
      line = line.slice(space > 0 ? at + 1 : at);
    }
    return [...broken, line];
  });

/** A text set off by an indent, its lines broken between words where the terminal ends. */
export const block = (text: string, columns: number): string =>
  linesOf(text.trimEnd(), Math.max(20, columns - 6))
    .map((line) => `    ${line}`.trimEnd())
    .join("\n");

/** Columns of a terminal as it was for decades: no help is wider. */
const COLUMNS = 80;

type Rows = readonly (readonly [word: string, meaning: string])[];

/** Words and what they mean, side by side, as in a help. */
export const glossary = (rows: Rows): string[] => facts(rows, COLUMNS - 2).map((line) => `  ${line}`);

/** The same where nobody has to copy it: at any width, and in one line each where no terminal would break it. */
export function facts(rows: Rows, columns: number): string[] {
  const width = Math.max(...rows.map(([word]) => word.length)) + 2;
  return rows.flatMap(([word, meaning]) =>
    linesOf(meaning, Math.max(20, columns - width)).map((line, i) => `${(i === 0 ? word : "").padEnd(width)}${line}`),
  );
}

/** Where lines are to be broken: programs read whole ones. */
export const widthOf = ({ isTerminal, columns }: CommandIo): number =>
  isTerminal ? columns : Number.POSITIVE_INFINITY;

/** A sentence, broken between words where the terminal ends. */
export const sentence = (text: string, io: CommandIo): string => linesOf(text, widthOf(io)).join("\n");

/** A text of help as it is read. */
export const prose = (text: string): string[] => linesOf(text, COLUMNS);
