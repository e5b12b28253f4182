/** Figures as Markdown, each line on its way as soon as it is known: what was measured is seen even if the run ends early. */

import { appendFileSync } from "node:fs";
import { row as rowOf, tableHead } from "../tables.mjs";

export const REHEARSAL = "Rehearsal on a processor that plays a graphics card: no figure below means anything";

/** Prints, and writes into the report if it is a file: that stays where a pipe is cut with the processes behind it. */
export function say(line = ""): void {
  console.log(line);
  const file = process.env["TENON_CARD_REPORT"];
  if (file) appendFileSync(file, `${line}\n`);
}

/** Writes the head of a table and gives a function that writes a row. */
export function table(...head: string[]): (...cells: string[]) => void {
  say(tableHead(head));
  return (...cells) => say(rowOf(cells));
}

/** Three digits that count. */
export function show(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return "–";
  if (value >= 1000) return Math.round(value).toLocaleString("en");
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3);
}

export const share = (part: number, whole: number | undefined): string =>
  whole ? `${((100 * part) / whole).toFixed(part < whole / 10 ? 1 : 0)}%` : "–";
