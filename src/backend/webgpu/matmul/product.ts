/** What kernels of matrix products share: what their texts depend on, how matrices are read and results written. */

import type { DType } from "../../../core/dtype.js";
import type { Epilogue, Kernel, ParamType, Prologue } from "../shader.js";

/** What the text of a kernel depends on. */
export interface Product {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly bias: boolean;
  readonly accumulate: boolean;
  /** Rows of a, b and the output are whole vectors of four. */
  readonly wideA: boolean;
  readonly wideB: boolean;
  readonly wideOut: boolean;
  /** k is a multiple of this many steps, so that blocks of as many end where it does. */
  readonly wholeK: 1 | 4 | 32;
  /** Also gives the sums over k of the columns of b, or of the rows of a: a bias's gradient beside its weight's. */
  readonly sums: "" | "a" | "b";
  /** A workgroup takes `part` steps of k; matrix i of the output is made of part i. */
  readonly split: boolean;
  /** The dtypes of a and b; float16 is read in WGSL's own type where the device has it. */
  readonly left: DType;
  readonly right: DType;
  readonly f16: boolean;
  /** What is done with the results besides; only where rows of the output are whole vectors. */
  readonly epilogue?: Epilogue;
  /** What makes a, a single row. */
  readonly prologue?: Prologue;
}

export function productKey({ epilogue, prologue, ...product }: Product): string {
  return [...Object.values(product), epilogue?.key, prologue?.key].join();
}

/** How many tiles there are along each dim, and the kernel that computes them. */
export interface Tiling {
  readonly tiles: readonly [number, number];
  kernelOf(product: Product): Kernel;
}

/** So many tiles fill a graphics card; where there would be fewer, they are made smaller. */
export const ENOUGH_TILES = 128;

/** Matrix z of the output is made of matrix first + (z / run) % count of a, and likewise of b. */
export const batchParams = {
  m: "u32",
  n: "u32",
  k: "u32",
  z: "u32",
  a_first: "u32",
  a_run: "u32",
  a_count: "u32",
  b_first: "u32",
  b_run: "u32",
  b_count: "u32",
} satisfies Record<string, ParamType>;

export const bases = `
fn base_a(z: u32) -> u32 { return (p.a_first + (z / p.a_run) % p.a_count) * p.m * p.k; }
fn base_b(z: u32) -> u32 { return (p.b_first + (z / p.b_run) % p.b_count) * p.k * p.n; }
`;

/** How a matrix is read, by single elements or by vectors of four: the type of its buffer, and the text of one. */
export interface Reading {
  readonly type: string;
  /** As float32. */
  at(index: string): string;
  /** As it lies in the buffer, or as float32 where it shares a word: the type and the text, and that which widens it. */
  readonly raw: string;
  read(index: string): string;
  widen(value: string): string;
}

function reading(buffer: string, dtype: DType, wide: boolean, f16: boolean): Reading {
  const element = (index: string) => `${buffer}[${index}]`;
  const of = (type: string, widen: (value: string) => string): Reading => ({
    ...{ type, raw: type, read: element, widen },
    at: (index) => widen(element(index)),
  });
  if (dtype === "float32") return of(wide ? "vec4f" : "f32", (value) => value);
  if (dtype === "float16" && f16)
    return wide ? of("vec4<f16>", (four) => `vec4f(${four})`) : of("f16", (value) => `f32(${value})`);
  if (wide) return of("vec2u", (four) => `widen_four_${dtype}(${four})`);
  const at = (index: string) => `widen_two_${dtype}(${buffer}[(${index}) >> 1u])[(${index}) & 1u]`;
  return { type: "u32", at, raw: "f32", read: at, widen: (value) => value };
}

export const leftOf = ({ wideA, left, f16 }: Product): Reading => reading("left", left, wideA, f16);
export const rightOf = ({ wideB, right, f16 }: Product): Reading => reading("right", right, wideB, f16);

/** Functions that widen packed 16-bit floats. WGSL drops functions that nobody calls. */
export const widening = ({ left, right }: Product): string =>
  (["float16", "bfloat16"] as const)
    .filter((dtype) => left === dtype || right === dtype)
    .map(
      (dtype) => `
fn widen_two_${dtype}(w: u32) -> vec2f { return ${dtype === "float16" ? "unpack2x16float(w)" : "bitcast<vec2f>(vec2u(w << 16u, w & 0xffff0000u))"}; }
fn widen_four_${dtype}(w: vec2u) -> vec4f { return vec4f(widen_two_${dtype}(w.x), widen_two_${dtype}(w.y)); }
`,
    )
    .join("");

export const enablesOf = ({ left, right, f16 }: Product): readonly "f16"[] =>
  f16 && (left === "float16" || right === "float16") ? ["f16"] : [];

export const buffersOf = (product: Product) => {
  const { wideOut, bias, sums, epilogue, prologue } = product;
  const type = (wide: boolean) => (wide ? "vec4f" : "f32");
  return [
    ...(prologue?.buffers ?? [{ name: "left", type: leftOf(product).type }]),
    { name: "right", type: rightOf(product).type },
    { name: "result", type: type(wideOut), writes: true },
    ...(bias ? [{ name: "bias", type: type(wideOut) }] : []),
    ...(sums ? [{ name: "sums", type: "f32", writes: true }] : []),
    ...(epilogue?.buffers ?? []),
  ];
};

/** Four columns of a row of results, as texts. */
export interface Four {
  readonly row: string;
  readonly column: string;
  readonly value: string;
}

/** What is read where four results go: a buffer, and the text of its index. */
const readsOf = ({ bias, accumulate, wideOut, epilogue }: Product): { name: string; index: string }[] =>
  wideOut
    ? [
        ...(bias ? [{ name: "bias", index: "column / 4u" }] : []),
        ...(accumulate ? [{ name: "result", index: "at" }] : []),
        ...(epilogue?.reads ?? []).map((name) => ({ name, index: "at" })),
      ]
    : [];

/** Functions that `store` calls: they write four columns of a row, where they exist. */
export function storer(product: Product): string {
  const { bias, accumulate, wideOut, epilogue } = product;
  if (!wideOut) {
    const value = `value[i]${bias ? " + bias[column + i]" : ""}`;
    return `
fn store(z: u32, row: u32, column: u32, value: vec4f) {
  if (row >= p.m || column >= p.n) { return; }
  let at = (z * p.m + row) * p.n + column;
  for (var i = 0u; i < min(4u, p.n - column); i++) {
    result[at + i] = ${accumulate ? `result[at + i] + (${value})` : value};
  }
}
`;
  }
  const given = readsOf(product).map(({ name }) => `, there_${name}: vec4f`);
  const value = `value${bias ? " + there_bias" : ""}`;
  const passed = (epilogue?.reads ?? []).map((name) => `, there_${name}`).join("");
  return `${epilogue?.code ?? ""}
fn store(z: u32, row: u32, column: u32, value: vec4f${given.join("")}) {
  if (row >= p.m || column >= p.n) { return; }
  let at = ((z * p.m + row) * p.n + column) / 4u;
  let made = ${accumulate ? `there_result + (${value})` : value};
  result[at] = made;${epilogue ? `\n  finish(at, made${passed});` : ""}
}
`;
}

/** Text that writes results of matrix `z`. All reads are sent before the first of them is waited for. */
export function store(product: Product, z: string, fours: readonly Four[]): string {
  const reads = readsOf(product);
  const lines: string[] = [];
  fours.forEach(({ row, column }, i) => {
    if (reads.some(({ index }) => index === "at"))
      lines.push(`let at${i} = ((${z} * p.m + ${row}) * p.n + ${column}) / 4u;`);
    for (const { name, index } of reads)
      lines.push(`let ${name}_${i} = ${name}[${index === "at" ? `at${i}` : `(${column}) / 4u`}];`);
  });
  fours.forEach(({ row, column, value }, i) => {
    lines.push(`store(${z}, ${row}, ${column}, ${value}${reads.map(({ name }) => `, ${name}_${i}`).join("")});`);
  });
  return `  { ${lines.join("\n    ")} }`;
}

/** The parameters of kernels that work by tiles. */
export const tileParams = ({ split, epilogue }: Product): Record<string, ParamType> => ({
  ...batchParams,
  tiles_m: "u32",
  tiles_n: "u32",
  ...(split ? { part: "u32" } : {}),
  ...epilogue?.params,
});

/** The matrix `z` that a workgroup works on, that which it writes, `target_z`, and its steps of k. */
export const stepsOf = ({ split }: Product): string =>
  split
    ? `  let target_z = group / (p.tiles_m * p.tiles_n);
  let z = 0u;
  let first = target_z * p.part;
  let last = min(first + p.part, p.k);`
    : `  let z = p.z + group / (p.tiles_m * p.tiles_n);
  let target_z = z;
  let first = 0u;
  let last = p.k;`;

/** A function that writes four sums, where they exist. */
export const sumsStorer = ({ sums }: Product): string =>
  sums
    ? `
fn store_sums(z: u32, at: u32, value: vec4f) {
  let size = p.${sums === "a" ? "m" : "n"};
  for (var i = 0u; i < min(4u, size - min(at, size)); i++) { sums[z * size + at + i] = value[i]; }
}
`
    : "";
