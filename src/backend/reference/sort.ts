/** Sorting along a dim; top-k is the first `count` of it. */

import type { Operand, Split } from "../kernels.js";
import { ints, viewOf } from "./memory.js";
import { eachLine } from "./reduce.js";

/** NaN after everything, all NaNs equal, -0 equal to +0. */
function compare(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Stable in both directions: among equal elements the lower index comes first. float32, int32. */
export function sort(
  input: Operand,
  values: Operand,
  indices: Operand,
  split: Split,
  options: { descending: boolean; count: number },
): void {
  const from = viewOf(input);
  const sorted = viewOf(values);
  const positions = ints(indices);
  const sign = options.descending ? -1 : 1;
  eachLine(split, (start, stride, line) => {
    const order = Array.from({ length: split.size }, (_, s) => s);
    order.sort((a, b) => sign * compare(from[start + a * stride], from[start + b * stride]) || a - b);
    const outer = Math.floor(line / split.inner);
    for (let j = 0; j < options.count; j++) {
      const at = (outer * options.count + j) * split.inner + (line % split.inner);
      sorted[at] = from[start + order[j] * stride];
      positions[at] = order[j];
    }
  });
}
