/** Elementwise programs over tensors: load a block of every input, run the steps, store a block of every output. */

import { type DType, fromBfloat16, fromFloat16, type NumericArray, toBfloat16, toFloat16 } from "../../core/dtype.js";
import type { LaneType, Program } from "../../core/expr.js";
import { broadcastStrides, type Shape, sizeOf } from "../../core/shape.js";
import type { Operand } from "../kernels.js";
import { BLOCK, interpret, type Register } from "./interpreter.js";
import { viewOf } from "./memory.js";

/**
 * float32, float16 and bfloat16 are f32 lanes, int32 and uint8 are i32 lanes, bool is bool lanes. Inputs broadcast to
 * the shape of the outputs. An output may be an input of the same shape: a block is read before it is written.
 */
export function elementwise(
  program: Program,
  inputs: readonly Operand[],
  outputs: readonly Operand[],
  scalars: readonly number[],
): void {
  const { registers, run } = interpret(program);
  const shape = outputs[0].shape;
  const loads: ((start: number, n: number) => void)[] = [];
  program.steps.forEach((step, position) => {
    const register = registers[position];
    if (step.op === "scalar") lanes(register, step.type).fill(scalars[step.value]);
    if (step.op === "input") loads.push(loader(inputs[step.value], shape, lanes(register, step.type)));
  });
  const stores = outputs.map((output, i) => {
    const position = program.outputs[i];
    return storer(output.dtype, lanes(registers[position], program.steps[position].type), viewOf(output));
  });
  const size = sizeOf(shape);
  for (let start = 0; start < size; start += BLOCK) {
    const n = Math.min(BLOCK, size - start);
    for (const load of loads) load(start, n);
    run(n);
    for (const store of stores) store(start, n);
  }
}

const lanes = (register: Register, type: LaneType) => (type === "f32" ? register.f : register.i);

/** Puts elements start … start + n of the broadcast input into its register. */
function loader(operand: Operand, shape: Shape, register: NumericArray): (start: number, n: number) => void {
  const from = viewOf(operand);
  const decode = decoder(operand.dtype);
  if (operand.size === sizeOf(shape)) {
    if (!decode) return (start, n) => register.set(from.subarray(start, start + n));
    return (start, n) => {
      for (let i = 0; i < n; i++) register[i] = decode(from[start + i]);
    };
  }
  const strides = broadcastStrides(operand.shape, shape);
  return (start, n) => {
    for (let i = 0; i < n; i++) {
      const stored = from[offsetOf(start + i, shape, strides)];
      register[i] = decode ? decode(stored) : stored;
    }
  };
}

/** Where element `index` of a contiguous `shape` lies under `strides`. */
function offsetOf(index: number, shape: Shape, strides: readonly number[]): number {
  let offset = 0;
  for (let d = shape.length - 1; d >= 0; d--) {
    offset += (index % shape[d]) * strides[d];
    index = Math.floor(index / shape[d]);
  }
  return offset;
}

function storer(dtype: DType, register: NumericArray, to: NumericArray): (start: number, n: number) => void {
  const encode = dtype === "float16" ? toFloat16 : dtype === "bfloat16" ? toBfloat16 : undefined;
  if (!encode) return (start, n) => to.set(register.subarray(0, n), start);
  return (start, n) => {
    for (let i = 0; i < n; i++) to[start + i] = encode(register[i]);
  };
}

const decoder = (dtype: DType) => (dtype === "float16" ? fromFloat16 : dtype === "bfloat16" ? fromBfloat16 : undefined);
