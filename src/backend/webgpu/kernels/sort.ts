/**
 * Sorting along a dim; top-k is the first `count` of it. Blocks are sorted by counting, then runs of twice the length are
 * merged: every element finds its place in the neighbouring run by halving. No element waits for another, and equal
 * elements keep their order by construction.
 */

import type { Operand, Split } from "../../kernels.js";
import type { Gpu } from "../gpu.js";
import type { Piece } from "../pool.js";
import { entry, floatFunctions, groupsOf, type KernelSource, THREADS } from "../shader.js";
import { type NumberType, numberType } from "./cells.js";

/** Elements that are sorted by counting: each is compared with all. */
const BLOCK = 256;

/** NaN is largest; equal elements keep their order. */
export function sort(
  gpu: Gpu,
  input: Operand,
  values: Operand,
  indices: Operand,
  split: Split,
  { descending, count }: { descending: boolean; count: number },
): void {
  const { outer, size, inner } = split;
  const total = outer * size * inner;
  if (count === 0 || total === 0) return;
  const type = numberType(input);
  const groups = groupsOf(total);
  const results = [input, values, indices];
  const pass = (name: string, run: number, from: Operand | Piece | undefined, into: Piece | undefined) => {
    const last = into === undefined;
    const blocks = from === undefined;
    const kernel = gpu.kernel(`${name} ${type} ${descending} ${last}`, () =>
      blocks ? blockSource(type, descending, last) : mergeSource(type, last),
    );
    const operands = [...(from ? [from] : []), ...(last ? results : [...(blocks ? [input] : []), into])];
    gpu.run(kernel, operands, [total, size, inner, count, run], groups);
  };
  if (size <= BLOCK) {
    pass("sort", BLOCK, undefined, undefined);
    return;
  }
  let [from, into] = [gpu.temporary(total * 8), gpu.temporary(total * 8)];
  pass("sort", BLOCK, undefined, from);
  let run = BLOCK;
  for (; run * 2 < size; run *= 2) {
    pass("sort merge", run, from, into);
    [from, into] = [into, from];
  }
  pass("sort merge", run, from, undefined);
  for (const piece of [from, into]) gpu.pool.release(piece);
}

const params = { total: "u32", size: "u32", inner: "u32", count: "u32", run: "u32" } as const;

/** Where element s of a line lies in the source, and what becomes of it at its place. */
const placing = (last: boolean) => `
fn source_at(line: u32, s: u32) -> u32 { return ((line / p.inner) * p.size + s) * p.inner + line % p.inner; }
${
  last
    ? `fn put(line: u32, place: u32, key: i32, s: u32) {
  if (place >= p.count) { return; }
  let at = ((line / p.inner) * p.count + place) * p.inner + line % p.inner;
  sorted[at] = source[source_at(line, s)];
  positions[at] = i32(s);
}`
    : `fn put(line: u32, place: u32, key: i32, s: u32) { runs_after[line * p.size + place] = vec2i(key, i32(s)); }`
}`;

const written = (type: NumberType, last: boolean) =>
  last
    ? [
        { name: "sorted", type, writes: true },
        { name: "positions", type: "i32", writes: true },
      ]
    : [{ name: "runs_after", type: "vec2i", writes: true }];

/** A function that maps numbers to integers in their order: NaNs alike above all, the zeros alike. */
export const ascending = (type: NumberType): string => `
fn ascending(x: ${type}) -> i32 {
  ${
    type === "i32"
      ? "return x;"
      : `if (is_nan(x)) { return 0x7fffffff; }
  let bits = bitcast<i32>(x);
  if (bits == -2147483647 - 1) { return 0; }
  return select(bits, (-2147483647 - 1) - bits, bits < 0);`
  }
}
`;

/** Each element counts those of its block that come before it: its place there. */
const blockSource = (type: NumberType, descending: boolean, last: boolean): KernelSource => ({
  name: "sort",
  buffers: [{ name: "source", type }, ...written(type, last)],
  params,
  code: `${floatFunctions}${ascending(type)}${placing(last)}
fn key_of(x: ${type}) -> i32 { return ${descending ? "~" : ""}ascending(x); }
${entry(THREADS)}
  if (thread >= p.total) { return; }
  let line = thread / p.size;
  let s = thread % p.size;
  let own = key_of(source[source_at(line, s)]);
  let first = s - s % p.run;
  var place = first;
  for (var t = first; t < min(first + p.run, p.size); t++) {
    let other = key_of(source[source_at(line, t)]);
    place += select(0u, 1u, other < own || (other == own && t < s));
  }
  put(line, place, own, s);
}`,
});

/** An element of the first of two runs goes before its equals in the second, one of the second after those of the first. */
const mergeSource = (type: NumberType, last: boolean): KernelSource => ({
  name: "sort",
  buffers: [{ name: "runs", type: "vec2i" }, ...(last ? [{ name: "source", type }] : []), ...written(type, last)],
  params,
  code: `${placing(last)}
${entry(THREADS)}
  if (thread >= p.total) { return; }
  let line = thread / p.size;
  let s = thread % p.size;
  let own = runs[thread];
  let second = (s / p.run) % 2u == 1u;
  let pair = s - s % (2u * p.run);
  let middle = min(pair + p.run, p.size);
  var low = select(middle, pair, second);
  var high = select(min(middle + p.run, p.size), middle, second);
  let start = low;
  while (low < high) {
    let at = (low + high) / 2u;
    let other = runs[line * p.size + at].x;
    if (other < own.x || (second && other == own.x)) { low = at + 1u; } else { high = at; }
  }
  let before = s - select(pair, middle, second);
  put(line, pair + before + (low - start), own.x, u32(own.y));
}`,
});
