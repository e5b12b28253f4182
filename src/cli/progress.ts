/** An area at the end of a terminal that is redrawn while lines above it stay; and the bar that stands in it. */

import type { Io } from "./io.js";

/** Least time between two drawings, in milliseconds. */
const REDRAW = 100;

/** Lines that stay, with an area below them that changes; where nobody looks, the area is not written. */
export class Screen {
  private drawn = 0;
  private lastDrawing = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly io: Io,
    private readonly clock: () => number,
  ) {}

  /** Writes lines that stay, above the area. */
  line(text: string): void {
    this.io.write(`${this.erasing()}${text}\n`);
    this.lastDrawing = Number.NEGATIVE_INFINITY;
  }

  /** Draws the area anew, unless that was done a moment ago. `lines` is called only when it is drawn. */
  area(lines: () => readonly string[]): void {
    const now = this.clock();
    if (!this.io.isTerminal || now - this.lastDrawing < REDRAW) return;
    this.lastDrawing = now;
    const width = this.io.columns - 1;
    const shown = lines().map((line) => cut(line, width));
    // One write, so that nothing flickers.
    this.io.write(`${this.erasing()}${shown.map((line) => `${line}\n`).join("")}`);
    this.drawn = shown.length;
  }

  /** Takes the area away. */
  clear(): void {
    const erasing = this.erasing();
    if (erasing !== "") this.io.write(erasing);
  }

  private erasing(): string {
    const lines = this.drawn;
    this.drawn = 0;
    return lines > 0 ? `\r\x1b[${lines}A\x1b[J` : "";
  }
}

/** A line longer than the terminal would wrap, and the area could not be counted in lines. */
const cut = (line: string, width: number): string => (line.length > width ? `${line.slice(0, width - 1)}…` : line);

/** `━━━━━━╶─────`: `share` (0 to 1) of `width` characters. */
export function bar(share: number, width: number): string {
  const filled = Math.max(0, Math.min(width, Math.round(share * width)));
  return `${"━".repeat(filled)}${"─".repeat(width - filled)}`;
}

/** Text that arrives in pieces, as it comes but broken between words: a word is held until it is known to end. */
export class Wrapped {
  private column = 0;
  private word = "";

  constructor(
    private readonly write: (text: string) => void,
    private readonly width: number,
  ) {}

  push(text: string): void {
    for (const character of text) {
      if (character !== " " && character !== "\n") this.word += character;
      else {
        this.flush();
        this.column = character === "\n" ? 0 : this.column + 1;
        this.write(character);
      }
    }
  }

  /** Writes the last word. */
  flush(): void {
    const breaks = this.column > 0 && this.column + this.word.length > this.width;
    this.write(breaks ? `\n${this.word}` : this.word);
    this.column = (breaks ? 0 : this.column) + this.word.length;
    this.word = "";
  }
}

/** `45 s`, `3 min 20 s`, `2 h 05 min`. */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(seconds % 60).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** Thousands apart: `14,120`. */
export const thousands = (value: number): string =>
  Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ",");

/** How fast a run goes, as its steps come in: rates over about the last second, time left over the whole run. */
export class Pace {
  private readonly began: number;
  /** The first step here, and when it was done: it waits for what is made once, and tells nothing of the others. */
  private first: { readonly step: number; readonly time: number } | undefined;
  private done = 0;
  private steps = 0;
  /** 0 before the first step. */
  tokensPerSecond = 0;
  /** What the rate counts. */
  unit = "tokens";

  constructor(private readonly clock: () => number) {
    this.began = clock();
  }

  /** Steps that were done before this process. */
  startFrom(step: number): void {
    this.done = step;
  }

  step({ step, steps, tokensPerSecond: rate }: { step: number; steps: number; tokensPerSecond?: number }): void {
    this.done = step;
    this.steps = steps;
    this.first ??= { step, time: this.clock() };
    if (rate === undefined) return;
    this.tokensPerSecond = this.tokensPerSecond === 0 ? rate : this.tokensPerSecond * 0.9 + rate * 0.1;
  }

  get share(): number {
    return this.steps === 0 ? 0 : this.done / this.steps;
  }

  get elapsed(): number {
    return this.clock() - this.began;
  }

  /** Milliseconds, as far as the steps so far tell; undefined before the second. */
  get left(): number | undefined {
    const { first, done, steps } = this;
    if (!first || done === first.step) return undefined;
    return ((this.clock() - first.time) / (done - first.step)) * (steps - done);
  }

  /** `14,120 tokens/s  45 s left`; of a table, rows. */
  describe(): string {
    const { left } = this;
    const rate = `${thousands(this.tokensPerSecond)} ${this.unit}/s`;
    if (this.done === this.steps) return `${rate}  ${duration(this.elapsed)}`;
    return left === undefined ? rate : `${rate}  ${duration(left)} left`;
  }
}
