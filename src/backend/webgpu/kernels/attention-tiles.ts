/** What the kernels of attention share: parameters, tiles of rows in workgroup memory, masks. */

import type { AttentionLayout, HeadLayout } from "../../backend.js";
import { floatFunctions, type ParamType, upTo } from "../shader.js";

/** Rows of a workgroup's own tile; 64 threads, so four to a row. */
export const ROWS = 16;
export const PER_ROW = 4;

/** Workgroup memory that every device has. */
const WORKGROUP_BYTES = 16384;

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

/** Vectors of four in a row, and the distance of rows in workgroup memory: one more, so that rows lie in other banks. */
export const vectorsOf = (dim: number): number => Math.ceil(dim / 4);
const rowStep = (dim: number): number => vectorsOf(dim) + 1;
const rowBytes = (dim: number): number => rowStep(dim) * 16;

/** Rows of the other tiles at most. A software adapter compiles long texts slowly and gains nothing from them. */
export const mostRows = (software: boolean): number => (software ? 8 : 32);

/** How many rows the other tiles may have, so that `own` tiles of ROWS and `other` tiles fit; and whether own ones do. */
export function fit(
  dim: number,
  most: number,
  own: number,
  other: number,
  weights: number,
): { rows: number; keepOwn: boolean } {
  for (const keepOwn of [true, false]) {
    for (const rows of [32, 16, 8, 4].filter((n) => n <= most)) {
      const bytes =
        (keepOwn ? own * ROWS : 0) * rowBytes(dim) + other * rows * rowBytes(dim) + weights * ROWS * rows * 4;
      if (bytes <= WORKGROUP_BYTES && (rows >= 8 || !keepOwn)) return { rows, keepOwn };
    }
  }
  return { rows: 0, keepOwn: false };
}

/** Functions: the first element of a row, the number of keys of a query. */
export const attentionFunctions = `${floatFunctions}
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

/** A tile in workgroup memory, the text that fills it, and that of one of its vectors. */
export class TileText {
  readonly declaration: string;

  constructor(
    private readonly name: string,
    private readonly buffer: string,
    private readonly dim: number,
    private readonly rows: number,
  ) {
    this.declaration = `var<workgroup> ${name}: array<vec4f, ${rows * rowStep(dim)}>;`;
  }

  /** Loads rows first … first + rows - 1 below `end`; `at` is the text of the place of row `t`. */
  load(first: string, end: string, at: (t: string) => string): string {
    const vectors = vectorsOf(this.dim);
    return `for (var x = lane; x < ${this.rows * vectors}u; x += 64u) {
      let t = ${first} + x / ${vectors}u;
      var value = vec4f();
      if (t < ${end}) { value = ${this.buffer}_vector(${at("t")}, x % ${vectors}u); }
      ${this.name}[(x / ${vectors}u) * ${rowStep(this.dim)}u + x % ${vectors}u] = value;
    }`;
  }

  at(row: string, vector: string): string {
    return `${this.name}[(${row}) * ${rowStep(this.dim)}u + ${vector}]`;
  }
}

/** The vectors of a row that one of its four threads owns: column, column + 4, … */
export const ownVectors = (dim: number): number[] => upTo(Math.ceil(vectorsOf(dim) / PER_ROW));
