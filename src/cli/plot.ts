/** Line plots of characters, for terminals: curves over steps with axes, in braille dots or plain ASCII. */

export interface PlotCurve {
  readonly label: string;
  readonly steps: readonly number[];
  /** NaN and infinities are left out. */
  readonly values: readonly number[];
}

export interface PlotOptions {
  /** Columns and rows of the drawing area, axes not counted. */
  readonly width?: number;
  readonly height?: number;
  readonly title?: string;
  /** A horizontal line at this value, for a bound that the curves fall towards. */
  readonly bound?: { readonly label: string; readonly value: number };
  /** Right end of the axis, for a curve that is still growing. */
  readonly until?: number;
  /** Only characters that every terminal has; no braille dots. */
  readonly ascii?: boolean;
}

/** Marks of the curves where dots cannot tell them apart. */
const MARKS = "*o+x#@";
/** Bits of the eight dots of a braille cell: two columns of four rows. */
const DOTS = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
];

/** A plot as lines of text; one line saying so when there is nothing to draw. */
export function plot(curves: readonly PlotCurve[], options: PlotOptions = {}): string {
  const { width = 60, height = 12, bound } = options;
  const finite = curves.map(finitePoints);
  const points = finite.flatMap(({ points }) => points);
  if (points.length === 0) return `${options.title ?? "plot"}: no finite values.`;
  // One curve is drawn in dots; several need marks of their own.
  const dots = !options.ascii && curves.length === 1;
  const [columns, rows] = dots ? [width * 2, height * 4] : [width, height];
  const [left, right] = range([
    ...points.map(([step]) => step),
    ...(options.until === undefined ? [] : [options.until]),
  ]);
  const [low, high] = range([...points.map(([, value]) => value), ...(bound ? [bound.value] : [])]);
  const column = (step: number) => scale(step, left, right, columns);
  const row = (value: number) => rows - 1 - scale(value, low, high, rows);

  const cells = Array.from({ length: height }, () => new Array<string>(width).fill(" "));
  if (bound) cells[Math.floor(row(bound.value) / (dots ? 4 : 1))].fill("-");
  const bits = new Map<string, number>();
  for (const [i, { points }] of finite.entries()) {
    for (const [x, y] of traced(points.map(([step, value]) => [column(step), row(value)]))) {
      if (!dots) {
        cells[y][x] = MARKS[i % MARKS.length];
        continue;
      }
      const [cellX, cellY] = [x >> 1, y >> 2];
      const key = `${cellX},${cellY}`;
      const mask = (bits.get(key) ?? 0) | DOTS[y & 3][x & 1];
      bits.set(key, mask);
      cells[cellY][cellX] = String.fromCharCode(0x2800 + mask);
    }
  }
  return layOut(cells, curves, { low, high, left, right }, options);
}

/** Points of a thinned curve: about two for a column of dots. */
const POINTS = 300;

/**
 * A curve of at most some hundred points, each the mean of its finite steps: a batch is a small sample, its loss jumps,
 * and a plot that grows is drawn again and again.
 */
export function thinned({ label, steps, values }: PlotCurve): PlotCurve {
  const { length } = steps;
  const width = Math.max(1, Math.ceil(length / POINTS), Math.min(5, Math.floor(length / 20)));
  const means: number[] = [];
  const middles: number[] = [];
  for (let start = 0; start < length; start += width) {
    const end = Math.min(length, start + width);
    let sum = 0;
    let count = 0;
    for (let i = start; i < end; i++) {
      if (!Number.isFinite(values[i])) continue;
      sum += values[i];
      count++;
    }
    // The first and the last stand at their ends, so that the curve does.
    middles.push(start === 0 ? steps[0] : end === length ? steps[length - 1] : steps[(start + end - 1) >> 1]);
    means.push(sum / count); // NaN, which is left out, where none is finite
  }
  return { label, steps: middles, values: means };
}

function finitePoints({ steps, values }: PlotCurve): { points: [number, number][] } {
  const points = steps.map((step, i): [number, number] => [step, values[i]]);
  return { points: points.filter(([step, value]) => Number.isFinite(step) && Number.isFinite(value)) };
}

function range(values: readonly number[]): [number, number] {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** Where a value falls among `count` places; the middle when all values are one. */
const scale = (value: number, low: number, high: number, count: number): number =>
  high === low ? count >> 1 : Math.round(((value - low) / (high - low)) * (count - 1));

/** Points joined by straight lines, one per column. */
function* traced(points: readonly (readonly [number, number])[]): Generator<readonly [number, number]> {
  for (const [i, [x, y]] of points.entries()) {
    yield [x, y];
    const next = points[i + 1];
    if (!next) continue;
    const steps = Math.max(Math.abs(next[0] - x), Math.abs(next[1] - y));
    for (let k = 1; k < steps; k++) {
      yield [Math.round(x + ((next[0] - x) * k) / steps), Math.round(y + ((next[1] - y) * k) / steps)];
    }
  }
}

function layOut(
  cells: readonly (readonly string[])[],
  curves: readonly PlotCurve[],
  { low, high, left, right }: Record<"low" | "high" | "left" | "right", number>,
  { title, bound, ascii }: PlotOptions,
): string {
  const marks = (row: number) => row === 0 || row === cells.length - 1 || row === cells.length >> 1;
  const valueAt = (row: number) => high - ((high - low) * row) / Math.max(1, cells.length - 1);
  const labels = cells.map((_, row) => (marks(row) ? shortNumber(valueAt(row)) : ""));
  const margin = Math.max(...labels.map((label) => label.length));
  const [bar, corner, dash] = ascii ? ["|", "+", "-"] : ["\u2502", "\u2514", "\u2500"];
  const lines = cells.map((row, i) => `${labels[i].padStart(margin)} ${bar}${row.join("")}`.trimEnd());
  const width = cells[0].length;
  const from = shortNumber(left);
  const to = shortNumber(right);
  lines.push(`${" ".repeat(margin)} ${corner}${dash.repeat(width)}`);
  lines.push(`${" ".repeat(margin + 2)}${from}${to.padStart(Math.max(1, width - from.length))}`);
  if (title) lines.unshift(`${" ".repeat(margin + 2)}${title}`);
  if (curves.length > 1) {
    for (const [i, { label }] of curves.entries())
      lines.push(`${" ".repeat(margin + 2)}${MARKS[i % MARKS.length]} ${label}`);
  }
  if (bound) lines.push(`${" ".repeat(margin + 2)}- ${bound.label} ${shortNumber(bound.value)}`);
  return lines.join("\n");
}

const shortNumber = (value: number): string => String(Number(value.toPrecision(4)));
