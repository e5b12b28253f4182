/** Running totals: within chunks, then of the chunks' sums, then both added; the shape alone fixes the order. */

import type { Operand, Split } from "../../kernels.js";
import type { OnGpu } from "../bindings.js";
import type { Gpu } from "../gpu.js";
import type { Piece } from "../pool.js";
import { entry, groupsOf, THREADS } from "../shader.js";
import { type NumberType, numberType } from "./cells.js";
import { MANY_LINES } from "./reduce.js";

/** Neighbouring elements that a thread of a chunk's workgroup takes. */
const EACH = 16;
const CHUNK = EACH * THREADS;
/** Lines up to this length are one thread's work. */
const SHORT = 256;

export function cumsum(gpu: Gpu, input: Operand, output: Operand, split: Split): void {
  if (input.size > 0) scan(gpu, numberType(input), input, output, split);
}

function scan(gpu: Gpu, type: NumberType, input: OnGpu | Piece, output: OnGpu | Piece, split: Split): void {
  const { outer, size, inner } = split;
  const lines = outer * inner;
  if (size <= SHORT || lines >= MANY_LINES) {
    byLines(gpu, type, input, output, split);
    return;
  }
  const chunks = Math.ceil(size / CHUNK);
  const sums = gpu.temporary(lines * chunks * 4);
  byChunks(gpu, type, input, output, sums, split, chunks);
  if (chunks > 1) {
    const totals = gpu.temporary(lines * chunks * 4);
    scan(gpu, type, sums, totals, { outer, size: chunks, inner });
    addTotals(gpu, type, totals, output, split, chunks);
    gpu.pool.release(totals);
  }
  gpu.pool.release(sums);
}

/** A thread takes a line. */
function byLines(gpu: Gpu, type: NumberType, input: OnGpu | Piece, output: OnGpu | Piece, split: Split): void {
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
  var total = ${type}(0);
  for (var s = 0u; s < p.size; s++) {
    total += values[start + s * p.inner];
    totals[start + s * p.inner] = total;
  }
}`,
  }));
  const lines = split.outer * split.inner;
  gpu.run(kernel, [input, output], [lines, split.size, split.inner], groupsOf(lines));
}

/** A workgroup takes a chunk: sums of 16 neighbours each, what comes before a thread's, then its running totals. */
function byChunks(
  gpu: Gpu,
  type: NumberType,
  input: OnGpu | Piece,
  output: OnGpu | Piece,
  sums: Piece,
  { outer, size, inner }: Split,
  chunks: number,
): void {
  const kernel = gpu.kernel(`cumsum chunks ${type}`, () => ({
    name: "cumsum",
    buffers: [
      { name: "values", type },
      { name: "totals", type, writes: true },
      { name: "sums", type, writes: true },
    ],
    params: { size: "u32", inner: "u32", chunks: "u32" },
    code: `
var<workgroup> parts: array<${type}, ${THREADS}>;
${entry(THREADS)}
  let i = group % p.inner;
  let c = (group / p.inner) % p.chunks;
  let o = group / (p.inner * p.chunks);
  let start = o * p.size * p.inner + i;
  let first = c * ${CHUNK}u + lane * ${EACH}u;
  let end = min(first + ${EACH}u, p.size);
  var own = ${type}(0);
  for (var s = first; s < end; s++) { own += values[start + s * p.inner]; }
  parts[lane] = own;
  workgroupBarrier();
  var total = ${type}(0);
  for (var j = 0u; j < lane; j++) { total += parts[j]; }
  if (lane == ${THREADS - 1}u) { sums[group] = total + own; }
  for (var s = first; s < end; s++) {
    total += values[start + s * p.inner];
    totals[start + s * p.inner] = total;
  }
}`,
  }));
  gpu.run(kernel, [input, output, sums], [size, inner, chunks], outer * inner * chunks);
}

/** Adds to every chunk but the first the running total of those before it. */
function addTotals(
  gpu: Gpu,
  type: NumberType,
  totals: Piece,
  output: OnGpu | Piece,
  { outer, size, inner }: Split,
  chunks: number,
): void {
  const kernel = gpu.kernel(`cumsum add ${type}`, () => ({
    name: "cumsum",
    buffers: [
      { name: "before", type },
      { name: "totals", type, writes: true },
    ],
    params: { count: "u32", size: "u32", inner: "u32", chunks: "u32" },
    code: `${entry(THREADS)}
  if (thread >= p.count) { return; }
  let i = thread % p.inner;
  let c = ((thread / p.inner) % p.size) / ${CHUNK}u;
  let o = thread / (p.inner * p.size);
  if (c > 0u) { totals[thread] += before[(o * p.chunks + c - 1u) * p.inner + i]; }
}`,
  }));
  const count = outer * size * inner;
  gpu.run(kernel, [totals, output], [count, size, inner, chunks], groupsOf(count));
}
