/**
 * Sums, products, extremes and their positions. The shape alone decides how a line is cut and in what
 * tree its parts are combined, so two runs give the same bits.
 */

import type { Operand, ReduceKind, Split } from "../../kernels.js";
import type { OnGpu } from "../bindings.js";
import type { Gpu } from "../gpu.js";
import type { Piece } from "../pool.js";
import { entry, floatFunctions, groupsOf, type KernelSource, THREADS } from "../shader.js";
import { type NumberType, numberType } from "./cells.js";
import { acrossColumns, COLUMNS, columnsEntry } from "./columns.js";
import { noteIndices } from "./indexing.js";
import { aheadOf, gathering } from "./loops.js";
import { ascending } from "./sort.js";

/** Lines up to this length are one thread's work. */
const SHORT = 32;
/** Elements of a long line that one workgroup takes. */
export const CHUNK = 4096;
/** With so many lines there is work for every thread without sharing them. */
export const MANY_LINES = 8192;

interface Fold {
  readonly empty: Readonly<Record<NumberType, string>>;
  combine(a: string, b: string): string;
}

const folds: { readonly [kind in ReduceKind]: Fold } = {
  sum: { empty: { f32: "0.0", i32: "0" }, combine: (a, b) => `${a} + ${b}` },
  prod: { empty: { f32: "1.0", i32: "1" }, combine: (a, b) => `${a} * ${b}` },
  max: { empty: { f32: "-infinity()", i32: "-2147483647 - 1" }, combine: (a, b) => `largest(${a}, ${b})` },
  min: { empty: { f32: "infinity()", i32: "2147483647" }, combine: (a, b) => `smallest(${a}, ${b})` },
};

const extremes = (type: NumberType) =>
  type === "f32"
    ? `${floatFunctions}
fn smallest(a: f32, b: f32) -> f32 { return select(min(a, b), a + b, is_nan(a) | is_nan(b)); }
`
    : `
fn largest(a: i32, b: i32) -> i32 { return max(a, b); }
fn smallest(a: i32, b: i32) -> i32 { return min(a, b); }
`;

export function reduce(gpu: Gpu, kind: ReduceKind, input: Operand, output: Operand, split: Split): void {
  fold(gpu, kind, numberType(input), input, output, split);
}

/** The threads of a workgroup that has `size` elements. */
export const threadsFor = (gpu: Gpu, size: number): number => (size <= 1024 ? THREADS : gpu.threads);

/** Who folds a line: a thread, a workgroup, or the sixteen threads of a workgroup that share a column. */
type Way = "thread" | "group" | "columns";

function wayOf({ outer, size, inner }: Split): Way {
  if (size <= SHORT) return "thread";
  if (inner === 1) return "group";
  return outer * inner < MANY_LINES ? "columns" : "thread";
}

/** `reduce` for memory with or without a tensor around it. */
export function fold(
  gpu: Gpu,
  kind: ReduceKind,
  type: NumberType,
  input: OnGpu | Piece,
  output: OnGpu | Piece,
  split: Split,
): void {
  const { outer, size, inner } = split;
  const way = wayOf(split);
  const chunk = way === "thread" ? Math.max(1, size) : CHUNK;
  const chunks = Math.max(1, Math.ceil(size / chunk));
  const target = chunks === 1 ? output : gpu.temporary(outer * chunks * inner * 4);
  const threads = threadsFor(gpu, way === "group" ? size : 1);
  const sharing = { thread: 1, group: threads, columns: 16 }[way];
  const ahead = aheadOf(gpu, Math.min(chunk, size) / sharing);
  const kernel = gpu.kernel(`reduce ${kind} ${type} ${way} ${threads} ${ahead}`, () =>
    source(kind, type, way, threads, ahead),
  );
  const results = outer * chunks * inner;
  const bands = Math.ceil(inner / COLUMNS);
  const groups = { thread: groupsOf(results), group: results, columns: outer * chunks * bands }[way];
  gpu.run(kernel, [input, target], [results, size, inner, chunk, chunks], groups);
  if (chunks === 1) return;
  fold(gpu, kind, type, target, output, { outer, size: chunks, inner });
  gpu.pool.release(target as Piece);
}

/** Result (o, c, i) is chunk c of line (o, i). */
function source(kind: ReduceKind, type: NumberType, way: Way, threads: number, ahead: number): KernelSource {
  const { empty, combine } = folds[kind];
  const step = (first: string, by: number) => `  var total: ${type} = ${empty[type]};
${gathering(
  { first, end: "count", by, ahead },
  { x: (s) => `values[start + ${s} * p.inner]` },
  `total = ${combine("total", `select(${empty[type]}, x, inside)`)};`,
)}`;
  const line = (result: string) => `  if (${result} >= p.count) { return; }
  let i = ${result} % p.inner;
  let c = (${result} / p.inner) % p.chunks;
  let o = ${result} / (p.inner * p.chunks);
  let start = (o * p.size + c * p.chunk) * p.inner + i;
  let count = min(p.chunk, p.size - c * p.chunk);`;
  const bodies: Record<Way, () => string> = {
    thread: () => `${entry(THREADS)}
${line("thread")}
${step("0u", 1)}
  results[thread] = total;
}`,
    group: () => `${entry(threads)}
${line("group")}
${step("lane", threads)}
  let all = combine(lane, total);
  if (lane == 0u) { results[group] = all; }
}`,
    columns: () => `${acrossColumns("combine", type, combine)}${columnsEntry}
  let c = (group / bands) % p.chunks;
  let o = group / (bands * p.chunks);
  let start = (o * p.size + c * p.chunk) * p.inner + i;
  let count = select(0u, min(p.chunk, p.size - c * p.chunk), i < p.inner);
${step("slice", 16)}
  let all = combine(lane, total);
  if (slice == 0u && i < p.inner) { results[(o * p.chunks + c) * p.inner + i] = all; }
}`,
  };
  return {
    name: `reduce ${kind}`,
    buffers: [
      { name: "values", type },
      { name: "results", type, writes: true },
    ],
    params: { count: "u32", size: "u32", inner: "u32", chunk: "u32", chunks: "u32" },
    threads,
    across: way === "group" ? [{ name: "combine", type, empty: empty[type], combine }] : [],
    code: `${extremes(type)}${bodies[way]()}`,
  };
}

/** The first NaN wins, else the first of the largest (smallest) elements. */
/** A few long lines (logits) are a few workgroups, which hide the time that memory takes by their threads alone. */
function searchersFor(gpu: Gpu, { outer, size }: Split): number {
  const most = 1024;
  return !gpu.software && gpu.abilities.threads >= most && outer <= 32 && size >= 8 * most
    ? most
    : threadsFor(gpu, size);
}

export function argReduce(gpu: Gpu, kind: "argmax" | "argmin", input: Operand, output: Operand, split: Split): void {
  const type = numberType(input);
  const byGroups = split.inner === 1 && split.size > SHORT;
  const threads = byGroups ? searchersFor(gpu, split) : 1;
  const ahead = aheadOf(gpu, split.size / threads);
  const kernel = gpu.kernel(`${kind} ${type} ${threads} ${ahead}`, () => argSource(kind, type, threads, ahead));
  const lines = split.outer * split.inner;
  const groups = byGroups ? lines : groupsOf(lines);
  gpu.run(kernel, [input, output], [lines, split.size, split.inner], groups);
  noteIndices(gpu, output, split.size);
}

/** A line is the work of so many threads. */
function argSource(kind: "argmax" | "argmin", type: NumberType, threads: number, ahead: number): KernelSource {
  const byGroups = threads > 1;
  const line = byGroups ? "group" : "thread";
  const lowest = "(-2147483647 - 1)";
  const none = "2147483647";
  // Without branches, into which compilers would move the loads.
  const key =
    kind === "argmax" ? "ascending(x)" : `select(~ascending(x), 0x7fffffff, ${type === "f32" ? "is_nan(x)" : "false"})`;
  return {
    name: kind,
    buffers: [
      { name: "values", type },
      { name: "results", type: "i32", writes: true },
    ],
    params: { count: "u32", size: "u32", inner: "u32" },
    ...(byGroups && {
      across: [
        { name: "best", type: "vec2i", empty: `vec2i(${lowest}, ${none})`, combine: (a, b) => `better(${a}, ${b})` },
      ],
      threads,
    }),
    code: `${floatFunctions}${ascending(type)}
/** Of two keys and their places the larger key, NaN's being the largest; of equals the lower place. */
fn better(a: vec2i, b: vec2i) -> vec2i { return select(a, b, (b.x > a.x) | ((b.x == a.x) & (b.y < a.y))); }
${entry(byGroups ? threads : THREADS)}
  if (${line} >= p.count) { return; }
  let start = (${line} / p.inner) * p.size * p.inner + ${line} % p.inner;
  var own = vec2i(${lowest}, ${none});
${gathering(
  { first: byGroups ? "lane" : "0u", end: "p.size", by: threads, ahead },
  { x: (s) => `values[start + ${s} * p.inner]` },
  `own = better(own, select(vec2i(${lowest}, ${none}), vec2i(${key}, i32(i)), inside));`,
)}
  ${byGroups ? `let all = best(lane, own);\n  if (lane == 0u) { results[group] = all.y; }` : "results[thread] = own.y;"}
}`,
  };
}
