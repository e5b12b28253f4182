/**
 * Reading and adding at indices. A check runs before each kernel and notes the first bad index for the next read;
 * the kernels themselves leave out what is out of range. Additions happen in index order, so they repeat bit for bit.
 */

import { dtypes } from "../../../core/dtype.js";
import type { Operand, Split } from "../../kernels.js";
import { pieceOf } from "../bindings.js";
import { REPORTED } from "../failures.js";
import type { Gpu } from "../gpu.js";
import { type Epilogue, entry, groupsOf, type KernelSource, THREADS, upTo } from "../shader.js";
import { cells, numberType } from "./cells.js";
import { aheadOf, gathering } from "./loops.js";

type Indexed = Split & { readonly count: number };

/** Checks int32 indices of `op` to lie in 0 … size - 1, or to be `except`; once for the same contents. */
export function checkIndices(gpu: Gpu, op: string, index: Operand, size: number, except?: number): void {
  const piece = pieceOf(index);
  const { checked } = piece;
  const { reports } = gpu.failures;
  if (index.size === 0) return;
  if (checked?.reports === reports && checked.below <= size && (checked.except ?? except) === except) return;
  const kernel = gpu.kernel("check indices", () => ({
    name: "check indices",
    buffers: [
      { name: "indices", type: "i32" },
      { name: "report", type: "u32", writes: true },
    ],
    params: { check: "u32", count: "u32", size: "u32", except_set: "u32", except: "i32" },
    code: `
var<workgroup> lowest: atomic<u32>;
${entry(256)}
  if (lane == 0u) { atomicStore(&lowest, 0xffffffffu); }
  workgroupBarrier();
  var own = 0xffffffffu;
${gathering(
  { first: "lane", end: "p.count", by: 256, ahead: aheadOf(gpu, 16) },
  { index: (i) => `indices[${i}]` },
  `let allowed = (p.except_set == 1u) & (index == p.except);
    own = select(own, min(own, i), inside & (bitcast<u32>(index) >= p.size) & !allowed);`,
)}
  if (own != 0xffffffffu) { atomicMin(&lowest, own); }
  workgroupBarrier();
  let position = atomicLoad(&lowest);
  if (lane == 0u && position != 0xffffffffu) {
    let failed = report[0];
    let at = 1u + 3u * (failed % ${REPORTED}u);
    report[at] = p.check;
    report[at + 1u] = position;
    report[at + 2u] = bitcast<u32>(indices[position]);
    report[0] = failed + 1u;
  }
}`,
  }));
  const rest = [index.size, size, except === undefined ? 0 : 1, except ?? 0];
  gpu.run(kernel, [index, gpu.report], () => [gpu.failures.check(op, size), ...rest], 1);
  if (!gpu.rehearsing) piece.checked = { below: size, except, reports };
}

/** Indices that a kernel has just made, all of them below `size`, need no check. */
export function noteIndices(gpu: Gpu, index: Operand, size: number): void {
  if (!gpu.rehearsing) pieceOf(index).checked = { below: size, reports: gpu.failures.reports };
}

/** out[o, j, i] = input[o, index, i], in words of 4 bytes; smaller elements are gathered into whole words. */
function pick(gpu: Gpu, op: string, input: Operand, index: Operand, output: Operand, split: Indexed, own: boolean) {
  checkIndices(gpu, gpu.operation || op, index, split.size);
  if (output.size === 0) return;
  if (input.dtype !== output.dtype) {
    widenRows(gpu, input, index, output, split);
    return;
  }
  const bytes = dtypes[input.dtype].size;
  const perWord = 4 / bytes;
  const wide = bytes === 4 && !own && split.inner % 4 === 0;
  const type = wide ? "vec4u" : "u32";
  const source = (epilogue?: Epilogue): KernelSource => ({
    name: op,
    buffers: [
      { name: "source", type },
      { name: "indices", type: "i32" },
      { name: "picked", type, writes: true },
      ...(epilogue?.buffers ?? []),
    ],
    params: { total: "u32", words: "u32", size: "u32", inner: "u32", count: "u32", ...epilogue?.params },
    code: `${epilogue?.code ?? ""}
fn element(at: u32) -> ${type} {
  if (at >= p.total) { return ${type}(0u); }
  let i = at % p.inner;
  let j = (at / p.inner) % p.count;
  let o = at / (p.inner * p.count);
  let index = bitcast<u32>(indices[${own ? "at" : "j"}]);
  if (index >= p.size) { return ${type}(0u); }
  let from_at = (o * p.size + index) * p.inner + i;
  ${perWord === 1 ? "return source[from_at];" : `return (source[from_at / ${perWord}u] >> ((from_at % ${perWord}u) * ${8 * bytes}u)) & ${bytes === 1 ? "0xffu" : "0xffffu"};`}
}
${entry(THREADS)}
  if (thread >= p.words) { return; }
  var word = element(thread * ${perWord}u);
${upTo(perWord - 1)
  .map((n) => `  word |= element(thread * ${perWord}u + ${n + 1}u) << ${8 * bytes * (n + 1)}u;`)
  .join("\n")}
${(epilogue?.reads ?? []).map((name) => `  let there_${name} = ${name}[thread];`).join("\n")}
  picked[thread] = word;
${epilogue ? `  finish(thread, bitcast<vec4f>(word)${epilogue.reads.map((name) => `, there_${name}`).join("")});` : ""}
}`,
  });
  const kernelOf = (epilogue?: Epilogue) =>
    gpu.kernel(`pick ${own} ${type} ${bytes} ${epilogue?.key}`, () => source(epilogue));
  const lanes = wide ? 4 : 1;
  const total = output.size / lanes;
  const words = Math.ceil(total / perWord);
  const numbers = [total, words, split.size, split.inner / lanes, split.count];
  const groups = groupsOf(words);
  // What rows of a table are added to joins their launch.
  if (wide && !gpu.software && output.dtype === "float32")
    gpu.hold(kernelOf(), [input, index, output], output, numbers, groups, { finish: kernelOf });
  else gpu.run(kernelOf(), [input, index, output], numbers, groups);
}

/** The rows of a table of 16-bit floats as float32: out[j, i] = table[index[j], i]. */
function widenRows(gpu: Gpu, table: Operand, index: Operand, output: Operand, { size, inner }: Indexed): void {
  const cell = cells[table.dtype];
  const kernel = gpu.kernel(`widen rows ${table.dtype}`, () => ({
    name: "indexSelect",
    buffers: [
      { name: "source", type: cell.word },
      { name: "indices", type: "i32" },
      { name: "picked", type: "f32", writes: true },
    ],
    params: { total: "u32", size: "u32", inner: "u32" },
    code: `${cell.functions}
${entry(THREADS)}
  if (thread >= p.total) { return; }
  let index = bitcast<u32>(indices[thread / p.inner]);
  let from_at = index * p.inner + thread % p.inner;
  picked[thread] = 0.0;
  if (index < p.size) { picked[thread] = ${cell.at("source", "from_at")}; }
}`,
  }));
  gpu.run(kernel, [table, index, output], [output.size, size, inner], groupsOf(output.size));
}

export const gather = (gpu: Gpu, input: Operand, index: Operand, output: Operand, split: Indexed): void =>
  pick(gpu, "gather", input, index, output, split, true);

export const indexSelect = (gpu: Gpu, input: Operand, index: Operand, output: Operand, split: Indexed): void =>
  pick(gpu, "indexSelect", input, index, output, split, false);

/** Elements of a line in a launch: what takes a card seconds, Windows takes for a card that hangs. */
const LONGEST_WALK = 2 ** 16;

/** A thread takes a line (o, i) and adds its elements one after the other. */
export function scatterAdd(gpu: Gpu, index: Operand, source: Operand, output: Operand, split: Indexed): void {
  checkIndices(gpu, gpu.operation || "scatterAdd", index, split.size);
  const type = numberType(source);
  const kernel = gpu.kernel(`scatterAdd ${type}`, () => ({
    name: "scatterAdd",
    buffers: [
      { name: "indices", type: "i32" },
      { name: "source", type },
      { name: "sums", type, writes: true },
    ],
    params: { lines: "u32", size: "u32", inner: "u32", count: "u32", start: "u32", end: "u32" },
    code: `${entry(THREADS)}
  if (thread >= p.lines) { return; }
  let i = thread % p.inner;
  let o = thread / p.inner;
  for (var j = p.start; j < p.end; j++) {
    let at = (o * p.count + j) * p.inner + i;
    let index = bitcast<u32>(indices[at]);
    if (index < p.size) { sums[(o * p.size + index) * p.inner + i] += source[at]; }
  }
}`,
  }));
  const { outer, size, inner, count } = split;
  const lines = outer * inner;
  for (let start = 0; start < count; start += LONGEST_WALK) {
    const end = Math.min(count, start + LONGEST_WALK);
    gpu.run(kernel, [index, source, output], [lines, size, inner, count, start, end], groupsOf(lines));
  }
}

/**
 * Every index becomes a link of a chain to the next place that holds the same index; then one thread for each chain and
 * column walks it. The work is that of the source, however large the output is (the gradient of an embedding), and for
 * the links that of comparing each index with others until one is the same: with all, where no two are.
 */
export function indexAdd(gpu: Gpu, index: Operand, source: Operand, output: Operand, split: Indexed): void {
  const { outer, size, inner, count } = split;
  checkIndices(gpu, gpu.operation || "indexAdd", index, size);
  if (source.size === 0) return;
  const links = gpu.kernel("indexAdd links", () => ({
    name: "indexAdd links",
    buffers: [
      { name: "indices", type: "vec4i" },
      { name: "links", type: "vec2u", writes: true },
    ],
    params: { count: "u32" },
    code: `
/** Bit i tells whether element i of sixteen is \`own\`. */
fn equal_bits(block: u32, own: i32) -> u32 {
  let last = (p.count - 1u) / 4u;
${upTo(4)
  .map((v) => `  let e${v} = indices[min(block * 4u + ${v}u, last)] == vec4i(own);`)
  .join("\n")}
  return ${upTo(4)
    .map((v) => `dot(select(vec4u(), vec4u(1u, 2u, 4u, 8u) << vec4u(${4 * v}u), e${v}), vec4u(1u))`)
    .join(" | ")};
}
${entry(THREADS)}
  if (thread >= p.count) { return; }
  let own = indices[thread / 4u][thread % 4u];
  let block = thread / 16u;
  let place = thread % 16u;
  let here = equal_bits(block, own);
  var earlier = here & ((1u << place) - 1u);
  for (var b = 0u; b < block && earlier == 0u; b++) { earlier = equal_bits(b, own); }
  var b = block;
  var later = here & ~((2u << place) - 1u);
  while (later == 0u && (b + 1u) * 16u < p.count) {
    b++;
    later = equal_bits(b, own);
  }
  let next = select(p.count, min(b * 16u + firstTrailingBit(later), p.count), later != 0u);
  links[thread] = vec2u(select(0u, 1u, earlier == 0u), next);
}`,
  }));
  const type = numberType(source);
  const wide = inner % 4 === 0;
  const cell = wide ? `vec4${type === "f32" ? "f" : "i"}` : type;
  const add = gpu.kernel(`indexAdd ${cell}`, () => ({
    name: "indexAdd",
    buffers: [
      { name: "indices", type: "i32" },
      { name: "links", type: "vec2u" },
      { name: "source", type: cell },
      { name: "sums", type: cell, writes: true },
    ],
    params: { total: "u32", size: "u32", inner: "u32", count: "u32" },
    code: `${entry(THREADS)}
  if (thread >= p.total) { return; }
  let i = thread % p.inner;
  let o = thread / (p.inner * p.count);
  var j = (thread / p.inner) % p.count;
  let index = bitcast<u32>(indices[j]);
  if (links[j].x == 0u || index >= p.size) { return; }
  let target_at = (o * p.size + index) * p.inner + i;
  var sum = sums[target_at];
  while (j < p.count) {
    let next = links[j].y;
    sum += source[(o * p.count + j) * p.inner + i];
    j = next;
  }
  sums[target_at] = sum;
}`,
  }));
  const chain = gpu.temporary(count * 8);
  gpu.run(links, [index, chain], [count], groupsOf(count));
  const lanes = wide ? 4 : 1;
  const total = (outer * count * inner) / lanes;
  gpu.run(add, [index, chain, source, output], [total, size, inner / lanes, count], groupsOf(total));
  gpu.pool.release(chain);
}
