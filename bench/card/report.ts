/** Figures as Markdown, each line on its way as soon as it is known: what was measured is seen even if the run ends early. */

export const REHEARSAL = "Rehearsal on a processor that plays a graphics card: no figure below means anything";

export const say = (line = ""): void => console.log(line);

/** Writes the head of a table and gives a function that writes a row. */
export function table(...head: string[]): (...cells: string[]) => void {
  say(`| ${head.join(" | ")} |\n|${head.map((_, i) => (i ? "---:" : "---")).join("|")}|`);
  return (...cells) => say(`| ${cells.join(" | ")} |`);
}

/** Three digits that count. */
export function show(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return "–";
  if (value >= 1000) return Math.round(value).toLocaleString("en");
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3);
}

export const share = (part: number, whole: number | undefined): string =>
  whole ? `${((100 * part) / whole).toFixed(part < whole / 10 ? 1 : 0)}%` : "–";

export const reasonOf = (error: unknown): string => String(error).split("\n")[0].slice(0, 240);
