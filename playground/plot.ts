/** The loss as an SVG: one line, the validations as dots, and the best possible loss where it is known. */

export interface Curve {
  readonly steps: number[];
  readonly losses: number[];
  readonly validations: { step: number; loss: number }[];
  /** Steps of the whole run. */
  total: number;
  /** What no model can beat. */
  bound?: number;
}

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 44;
const BOTTOM = 28;
const POINTS = 300;

function element(name: string, attributes: Record<string, string | number>, text?: string): SVGElement {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  if (text !== undefined) node.textContent = text;
  return node;
}

/** At most some hundred points, each the mean of its finite steps: a batch is a small sample, its loss jumps. */
function thinned({ steps, losses }: Curve): [step: number, loss: number][] {
  const width = Math.max(1, Math.ceil(steps.length / POINTS), Math.min(5, Math.floor(steps.length / 20)));
  const points: [number, number][] = [];
  for (let i = 0; i < steps.length; i += width) {
    const part = losses.slice(i, i + width).filter(Number.isFinite);
    if (part.length === 0) continue;
    const end = Math.min(steps.length, i + width);
    // The first and the last stand at their ends, so that the curve does.
    const at = i === 0 ? 0 : end === steps.length ? end - 1 : (i + end - 1) >> 1;
    points.push([steps[at], part.reduce((sum, x) => sum + x, 0) / part.length]);
  }
  return points;
}

/** Heights of the grid up to at least `highest`: 0.5, 1, 2 or 5 apart, or ten times so, and never more than a few. */
function gridOf(highest: number): number[] {
  let step = 0.5;
  for (let k = 0; highest / step > 7; k++) step *= k % 3 === 2 ? 2.5 : 2; // 0.5, 1, 2, 5, 10, …
  return Array.from({ length: Math.ceil(highest / step) + 1 }, (_, i) => i * step);
}

const gridLabel = (value: number): string =>
  value < 1000 ? value.toFixed(1) : value.toExponential().replace("e+", "e");

/** Draws into `figure`, in place of what was there. */
export function drawLoss(figure: HTMLElement, curve: Curve): void {
  const points = thinned(curve);
  // In pixels of the page, so that its letters stay as large as all others.
  const width = Math.max(280, figure.clientWidth);
  const height = width < 500 ? 200 : 280;
  const { bound, total } = curve;
  const validations = curve.validations.filter(({ loss }) => Number.isFinite(loss));
  const last = curve.losses[curve.losses.length - 1];
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  svg.append(
    element("title", {}, points.length > 0 ? `Loss: ${last.toFixed(3)} after ${curve.steps.length} steps` : "Loss"),
  );
  const highest = Math.max(1, ...points.map(([, loss]) => loss), ...validations.map(({ loss }) => loss));
  const grid = gridOf(highest);
  const top = grid[grid.length - 1];
  const x = (step: number) => LEFT + (step / total) * (width - LEFT - 8);
  const y = (loss: number) => height - BOTTOM - (loss / top) * (height - BOTTOM - 12);
  for (const value of grid) {
    svg.append(element("line", { x1: LEFT, x2: width, y1: y(value), y2: y(value), class: "grid" }));
    svg.append(element("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, gridLabel(value)));
  }
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const anchor = share === 1 ? "end" : share === 0 ? "start" : "middle";
    const step = Math.round(share * total);
    svg.append(element("text", { x: x(step), y: height - 8, "text-anchor": anchor }, String(step)));
  }
  if (bound !== undefined) {
    svg.append(element("line", { x1: LEFT, x2: width, y1: y(bound), y2: y(bound), class: "bound" }));
    const label = `best possible: ${bound.toFixed(2)} nats per character`;
    svg.append(element("text", { x: LEFT + 8, y: y(bound) - 7, class: "bound-label" }, label));
  }
  if (points.length > 0) {
    const path = points.map(([step, loss]) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`).join(" ");
    svg.append(element("polyline", { points: path, class: "loss" }));
  }
  for (const { step, loss } of validations) {
    const dot = element("circle", { cx: x(step), cy: y(loss), r: 4, class: "val" });
    dot.append(element("title", {}, `validation loss ${loss.toFixed(3)} after ${step} steps`));
    svg.append(dot);
  }
  figure.replaceChildren(svg);
}
