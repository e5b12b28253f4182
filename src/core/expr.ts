/**
 * Expressions of elementwise operations: small typed trees built by ordinary calls. Every backend turns one into a
 * kernel (WebAssembly SIMD, WGSL, plain loops), so an op row, a user's too, is written once and runs everywhere, with
 * equal bits on `reference` and `cpu`. Nodes are float32, int32 or bool lanes; each operation rounds once.
 */

import { kindOf, TenonError } from "./errors.js";

export type LaneType = "f32" | "i32" | "bool";

const unaryOps = ["neg", "abs", "sqrt", "floor", "ceil", "trunc", "nearest", "not"] as const;
const binaryOps = ["add", "sub", "mul", "div", "min", "max"] as const;
const compareOps = ["lt", "le", "gt", "ge", "eq", "ne"] as const;
const bitOps = ["and", "or", "xor", "shl", "shr", "shrU"] as const;

export type ExprOp =
  | "input"
  | "scalar"
  | "const"
  | (typeof unaryOps)[number]
  | (typeof binaryOps)[number]
  | (typeof compareOps)[number]
  | (typeof bitOps)[number]
  | "select"
  | "madd"
  | "toF32"
  | "toI32"
  | "bitsToF32"
  | "bitsToI32";

/** A node. Trees share nodes freely; programs compute each node once. */
export interface Expr {
  readonly op: ExprOp;
  readonly type: LaneType;
  readonly args: readonly Expr[];
  /** The constant, or the index of the input or scalar. */
  readonly value: number;
}

/** What the builders take: a node, or a number that becomes a constant of the other operand's type. */
export type ExprLike = Expr | number;

const node = (op: ExprOp, type: LaneType, args: readonly Expr[], value = 0): Expr => ({ op, type, args, value });

function fail(message: string): never {
  throw new TenonError(`expr: ${message}`, { where: "expr" });
}

function pair(a: ExprLike, b: ExprLike): [Expr, Expr] {
  const type = typeof a !== "number" ? a?.type : typeof b !== "number" ? b?.type : "f32";
  const [left, right] = [lift(a, type), lift(b, type)];
  if (left.type !== right.type) fail(`operands must have one lane type, got ${left.type} and ${right.type}.`);
  return [left, right];
}

function lift(a: ExprLike, type: LaneType = "f32"): Expr {
  if (typeof a === "number") return constant(a, type);
  if (a?.type) return a;
  throw new TenonError(`expr: needs expressions and numbers, got ${kindOf(a)}.`);
}

function typed(op: ExprOp, a: Expr, allowed: readonly LaneType[]): Expr {
  if (!allowed.includes(a.type)) fail(`${op} takes ${allowed.join(" or ")} lanes, got ${a.type}.`);
  return a;
}

export const input = (index: number, type: LaneType = "f32"): Expr => node("input", type, [], index);
/** A number given at each call (an attribute), the same for all elements. */
export const scalar = (index: number, type: LaneType = "f32"): Expr => node("scalar", type, [], index);
/** A constant; float constants are rounded to float32. */
export const constant = (value: number, type: LaneType = "f32"): Expr =>
  node("const", type, [], type === "f32" ? Math.fround(value) : type === "i32" ? value | 0 : value ? 1 : 0);

const unary = (op: ExprOp, allowed: readonly LaneType[]) => (a: ExprLike) => {
  const x = typed(op, lift(a), allowed);
  return node(op, x.type, [x]);
};
const binary = (op: ExprOp, allowed: readonly LaneType[]) => (a: ExprLike, b: ExprLike) => {
  const [x, y] = pair(a, b);
  return node(op, typed(op, x, allowed).type, [x, y]);
};
const compare = (op: ExprOp) => (a: ExprLike, b: ExprLike) => {
  const [x, y] = pair(a, b);
  return node(op, "bool", [typed(op, x, ["f32", "i32"]), y]);
};

export const neg = unary("neg", ["f32", "i32"]);
export const abs = unary("abs", ["f32", "i32"]);
export const sqrt = unary("sqrt", ["f32"]);
export const floor = unary("floor", ["f32"]);
export const ceil = unary("ceil", ["f32"]);
export const trunc = unary("trunc", ["f32"]);
/** Round to the nearest integer, ties to even. */
export const nearest = unary("nearest", ["f32"]);
export const not = unary("not", ["bool"]);
export const add = binary("add", ["f32", "i32"]);
export const sub = binary("sub", ["f32", "i32"]);
export const mul = binary("mul", ["f32", "i32"]);
export const div = binary("div", ["f32"]);
/** NaN if either operand is NaN; min(-0, +0) = -0. */
export const min = binary("min", ["f32", "i32"]);
/** NaN if either operand is NaN; max(-0, +0) = +0. */
export const max = binary("max", ["f32", "i32"]);
export const lt = compare("lt");
export const le = compare("le");
export const gt = compare("gt");
export const ge = compare("ge");
export const eq = compare("eq");
export const ne = compare("ne");
/** Bitwise on i32, logical on bool. */
export const and = binary("and", ["i32", "bool"]);
export const or = binary("or", ["i32", "bool"]);
export const xor = binary("xor", ["i32", "bool"]);
const shift = (op: "shl" | "shr" | "shrU") => (a: Expr, bits: number) =>
  node(op, "i32", [typed(op, a, ["i32"]), constant(bits, "i32")]);
/** Shifts by a constant number of bits, 0 to 31. */
export const shl = shift("shl");
export const shr = shift("shr");
export const shrU = shift("shrU");

/** a where the condition holds, else b. Both are computed. */
export function select(condition: Expr, a: ExprLike, b: ExprLike): Expr {
  const [x, y] = pair(a, b);
  return node("select", x.type, [typed("select", lift(condition), ["bool"]), x, y]);
}

/** a * b + c: two roundings in portable numerics; one where fast numerics and the hardware allow. */
export function madd(a: ExprLike, b: ExprLike, c: ExprLike): Expr {
  return node(
    "madd",
    "f32",
    [lift(a), lift(b), lift(c)].map((x) => typed("madd", x, ["f32"])),
  );
}

/** float32 of an int (rounded to nearest) or of a bool (0 or 1). */
export const toF32 = (a: Expr): Expr => (a.type === "f32" ? a : node("toF32", "f32", [a]));
/** int32 of a float (toward zero, saturating, NaN to 0) or of a bool. */
export const toI32 = (a: Expr): Expr => (a.type === "i32" ? a : node("toI32", "i32", [a]));
/** Is it other than zero? NaN is. */
export const toBool = (a: Expr): Expr => (a.type === "bool" ? a : ne(a, 0));
/** The float32 with these 32 bits, and back. */
export const bitsToF32 = (a: Expr): Expr => node("bitsToF32", "f32", [typed("bitsToF32", a, ["i32"])]);
export const bitsToI32 = (a: Expr): Expr => node("bitsToI32", "i32", [typed("bitsToI32", a, ["f32"])]);

/** One step of a program: operands are positions of earlier steps. */
export interface Step {
  readonly op: ExprOp;
  readonly type: LaneType;
  readonly args: readonly number[];
  readonly value: number;
}

/** An expression made flat: every node once, operands before users. What backends compile. */
export interface Program {
  readonly steps: readonly Step[];
  /** Positions of the results, one per output. */
  readonly outputs: readonly number[];
  readonly inputCount: number;
  readonly scalarCount: number;
  /** Equal programs have equal keys: for kernel caches. */
  readonly key: string;
}

const bits = new Float32Array(1);
const word = new Int32Array(bits.buffer);

/** Flattens expressions into one program; nodes of equal structure are computed once. */
export function program(...outputs: readonly Expr[]): Program {
  const steps: Step[] = [];
  const byKey = new Map<string, number>();
  const byNode = new Map<Expr, number>();
  let inputCount = 0;
  let scalarCount = 0;
  const visit = (expr: Expr): number => {
    const known = byNode.get(expr);
    if (known !== undefined) return known;
    const args = expr.args.map(visit);
    bits[0] = expr.value;
    const value = expr.op === "const" && expr.type === "f32" ? `#${word[0]}` : expr.value;
    const key = `${expr.op}.${expr.type}(${args.join(",")})${value}`;
    let position = byKey.get(key);
    if (position === undefined) {
      position = steps.push({ op: expr.op, type: expr.type, args, value: expr.value }) - 1;
      byKey.set(key, position);
      if (expr.op === "input") inputCount = Math.max(inputCount, expr.value + 1);
      if (expr.op === "scalar") scalarCount = Math.max(scalarCount, expr.value + 1);
    }
    byNode.set(expr, position);
    return position;
  };
  const results = outputs.map(visit);
  return {
    steps,
    outputs: results,
    inputCount,
    scalarCount,
    key: `${[...byKey.keys()].join(";")}=>${results.join(",")}`,
  };
}
