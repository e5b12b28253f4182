/**
 * Sums, products, extremes, their positions, and running totals. The shape alone decides how a line is cut and in what
 * tree its parts are combined, so two runs give the same bits.
 */

import type { Operand, ReduceKind, Split } from "../backend.js";
import type { Gpu, OnGpu } from "./gpu.js";
import type { Piece } from "./pool.js";
import { entry, floatBits, type KernelSource } from "./shader.js";

export const THREADS = 64;

/** Lines up to this length are one thread's work. */
const SHORT = 32;
/** Elements of a long line that one workgroup, or one thread beside others, takes. */
const CHUNK = 4096;
const COLUMN_CHUNK = 64;
/** With so many lines there is work for every thread without cutting them. */
const MANY_LINES = 8192;

type Number = "f32" | "i32";

interface Fold {
  readonly empty: Readonly<Record<Number, string>>;
  combine(a: string, b: string): string;
}

const folds: { readonly [kind in ReduceKind]: Fold } = {
  sum: { empty: { f32: "0.0", i32: "0" }, combine: (a, b) => `${a} + ${b}` },
  prod: { empty: { f32: "1.0", i32: "1" }, combine: (a, b) => `${a} * ${b}` },
  max: { empty: { f32: "-infinity()", i32: "-2147483647 - 1" }, combine: (a, b) => `largest(${a}, ${b})` },
  min: { empty: { f32: "infinity()", i32: "2147483647" }, combine: (a, b) => `smallest(${a}, ${b})` },
};

const extremes = (type: Number) =>
  type === "f32"
    ? `${floatBits}
fn largest(a: f32, b: f32) -> f32 { return select(max(a, b), a + b, is_nan(a) || is_nan(b)); }
fn smallest(a: f32, b: f32) -> f32 { return select(min(a, b), a + b, is_nan(a) || is_nan(b)); }
`
    : `
fn largest(a: i32, b: i32) -> i32 { return max(a, b); }
fn smallest(a: i32, b: i32) -> i32 { return min(a, b); }
`;

/**
 * Functions that combine one value of each of the 64 threads of a workgroup and give all of them the result: eight
 * threads combine eight values each, then every thread those eight.
 */
export const acrossGroup = (name: string, type: string, combine: (a: string, b: string) => string): string => `
var<workgroup> ${name}_all: array<${type}, ${THREADS}>;
var<workgroup> ${name}_part: array<${type}, 8>;
fn ${name}(lane: u32, own: ${type}) -> ${type} {
  ${name}_all[lane] = own;
  workgroupBarrier();
  if (lane < 8u) {
    var total = ${name}_all[lane * 8u];
    for (var i = 1u; i < 8u; i++) { total = ${combine("total", `${name}_all[lane * 8u + i]`)}; }
    ${name}_part[lane] = total;
  }
  workgroupBarrier();
  var total = ${name}_part[0];
  for (var i = 1u; i < 8u; i++) { total = ${combine("total", `${name}_part[i]`)}; }
  workgroupBarrier();
  return total;
}
`;

const typeOf = ({ dtype }: Operand): Number => (dtype === "float32" ? "f32" : "i32");

export function reduce(gpu: Gpu, kind: ReduceKind, input: Operand, output: Operand, split: Split): void {
  fold(gpu, kind, typeOf(input), input, output, split);
}

/** `reduce` for memory with or without a tensor around it. */
export function fold(
  gpu: Gpu,
  kind: ReduceKind,
  type: Number,
  input: OnGpu | Piece,
  output: OnGpu | Piece,
  split: Split,
): void {
  const { outer, size, inner } = split;
  const lines = outer * inner;
  const byGroups = inner === 1 && size > SHORT;
  const chunk = byGroups ? CHUNK : lines < MANY_LINES && size > 2 * COLUMN_CHUNK ? COLUMN_CHUNK : Math.max(1, size);
  const chunks = Math.max(1, Math.ceil(size / chunk));
  const target = chunks === 1 ? output : gpu.temporary(outer * chunks * inner * 4);
  const kernel = gpu.kernel(`reduce ${kind} ${type} ${byGroups}`, () => source(kind, type, byGroups));
  const results = outer * chunks * inner;
  const groups = byGroups ? results : Math.ceil(results / THREADS);
  gpu.run(kernel, [input, target], [results, size, inner, chunk, chunks], groups);
  if (chunks === 1) return;
  fold(gpu, kind, type, target, output, { outer, size: chunks, inner });
  gpu.pool.release(target as Piece);
}

/** Result (o, c, i) is chunk c of line (o, i). A workgroup folds a chunk together, or each thread one alone. */
function source(kind: ReduceKind, type: Number, byGroups: boolean): KernelSource {
  const { empty, combine } = folds[kind];
  const result = byGroups ? "group" : "thread";
  const own = combine("total", "values[start + s * p.inner]");
  const [first, step] = byGroups ? ["lane", `${THREADS}u`] : ["0u", "1u"];
  return {
    name: `reduce ${kind}`,
    buffers: [
      { name: "values", type },
      { name: "results", type, writes: true },
    ],
    params: { count: "u32", size: "u32", inner: "u32", chunk: "u32", chunks: "u32" },
    code: `${extremes(type)}${byGroups ? acrossGroup("combine", type, combine) : ""}
${entry(THREADS)}
  if (${result} >= p.count) { return; }
  let i = ${result} % p.inner;
  let c = (${result} / p.inner) % p.chunks;
  let o = ${result} / (p.inner * p.chunks);
  let start = (o * p.size + c * p.chunk) * p.inner + i;
  let count = min(p.chunk, p.size - c * p.chunk);
  var total: ${type} = ${empty[type]};
  for (var s = ${first}; s < count; s += ${step}) { total = ${own}; }
  ${byGroups ? `let all = combine(lane, total);\n  if (lane == 0u) { results[group] = all; }` : "results[thread] = total;"}
}`,
  };
}

/** The first NaN wins, else the first of the largest (smallest) elements. */
export function argReduce(gpu: Gpu, kind: "argmax" | "argmin", input: Operand, output: Operand, split: Split): void {
  const type = typeOf(input);
  const byGroups = split.inner === 1 && split.size > SHORT;
  const kernel = gpu.kernel(`${kind} ${type} ${byGroups}`, () => argSource(kind, type, byGroups));
  const lines = split.outer * split.inner;
  const groups = byGroups ? lines : Math.ceil(lines / THREADS);
  gpu.run(kernel, [input, output], [lines, split.size, split.inner], groups);
}

function argSource(kind: "argmax" | "argmin", type: Number, byGroups: boolean): KernelSource {
  const line = byGroups ? "group" : "thread";
  const [first, step] = byGroups ? ["lane", `${THREADS}u`] : ["0u", "1u"];
  const order = kind === "argmax" ? ">" : "<";
  const nan = type === "f32" ? "is_nan" : "never";
  return {
    name: kind,
    buffers: [
      { name: "values", type },
      { name: "results", type: "i32", writes: true },
    ],
    params: { count: "u32", size: "u32", inner: "u32" },
    code: `${floatBits}
fn never(x: i32) -> bool { return false; }
struct Best { value: ${type}, index: u32 }
/** NaN before numbers, the ${kind === "argmax" ? "larger" : "smaller"} number before others, the lower index before equals; no index is last. */
fn better(a: Best, b: Best) -> Best {
  if (b.index == 0xffffffffu) { return a; }
  if (a.index == 0xffffffffu) { return b; }
  let a_nan = ${nan}(a.value);
  let b_nan = ${nan}(b.value);
  let equal = (a_nan && b_nan) || (!a_nan && !b_nan && a.value == b.value);
  let first = select((a_nan && !b_nan) || (!b_nan && a.value ${order} b.value), a.index < b.index, equal);
  if (first) { return a; }
  return b;
}
${byGroups ? acrossGroup("best", "Best", (a, b) => `better(${a}, ${b})`) : ""}
${entry(THREADS)}
  if (${line} >= p.count) { return; }
  let start = (${line} / p.inner) * p.size * p.inner + ${line} % p.inner;
  var own = Best(${type}(0), 0xffffffffu);
  for (var s = ${first}; s < p.size; s += ${step}) { own = better(own, Best(values[start + s * p.inner], s)); }
  ${byGroups ? `let all = best(lane, own);\n  if (lane == 0u) { results[group] = i32(all.index); }` : "results[thread] = i32(own.index);"}
}`,
  };
}

/** One addition per element, in index order: a thread takes a line. */
export function cumsum(gpu: Gpu, input: Operand, output: Operand, split: Split): void {
  const type = typeOf(input);
  const kernel = gpu.kernel(`cumsum ${type}`, () => ({
    name: "cumsum",
    buffers: [
      { name: "values", type },
      { name: "totals", type, writes: true },
    ],
    params: { count: "u32", size: "u32", inner: "u32" },
    code: `${entry(THREADS)}
  if (thread >= p.count) { return; }
  let start = (thread / p.inner) * p.size * p.inner + thread % p.inner;
  var total: ${type} = ${type}(0);
  for (var s = 0u; s < p.size; s++) {
    total += values[start + s * p.inner];
    totals[start + s * p.inner] = total;
  }
}`,
  }));
  const lines = split.outer * split.inner;
  if (split.size > 0) gpu.run(kernel, [input, output], [lines, split.size, split.inner], Math.ceil(lines / THREADS));
}
