/** Expression programs as vector code: each step becomes one operation on four lanes. Bool lanes are masks. */

import type { Expr, ExprOp, LaneType, Program, Step } from "../../../core/expr.js";
import { input, program } from "../../../core/expr.js";
import type { FunctionBuilder } from "../assembler.js";
import type { V128 } from "../values.js";
import { f32x4, i32x4, v128 } from "../vectors.js";

type Unary = (a: V128) => V128;
type Binary = (a: V128, b: V128) => V128;

const floatUnary: { readonly [op in ExprOp]?: Unary } = {
  neg: f32x4.neg,
  abs: f32x4.abs,
  sqrt: f32x4.sqrt,
  floor: f32x4.floor,
  ceil: f32x4.ceil,
  trunc: f32x4.trunc,
  nearest: f32x4.nearest,
};
const intUnary: { readonly [op in ExprOp]?: Unary } = { neg: i32x4.neg, abs: i32x4.abs, not: v128.not };
const floatBinary: { readonly [op in ExprOp]?: Binary } = {
  add: f32x4.add,
  sub: f32x4.sub,
  mul: f32x4.mul,
  div: f32x4.div,
  min: f32x4.min,
  max: f32x4.max,
  lt: f32x4.lt,
  le: f32x4.le,
  gt: f32x4.gt,
  ge: f32x4.ge,
  eq: f32x4.eq,
  ne: f32x4.ne,
};
const intBinary: { readonly [op in ExprOp]?: Binary } = {
  add: i32x4.add,
  sub: i32x4.sub,
  mul: i32x4.mul,
  min: i32x4.minS,
  max: i32x4.maxS,
  lt: i32x4.ltS,
  le: i32x4.leS,
  gt: i32x4.gtS,
  ge: i32x4.geS,
  eq: i32x4.eq,
  ne: i32x4.ne,
  and: v128.and,
  or: v128.or,
  xor: v128.xor,
};
const shifts: { readonly [op in ExprOp]?: (a: V128, bits: number) => V128 } = {
  shl: i32x4.shl,
  shr: i32x4.shrS,
  shrU: i32x4.shrU,
};

/** Code for one program in one function. Constants are computed once, where this is created. */
export class ProgramCode {
  private readonly constants = new Map<number, V128>();

  /** @param fused may `madd` round once? */
  constructor(
    private readonly f: FunctionBuilder,
    private readonly program: Program,
    private readonly fused: boolean,
  ) {
    // Constants inside a loop would be loaded anew in every round: they go into locals before it.
    program.steps.forEach((step, position) => {
      if (step.op === "const") this.constants.set(position, f.let(constantOf(step)));
    });
  }

  /** Emits the steps for one vector of each input; `scalars` hold their value in all lanes (masks for bool). */
  emit(inputs: readonly V128[], scalars: readonly V128[] = []): V128[] {
    return this.emitSeveral([inputs], scalars)[0];
  }

  /**
   * The same for several vectors at once, step by step side by side: a long program is one chain of dependent
   * operations, and the processor finds work to overlap only among neighbours.
   */
  emitSeveral(vectors: readonly (readonly V128[])[], scalars: readonly V128[] = []): V128[][] {
    const { steps, outputs } = this.program;
    const values: V128[][] = vectors.map(() => []);
    steps.forEach((step, position) => {
      for (const [k, inputs] of vectors.entries()) {
        const own = values[k];
        if (step.op === "input") own.push(inputs[step.value]);
        else if (step.op === "scalar") own.push(scalars[step.value]);
        else if (step.op === "const") own.push(this.constants.get(position)!);
        else own.push(this.f.let(this.operation(step, own)));
      }
    });
    return values.map((own) => outputs.map((position) => own[position]));
  }

  private operation(step: Step, values: readonly V128[]): V128 {
    const { steps } = this.program;
    const [a, b, c] = step.args.map((position) => values[position]);
    const from: LaneType = steps[step.args[0]].type;
    const isFloat = from === "f32";
    switch (step.op) {
      case "select":
        // One instruction beside a zero, three otherwise.
        if (isZero(steps[step.args[1]])) return v128.andNot(c, a);
        if (isZero(steps[step.args[2]])) return v128.and(b, a);
        return v128.bitselect(b, c, a);
      case "madd":
        return this.fused ? f32x4.relaxedMadd(a, b, c) : f32x4.add(f32x4.mul(a, b), c);
      case "bitsToF32":
      case "bitsToI32":
        return a;
      case "toF32":
        return from === "bool" ? v128.and(a, f32x4.const(1)) : f32x4.fromI32(a);
      case "toI32":
        return from === "bool" ? i32x4.neg(a) : f32x4.toI32(a);
      case "shl":
      case "shr":
      case "shrU":
        return shifts[step.op]!(a, steps[step.args[1]].value);
      case "min":
      case "max":
        return isFloat ? this.extreme(step, a, b) : intBinary[step.op]!(a, b);
    }
    const unary = (isFloat ? floatUnary : intUnary)[step.op];
    if (unary) return unary(a);
    return (isFloat ? floatBinary : intBinary)[step.op]!(a, b);
  }

  /** Beside a constant other than 0 and NaN, the one-instruction forms give the same: their first operand wins on NaN. */
  private extreme(step: Step, a: V128, b: V128): V128 {
    const plain = (position: number) => {
      const { op, value } = this.program.steps[position];
      return op === "const" && value !== 0 && !Number.isNaN(value);
    };
    const [left, right] = step.args;
    const short = step.op === "min" ? f32x4.pmin : f32x4.pmax;
    if (plain(right)) return short(a, b);
    if (plain(left)) return short(b, a);
    return floatBinary[step.op]!(a, b);
  }
}

const isZero = ({ op, value }: Step): boolean => op === "const" && Object.is(value, 0);

function constantOf(step: Step): V128 {
  if (step.type === "f32") return f32x4.const(step.value);
  return i32x4.const(step.type === "bool" ? -step.value : step.value);
}

/** An expression in one input as a function on vectors, its constants placed before the loop. */
export function vectorFunction(f: FunctionBuilder, build: (x: Expr) => Expr, fused: boolean): (x: V128) => V128 {
  const several = vectorsFunction(f, build, fused);
  return (x) => several([x])[0];
}

/** The same for several vectors side by side. */
export function vectorsFunction(
  f: FunctionBuilder,
  build: (x: Expr) => Expr,
  fused: boolean,
): (xs: readonly V128[]) => V128[] {
  const code = new ProgramCode(f, program(build(input(0))), fused);
  return (xs) => code.emitSeveral(xs.map((x) => [f.let(x)])).map(([y]) => y);
}
