/** What the kernels of attention share: parameters, places of rows, masks. */

import type { AttentionLayout, HeadLayout } from "../../kernels.js";
import { floatFunctions, type ParamType } from "../shader.js";

const places = ["q", "k", "v", "out"] as const;
export type Place = (typeof places)[number];

export const layoutParams = (): Record<string, ParamType> => {
  const params: Record<string, ParamType> = {
    heads: "u32",
    kv_heads: "u32",
    queries: "u32",
    keys: "u32",
    causal: "u32",
    scale: "f32",
    tiles: "u32",
  };
  for (const place of places)
    for (const field of ["offset", "batch", "head", "row"]) params[`${place}_${field}`] = "u32";
  return params;
};

export const layoutNumbers = (layout: AttentionLayout, tiles: number): number[] => [
  layout.heads,
  layout.kvHeads,
  layout.queries,
  layout.keys,
  layout.causal ? 1 : 0,
  layout.scale,
  tiles,
  ...places.flatMap((place) => {
    const { offset, batch, head, row } = layout[place];
    return [offset, batch, head, row];
  }),
];

const aligned = ({ offset, batch, head, row }: HeadLayout) => [offset, batch, head, row].every((n) => n % 4 === 0);

/** Can every row be read in vectors of four? */
export const isWide = (layout: AttentionLayout): boolean =>
  layout.dim % 4 === 0 && places.every((place) => aligned(layout[place]));

export const bufferType = (wide: boolean): string => (wide ? "vec4f" : "f32");

/** Vectors of four in a row. */
export const vectorsOf = (dim: number): number => Math.ceil(dim / 4);

/**
 * Functions: the first element of a row, the number of keys of a query, exponentials of four numbers up to 0, and the
 * logarithm of a sum of exponentials, which is NaN where one is, whatever a driver makes of exp(NaN): parts count by it.
 */
export const attentionFunctions = `${floatFunctions}
fn exp_of(x: vec4f) -> vec4f { return select(exp(x), vec4f(), x < vec4f(-87.33)); }
fn log_of_sum(shift: f32, total: f32) -> f32 {
  let sum = select(shift + log(total), -infinity(), total == 0.0);
  return select(sum, bitcast<f32>(nan_bits), bitcast<u32>(total) >= 0x7f800000u);
}
fn key_count(query: u32) -> u32 {
  if (p.causal == 0u) { return p.keys; }
  return u32(clamp(i32(query) + 1 + i32(p.keys) - i32(p.queries), 0, i32(p.keys)));
}
${places
  .map(
    (place) => `fn ${place}_at(b: u32, h: u32, t: u32) -> u32 {
  return p.${place}_offset + b * p.${place}_batch + h * p.${place}_head + t * p.${place}_row;
}`,
  )
  .join("\n")}
`;

/** A function that reads vector `part` of the row that starts at element `at`. */
export function reader(buffer: string, dim: number, wide: boolean): string {
  const lanes = [0, 1, 2, 3].map((i) => `select(0.0, ${buffer}[at + 4u * part + ${i}u], 4u * part + ${i}u < ${dim}u)`);
  const value = wide ? `${buffer}[at / 4u + part]` : `vec4f(${lanes.join(", ")})`;
  return `fn ${buffer}_vector(at: u32, part: u32) -> vec4f { return ${value}; }\n`;
}

/** A function that writes vector `part` of the row that starts at element `at`. */
export function writer(buffer: string, dim: number, wide: boolean): string {
  const lanes = [0, 1, 2, 3].map(
    (i) => `  if (4u * part + ${i}u < ${dim}u) { ${buffer}[at + 4u * part + ${i}u] = value[${i}]; }`,
  );
  const body = wide ? `  ${buffer}[at / 4u + part] = value;` : lanes.join("\n");
  return `fn put_${buffer}(at: u32, part: u32, value: vec4f) {
  if (part >= ${vectorsOf(dim)}u) { return; }
${body}
}
`;
}
