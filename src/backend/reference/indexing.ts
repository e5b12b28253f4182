/** Reading and adding at indices. Every kernel checks all its indices before it writes. */

import type { NumericArray } from "../../core/dtype.js";
import { checkIndices } from "../indices.js";
import type { Operand, Split } from "../kernels.js";
import { ints, viewOf } from "./memory.js";

type Indexed = Split & { readonly count: number };

/** Visits o, j, i in order with the element's position on the side that has `count` and on the side that has `size`. */
function each(split: Indexed, indexAt: (at: number, j: number) => number, visit: (at: number, other: number) => void) {
  const { outer, size, inner, count } = split;
  for (let o = 0; o < outer; o++) {
    for (let j = 0; j < count; j++) {
      for (let i = 0; i < inner; i++) {
        const at = (o * count + j) * inner + i;
        visit(at, (o * size + indexAt(at, j)) * inner + i);
      }
    }
  }
}

/** Storing into the typed array rounds (float32) or wraps (int32): one addition per element, j ascending. */
const addInto = (to: NumericArray, from: NumericArray) => (at: number, other: number) => {
  to[other] += from[at];
};

const copyFrom = (to: NumericArray, from: NumericArray) => (at: number, other: number) => {
  to[at] = from[other];
};

export function gather(input: Operand, index: Operand, output: Operand, split: Indexed): void {
  const indices = ints(index);
  checkIndices("gather", indices, split.size);
  each(split, (at) => indices[at], copyFrom(viewOf(output), viewOf(input)));
}

export function scatterAdd(index: Operand, source: Operand, output: Operand, split: Indexed): void {
  const indices = ints(index);
  checkIndices("scatterAdd", indices, split.size);
  each(split, (at) => indices[at], addInto(viewOf(output), viewOf(source)));
}

export function indexSelect(input: Operand, index: Operand, output: Operand, split: Indexed): void {
  const indices = ints(index);
  checkIndices("indexSelect", indices, split.size);
  each(split, (_, j) => indices[j], copyFrom(viewOf(output), viewOf(input)));
}

export function indexAdd(index: Operand, source: Operand, output: Operand, split: Indexed): void {
  const indices = ints(index);
  checkIndices("indexAdd", indices, split.size);
  each(split, (_, j) => indices[j], addInto(viewOf(output), viewOf(source)));
}
