/** Runs a program over a block of lanes, step by step: the meaning of every expression, without run-time code. */

import { type Expr, type ExprOp, input, type LaneType, type Program, program } from "../../core/expr.js";
import { expNonPositive, log } from "../../core/functions.js";
import {
  bitsLoop,
  floatCompares,
  floatLoops,
  intCompares,
  intLoops,
  selectLoop,
  toF32Loop,
  toI32Loop,
} from "./lanes.js";

/** Elements that are computed together. */
export const BLOCK = 256;

/** One block of lanes, seen as float32 and as int32. */
export interface Register {
  readonly f: Float32Array;
  readonly i: Int32Array;
}

/** A program with a register for each step and its loops chosen. */
export interface Interpreter {
  /** One register for each step. */
  readonly registers: readonly Register[];
  /** Computes the first `n` lanes; inputs and scalars lie in their registers already. */
  run(n: number): void;
}

function makeRegister(): Register {
  const f = new Float32Array(BLOCK);
  return { f, i: new Int32Array(f.buffer) };
}

/** A loop whose arrays were chosen together with it, just below. */
type AnyLoop = (n: number, out: never, a: never, b: never, c: never) => void;

/** The loop of an op and which view it reads; `from` is the lane type of its first operand, `to` of its result. */
function loopOf(op: ExprOp, from: LaneType, to: LaneType): { loop: AnyLoop; reads: "f" | "i" } {
  const reads = from === "f32" ? "f" : "i";
  if (op === "select") return { loop: selectLoop, reads: "i" };
  if (op === "bitsToF32" || op === "bitsToI32") return { loop: bitsLoop, reads: "i" };
  if (op === "toF32") return { loop: toF32Loop, reads };
  if (op === "toI32") return { loop: from === "f32" ? toI32Loop : bitsLoop, reads };
  const table = from === "f32" ? (to === "bool" ? floatCompares : floatLoops) : { ...intLoops, ...intCompares };
  return { loop: table[op]!, reads };
}

const interpreters = new WeakMap<Program, Interpreter>();

/** The interpreter of a program; made once per program. */
export function interpret(of: Program): Interpreter {
  let known = interpreters.get(of);
  if (!known) interpreters.set(of, (known = build(of)));
  return known;
}

function build({ steps }: Program): Interpreter {
  const registers = steps.map(makeRegister);
  const work: ((n: number) => void)[] = [];
  steps.forEach((step, position) => {
    const out = registers[position][step.type === "f32" ? "f" : "i"];
    if (step.op === "const") out.fill(step.value);
    if (step.args.length === 0) return;
    const { loop, reads } = loopOf(step.op, steps[step.args[0]].type, step.type);
    const writes = step.op === "select" || step.op === "bitsToF32" ? registers[position].i : out;
    const [a, b, c] = step.args.map((arg) => registers[arg][reads]);
    work.push((n) => loop(n, writes as never, a as never, b as never, c as never));
  });
  return {
    registers,
    run(n) {
      for (const step of work) step(n);
    },
  };
}

/** A function of one float32, applied to `count` values of `from` at `start`, written to `to` (which may be `from`). */
export type RowFunction = (from: Float32Array, to?: Float32Array, start?: number, count?: number) => void;

/** Makes a RowFunction of an expression in one input. */
export function rowFunction(build: (x: Expr) => Expr): RowFunction {
  const flat = program(build(input(0)));
  const source = flat.steps.findIndex((step) => step.op === "input");
  return (from, to = from, start = 0, count = from.length - start) => {
    const { registers, run } = interpret(flat);
    const x = registers[source].f;
    const result = registers[flat.outputs[0]].f;
    for (let at = start; at < start + count; at += BLOCK) {
      const n = Math.min(BLOCK, start + count - at);
      x.set(from.subarray(at, at + n));
      run(n);
      to.set(result.subarray(0, n), at);
    }
  };
}

/** e^x for x <= 0 of every value of a row: the exponential of softmax, attention and cross entropy. */
export const expRow: RowFunction = rowFunction(expNonPositive);

const logRow = rowFunction(log);
const one = new Float32Array(1);
const applied = (row: RowFunction) => (x: number) => {
  one[0] = x;
  row(one);
  return one[0];
};

/** The same exponential, and the natural logarithm, of one value. */
export const expOf = applied(expRow);
export const logOf = applied(logRow);
