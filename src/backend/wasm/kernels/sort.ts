/**
 * Sorting along a dim: a radix sort of (key, index) pairs, stable in both directions. It runs on the calling thread, in
 * TypeScript: its work is moving integers, which WebAssembly would not do faster.
 */

import type { Operand, Split } from "../../kernels.js";
import type { Engine } from "../engine.js";
import { addressOf } from "./operands.js";

/** Keys are unsigned integers in the order wanted: NaN after everything, -0 equal to +0. */
function keyOf(bits: number, isFloat: boolean): number {
  if (!isFloat) return (bits ^ 0x80000000) >>> 0;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return 0xffffffff;
  if (magnitude === 0) return 0x80000000;
  return (bits < 0 ? ~bits : bits | 0x80000000) >>> 0;
}

export function sort(
  engine: Engine,
  input: Operand,
  values: Operand,
  indices: Operand,
  { outer, size, inner }: Split,
  { descending, count }: { descending: boolean; count: number },
): void {
  const words = engine.memory.i32;
  const [from, sorted, positions] = [input, values, indices].map((operand) => addressOf(operand) >>> 2);
  const isFloat = input.dtype === "float32";
  const keys = new Uint32Array(size);
  const sorter = new RadixSort(size);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      const start = from + o * size * inner + i;
      for (let s = 0; s < size; s++) {
        const key = keyOf(words[start + s * inner], isFloat);
        keys[s] = descending ? ~key : key;
      }
      const order = sorter.sort(keys);
      for (let j = 0; j < count; j++) {
        const at = (o * count + j) * inner + i;
        words[sorted + at] = words[start + order[j] * inner];
        words[positions + at] = order[j];
      }
    }
  }
}

/** Indices of keys in ascending order, equal keys by index: four stable passes over a byte each. */
class RadixSort {
  private order: Uint32Array;
  private next: Uint32Array;
  private readonly starts = new Uint32Array(256);

  constructor(private readonly size: number) {
    this.order = new Uint32Array(size);
    this.next = new Uint32Array(size);
  }

  sort(keys: Uint32Array): Uint32Array {
    const { size, starts } = this;
    for (let s = 0; s < size; s++) this.order[s] = s;
    for (let shift = 0; shift < 32; shift += 8) {
      starts.fill(0);
      for (let s = 0; s < size; s++) starts[(keys[s] >>> shift) & 255]++;
      if (starts[(keys[0] >>> shift) & 255] === size) continue; // one digit for all
      for (let digit = 0, sum = 0; digit < 256; digit++) {
        const digits = starts[digit];
        starts[digit] = sum;
        sum += digits;
      }
      const { order, next } = this;
      for (let s = 0; s < size; s++) next[starts[(keys[order[s]] >>> shift) & 255]++] = order[s];
      this.order = next;
      this.next = order;
    }
    return this.order;
  }
}
