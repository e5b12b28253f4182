/**
 * Loops over memory as text. A load takes as long as a thousand additions, so a thread asks for several elements before
 * it waits for the first. Compilers do not arrange that by themselves where they do not know how many there are.
 */

import type { Gpu } from "../gpu.js";
import { upTo } from "../shader.js";

/** How many of its elements a thread asks for before it waits. */
export const aheadOf = ({ software }: Gpu, each: number): number =>
  software ? 1 : ([1, 2, 4, 8].find((ahead) => ahead >= each) ?? 16);

/** Elements `first`, `first + by`, … below `end`, of which `ahead` are under way at once. */
export interface Steps {
  readonly first: string;
  readonly end: string;
  readonly by: number;
  readonly ahead: number;
}

/** What is loaded for element `i`, by the names that the work on it uses. */
export type Loads = Readonly<Record<string, (i: string) => string>>;

/** Work on a block of elements: on each, which sees `i`, its loads and `inside`; or once for all of them. */
export type Work = string | { readonly once: string };

const uses = (text: string, name: string): boolean => new RegExp(`\\b${name}\\b`).test(text);

const textOf = (work: Work): string => (typeof work === "string" ? work : work.once);

/** Loads element `number`, which is `i`. */
export const loadsOf = (loads: Loads, works: readonly Work[], number: number, i: string): string[] =>
  Object.entries(loads)
    .filter(([name]) => works.some((work) => uses(textOf(work), name)))
    .map(([name, load]) => `let ${name}_${number} = ${load(i)};`);

/** Work on element `number`, which was loaded. */
export function workOn(loads: Loads, work: string, number: number, i: string, inside: string): string {
  const names = Object.keys(loads).filter((name) => uses(work, name));
  const own = names.map((name) => `let ${name} = ${name}_${number};`);
  if (uses(work, "i")) own.unshift(`let i = ${i};`);
  if (uses(work, "inside")) own.push(`let inside = ${inside};`);
  return `{ ${own.join(" ")} ${work} }`;
}

/**
 * A loop that only gathers. Elements beyond the end are loaded as well (as the last one) and not `inside`: with a branch
 * around their use, compilers would move the loads into it, and wait for each. One by one, each work has a loop of its own.
 */
export function gathering({ first, end, by, ahead }: Steps, loads: Loads, ...works: Work[]): string {
  if (ahead === 1) {
    return works
      .map((work) =>
        typeof work === "string"
          ? `  for (var i_0 = ${first}; i_0 < ${end}; i_0 += ${by}u) {
    ${[...loadsOf(loads, [work], 0, "i_0"), workOn(loads, work, 0, "i_0", "true")].join("\n    ")}
  }`
          : `  ${work.once}`,
      )
      .join("\n");
  }
  const all = upTo(ahead);
  const lines = [
    ...all.slice(1).map((u) => `let i_${u} = min(i_0 + ${u * by}u, ${end} - 1u);`),
    ...all.flatMap((u) => loadsOf(loads, works, u, `i_${u}`)),
    ...works.flatMap((work) =>
      typeof work === "string"
        ? all.map((u) => workOn(loads, work, u, `i_${u}`, u === 0 ? "true" : `i_0 + ${u * by}u < ${end}`))
        : [work.once],
    ),
  ];
  return `  for (var i_0 = ${first}; i_0 < ${end}; i_0 += ${ahead * by}u) {
    ${lines.join("\n    ")}
  }`;
}

/** A loop that writes: whole blocks, then the rest one by one. */
export function writing({ first, end, by, ahead }: Steps, loads: Loads, work: string): string {
  const block = (count: number) => {
    const all = upTo(count);
    const places = all.map((u) => (u === 0 ? "i_0" : `(i_0 + ${u * by}u)`));
    const lines = [
      ...all.flatMap((u) => loadsOf(loads, [work], u, places[u])),
      ...all.map((u) => workOn(loads, work, u, places[u], "true")),
    ];
    const last = count === 1 ? "i_0" : `i_0 + ${(count - 1) * by}u`;
    return `  for (; ${last} < ${end}; i_0 += ${count * by}u) {
    ${lines.join("\n    ")}
  }`;
  };
  return `  { var i_0 = ${first};
${ahead === 1 ? "" : `${block(ahead)}\n`}${block(1)}
  }`;
}
