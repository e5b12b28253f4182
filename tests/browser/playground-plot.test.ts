/** The playground's plot, of losses that are not as one would wish them. */
import { expect, test } from "vitest";
import { drawLoss } from "../../playground/plot.js";

/** Draws, and gives the labels of the grid and what lies outside of the drawing. */
function drawn(losses: number[], validation: number) {
  const figure = document.createElement("figure");
  const steps = losses.map((_, i) => i + 1);
  drawLoss(figure, { steps, losses, validations: [{ step: 1, loss: validation }], total: losses.length });
  const labels = [...figure.querySelectorAll("text[text-anchor=end]")].map((label) => label.textContent!);
  const line = figure.querySelector("polyline")?.getAttribute("points") ?? "";
  const heights = [...line.matchAll(/,([^ ]+)/g)].map(([, y]) => Number(y));
  for (const dot of figure.querySelectorAll("circle")) heights.push(Number(dot.getAttribute("cy")));
  return { labels, inside: heights.every((y) => y >= 0 && y <= 280), points: heights.length };
}

test("the curve of many steps reaches from the first to the last", () => {
  const figure = document.createElement("figure");
  const steps = Array.from({ length: 1000 }, (_, i) => i + 1);
  drawLoss(figure, { steps, losses: steps.map((step) => 3 / step), validations: [], total: 1000 });
  const points = figure.querySelector("polyline")!.getAttribute("points")!.split(" ");
  const ends = [points[0], points.at(-1)!].map((point) => Math.round(Number(point.split(",")[0])));
  expect(ends).toEqual([44, 272]); // of 280 pixels
  expect(points.length).toBeLessThanOrEqual(300);
});

test.each([
  [[3, 2, 1], 2.5, "3.0"],
  [[3, Number.POSITIVE_INFINITY, 1], Number.NaN, "3.0"],
  [[4, 1e6, 3], 5e6, "5e6"],
  [[7.2, 5, 3], 2, "8.0"],
  [[Number.POSITIVE_INFINITY, Number.NaN], Number.NaN, "1.0"],
])("losses %j with a validation of %d have a few lines of grid", (losses, validation, top) => {
  const { labels, inside, points } = drawn(losses, validation);
  const heights = labels.slice(0, -1); // the last is the step
  expect(heights.length).toBeGreaterThanOrEqual(3);
  expect(heights.length).toBeLessThanOrEqual(8);
  expect(heights[0]).toBe("0.0");
  expect(heights.at(-1)).toBe(top);
  expect(inside).toBe(true);
  expect(points).toBe([...losses, validation].filter(Number.isFinite).length);
});
