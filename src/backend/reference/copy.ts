/** Filling and copying, for every dtype. */

import { encode } from "../../core/dtype.js";
import { sizeOf } from "../../core/shape.js";
import type { Operand, StridedCopy } from "../kernels.js";
import { viewOf } from "./memory.js";

/** Every element becomes `value`, encoded for the 16-bit floats, wrapped for the integers, 0 or 1 for bool. */
export function fill(output: Operand, value: number): void {
  viewOf(output).fill(encode(output.dtype, value));
}

/** For each index of `shape`: output[outputOffset + index . outputStrides] = input[inputOffset + index . inputStrides]. */
export function stridedCopy(input: Operand, output: Operand, copy: StridedCopy): void {
  const { shape, inputStrides, outputStrides } = copy;
  if (sizeOf(shape) === 0) return;
  const from = viewOf(input);
  const to = viewOf(output);
  const visit = (dim: number, source: number, target: number): void => {
    if (dim === shape.length) {
      to[target] = from[source];
      return;
    }
    for (let i = 0; i < shape[dim]; i++)
      visit(dim + 1, source + i * inputStrides[dim], target + i * outputStrides[dim]);
  };
  visit(0, copy.inputOffset, copy.outputOffset);
}
