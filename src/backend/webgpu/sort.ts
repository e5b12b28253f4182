/** Sorting along a dim; top-k is the first `count` of it. */

import type { Operand, Split } from "../backend.js";
import type { Gpu } from "./gpu.js";
import { entry, floatBits } from "./shader.js";

const THREADS = 64;

/** Each element counts those that come before it: its place. NaN is largest; equal elements keep their order. */
export function sort(
  gpu: Gpu,
  input: Operand,
  values: Operand,
  indices: Operand,
  split: Split,
  { descending, count }: { descending: boolean; count: number },
): void {
  const type = input.dtype === "float32" ? "f32" : "i32";
  const kernel = gpu.kernel(`sort ${type} ${descending}`, () => ({
    name: "sort",
    buffers: [
      { name: "source", type },
      { name: "sorted", type, writes: true },
      { name: "positions", type: "i32", writes: true },
    ],
    params: { total: "u32", size: "u32", inner: "u32", count: "u32" },
    code: `${floatBits}
/** Ascending order as that of integers: NaNs alike above all, the zeros alike. */
fn key(x: ${type}) -> i32 {
  ${
    type === "i32"
      ? "return x;"
      : `if (is_nan(x)) { return 0x7fffffff; }
  let bits = bitcast<i32>(x);
  if (bits == -2147483647 - 1) { return 0; }
  return select(bits, (-2147483647 - 1) - bits, bits < 0);`
  }
}
${entry(THREADS)}
  if (thread >= p.total) { return; }
  let i = thread % p.inner;
  let s = (thread / p.inner) % p.size;
  let o = thread / (p.inner * p.size);
  let start = o * p.size * p.inner + i;
  let own = key(source[thread]);
  var place = 0u;
  for (var t = 0u; t < p.size; t++) {
    let other = key(source[start + t * p.inner]);
    place += select(0u, 1u, other ${descending ? ">" : "<"} own || (other == own && t < s));
  }
  if (place >= p.count) { return; }
  let at = (o * p.count + place) * p.inner + i;
  sorted[at] = source[thread];
  positions[at] = i32(s);
}`,
  }));
  const total = split.outer * split.size * split.inner;
  if (count > 0)
    gpu.run(kernel, [input, values, indices], [total, split.size, split.inner, count], Math.ceil(total / THREADS));
}
