/** Changing dtype: one program per pair of lane types. */

import { type DType, isFloat } from "../core/dtype.js";
import * as expr from "../core/expr.js";
import { Tensor } from "./tensor.js";

/** The lanes in which elements of a dtype are computed. */
export const lane = (dtype: DType): expr.LaneType => (isFloat(dtype) ? "f32" : dtype === "bool" ? "bool" : "i32");

const programs = new Map<string, expr.Program>();

/** Elementwise conversion: float to bool is "other than zero", float to int truncates. */
export function castProgram(from: DType, to: DType): expr.Program {
  const [source, target] = [lane(from), lane(to)];
  const key = `${source}>${target}`;
  let program = programs.get(key);
  if (program === undefined) {
    const x = expr.input(0, source);
    program = expr.program(target === "f32" ? expr.toF32(x) : target === "i32" ? expr.toI32(x) : expr.toBool(x));
    programs.set(key, program);
  }
  return program;
}

/** A copy in another dtype, without history. */
export function converted(input: Tensor, dtype: DType): Tensor {
  const output = Tensor.empty(input.backend, input.shape, dtype);
  input.backend.kernels.elementwise(castProgram(input.dtype, dtype), [input], [output], []);
  return output;
}
