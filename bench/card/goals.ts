/** What is wanted of a card, and what came of it. */

import { show } from "./report.js";

export interface Goal {
  readonly title: string;
  readonly unit: string;
  readonly atLeast?: number;
  readonly atMost?: number;
  readonly below?: number;
}

const sizes = ["1024", "2048", "4096"];
const stepNames = ["baby GPT", "384 wide", "GPT-2 124M"];
const roofNames = ["measured", "nominal"];
const each = <T extends string>(names: readonly T[], goal: (name: T) => [string, Goal]) => names.map(goal);

/** By the names under which parts tell what they measured. Those without a limit are wanted as figures. */
export const goals: Record<string, Goal> = Object.fromEntries([
  ...each(sizes, (size) => [
    `product ${size} beside peers`,
    { title: `product ${size}³, float32, beside the best peer`, unit: "x", atLeast: 1.2 },
  ]),
  ...each(["jax-js", "tfjs-webgpu"], (peer) => [
    `step beside ${peer}`,
    { title: `training step of the baby GPT beside ${peer}`, unit: "x", atLeast: 3 },
  ]),
  ...roofNames.flatMap((roof) =>
    each(sizes, (size) => [
      `product ${size} of ${roof}`,
      { title: `product ${size}³, float32, of the ${roof} peak`, unit: "%" },
    ]),
  ),
  ...roofNames.flatMap((roof) =>
    each(sizes, (size) => [
      `half ${size} of ${roof}`,
      { title: `product ${size}³, subgroup matrices of float16, of the ${roof} peak`, unit: "%" },
    ]),
  ),
  ...each(["forward", "backward"], (way) => [
    way,
    { title: `dispatches of a layer, ${way}`, unit: "", atMost: way === "forward" ? 12 : 20 },
  ]),
  ...each(stepNames, (name) => [
    `recording ${name}`,
    { title: `recording, of a step of ${name}`, unit: "%", below: 20 },
  ]),
  ...["float32", "float16"].flatMap((dtype) =>
    each(roofNames, (roof) => [
      `decode ${dtype} of ${roof}`,
      { title: `decoding GPT-2 124M, ${dtype}, of the ${roof} bandwidth`, unit: "%", atLeast: 60 },
    ]),
  ),
  ["decode layer", { title: "dispatches of a layer of a token", unit: "", atMost: 12 }],
  ["first", { title: "first step of the baby GPT, the driver's cache of shaders off", unit: " ms", below: 2000 }],
  ["first again", { title: "first step of the baby GPT", unit: " ms", below: 2000 }],
  ...each(["float32", "float16"], (dtype) => [
    `norm ${dtype}`,
    { title: `a token with the norms in the launch of the product, beside launches of their own, ${dtype}`, unit: "x" },
  ]),
] as [string, Goal][]);

const number = (value: number, unit: string) => `${unit === "%" ? value.toFixed(1) : show(value)}${unit}`;

/** Title, what is wanted, what was measured, and whether that is reached: a row for each goal. */
export const verdicts = (figures: Readonly<Record<string, number>>): string[][] =>
  Object.entries(goals).map(([name, { title, unit, atLeast, atMost, below }]) => {
    const value = figures[name] ?? Number.NaN; // also what came as null from another process
    const limits = [
      [atLeast, "at least", atLeast !== undefined && value >= atLeast],
      [atMost, "at most", atMost !== undefined && value <= atMost],
      [below, "under", below !== undefined && value < below],
    ] as const;
    const limit = limits.find(([wanted]) => wanted !== undefined);
    const wanted = limit ? `${limit[1]} ${limit[0]}${unit}` : "–";
    if (!Number.isFinite(value)) return [title, wanted, "not measured", "–"];
    return [title, wanted, number(value, unit), limit ? (limit[2] ? "reached" : "NOT reached") : "–"];
  });
