/**
 * Elementwise rows: what each op computes and its derivative, as expressions. One row serves every backend, forward
 * and backward; inputs broadcast, and the engine sums the gradients of what was repeated.
 */

import { isFloat } from "../core/dtype.js";
import { DTypeError } from "../core/errors.js";
import * as e from "../core/expr.js";
import * as f from "../core/functions.js";
import { checkOptions } from "../core/options.js";
import { registerOp } from "../tensor/op.js";
import { Tensor } from "../tensor/tensor.js";
import { binary, call, checkTensors, named, type TensorLike, unary } from "./define.js";

// ── arithmetic ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** a + b; on two bools, a or b. */
export const add = binary("add", "a + b", {
  expr: ([a, b]) => (a.type === "bool" ? e.or(a, b) : e.add(a, b)),
  derivative: () => [1, 1],
});

/** a - b. */
export const sub = binary("sub", "a - b", {
  expr: ([a, b]) => {
    if (a.type === "bool")
      throw new DTypeError("sub: has no arithmetic in bool.", { where: "sub", hint: "Use ne() or convert with to()." });
    return e.sub(a, b);
  },
  derivative: () => [1, -1],
});

/** a * b; on two bools, a and b. */
export const mul = binary("mul", "a * b", {
  expr: ([a, b]) => (a.type === "bool" ? e.and(a, b) : e.mul(a, b)),
  derivative: ([a, b]) => [b, a],
});

/** a / b, always a float. */
export const div = binary("div", "a / b", {
  promotion: "float",
  expr: ([a, b]) => e.div(a, b),
  derivative: ([, b], _, out) => [e.div(1, b), e.neg(e.div(out, b))],
});

/** a raised to b, as a float; NaN for a negative base with a fractional exponent. */
export const pow = binary("pow", "a to the power b", {
  promotion: "float",
  expr: ([a, b]) => f.pow(a, b),
  derivative: ([a, b], _, out) => [
    e.select(e.eq(b, 0), 0, e.mul(b, f.pow(a, e.sub(b, 1)))),
    e.select(e.and(e.eq(a, 0), e.ge(b, 0)), 0, e.mul(out, f.log(a))),
  ],
});

/** Half where equal, 0 where it loses; beside NaN both have all of it, as in PyTorch, so that none is hidden. */
const shared = (tie: e.Expr, loses: e.Expr) => e.select(tie, 0.5, e.select(loses, 0, e.constant(1)));

/** The larger of a and b; NaN wins; the gradient of a tie is halved. */
export const maximum = binary("maximum", "the larger of a and b", {
  expr: ([a, b]) => (a.type === "bool" ? e.or(a, b) : e.max(a, b)),
  derivative: ([a, b]) => [shared(e.eq(a, b), e.lt(a, b)), shared(e.eq(a, b), e.gt(a, b))],
});

/** The smaller of a and b; NaN wins; the gradient of a tie is halved. */
export const minimum = binary("minimum", "the smaller of a and b", {
  expr: ([a, b]) => (a.type === "bool" ? e.and(a, b) : e.min(a, b)),
  derivative: ([a, b]) => [shared(e.eq(a, b), e.gt(a, b)), shared(e.eq(a, b), e.lt(a, b))],
});

/** -x. */
export const neg = unary("neg", "-x", { promotion: "none", expr: ([x]) => e.neg(x), derivative: () => [-1] });

/** |x|; the gradient at 0 is 0. */
export const abs = unary("abs", "|x|", {
  promotion: "none",
  expr: ([x]) => e.abs(x),
  derivative: ([x]) => [f.sign(x)],
});

/** x * x. */
export const square = unary("square", "x * x", {
  promotion: "none",
  expr: ([x]) => e.mul(x, x),
  derivative: ([x]) => [e.mul(x, 2)],
});

/** 1 / x. */
export const reciprocal = unary("reciprocal", "1 / x", {
  expr: ([x]) => e.div(1, x),
  derivative: (_, __, out) => [e.neg(e.mul(out, out))],
});

/** The square root. */
export const sqrt = unary("sqrt", "the square root", {
  expr: ([x]) => e.sqrt(x),
  derivative: (_, __, out) => [e.div(0.5, out)],
});

/** 1 / sqrt(x). */
export const rsqrt = unary("rsqrt", "1 / sqrt(x)", {
  expr: ([x]) => f.rsqrt(x),
  derivative: ([x], _, out) => [e.mul(-0.5, e.div(out, x))],
});

/** -1, 0 or 1. */
export const sign = unary("sign", "-1, 0 or 1", {
  promotion: "none",
  expr: ([x]) => (x.type === "f32" ? f.sign(x) : x.type === "i32" ? e.max(e.min(x, 1), -1) : x),
  derivative: () => [e.constant(0)],
});

/** A row that gives integers: theirs it leaves as they are. */
const rounding = (name: string, doc: string, round: (x: e.Expr) => e.Expr) =>
  unary(name, doc, {
    promotion: "none",
    expr: ([x]) => (x.type === "i32" ? x : round(x)),
    derivative: () => [e.constant(0)],
  });

/** The largest integer not above x. */
export const floor = rounding("floor", "the largest integer not above x", e.floor);
/** The smallest integer not below x. */
export const ceil = rounding("ceil", "the smallest integer not below x", e.ceil);
/** The nearest integer; ties go to the even one. */
export const round = rounding("round", "the nearest integer, ties to even", e.nearest);
/** The integer part. */
export const trunc = rounding("trunc", "the integer part", e.trunc);

// ── exponentials and angles ─────────────────────────────────────────────────────────────────────────────────────────

/** e to the x. */
export const exp = unary("exp", "e to the x", { expr: ([x]) => f.exp(x), derivative: (_, __, out) => [out] });

/** The natural logarithm. */
export const log = unary("log", "the natural logarithm", {
  expr: ([x]) => f.log(x),
  derivative: ([x]) => [e.div(1, x)],
});

/** log(1 + x), accurate near 0. */
export const log1p = unary("log1p", "log(1 + x)", {
  expr: ([x]) => f.log1p(x),
  derivative: ([x]) => [e.div(1, e.add(x, 1))],
});

/** The sine of x radians. */
export const sin = unary("sin", "the sine of x radians", { expr: ([x]) => f.sin(x), derivative: ([x]) => [f.cos(x)] });

/** The cosine of x radians. */
export const cos = unary("cos", "the cosine of x radians", {
  expr: ([x]) => f.cos(x),
  derivative: ([x]) => [e.neg(f.sin(x))],
});

/** The hyperbolic tangent. */
export const tanh = unary("tanh", "the hyperbolic tangent", {
  expr: ([x]) => f.tanh(x),
  derivative: (_, __, out) => [e.sub(1, e.mul(out, out))],
});

/** The error function. */
export const erf = unary("erf", "the error function", {
  expr: ([x]) => f.erf(x),
  derivative: ([x]) => [e.mul(2 / Math.sqrt(Math.PI), f.exp(e.neg(e.mul(x, x))))],
});

// ── activations ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** 1 / (1 + e^-x). */
export const sigmoid = unary("sigmoid", "1 / (1 + e^-x)", {
  expr: ([x]) => f.sigmoid(x),
  derivative: (_, __, out) => [e.mul(out, e.sub(1, out))],
});

/** max(x, 0); NaN stays, and its gradient is not hidden; the gradient at 0 is 0. */
export const relu = unary("relu", "max(x, 0)", {
  promotion: "none",
  expr: ([x]) => e.max(x, 0),
  derivative: (_, __, out) => [e.select(e.le(out, 0), 0, e.constant(1))],
});

/** x where positive, else slope * x. */
export const leakyRelu = unary<{ negativeSlope?: number }>("leakyRelu", "x where positive, else negativeSlope * x", {
  attrs: { negativeSlope: { type: "number", default: 0.01 } },
  expr: ([x], { negativeSlope }) => e.select(e.gt(x, 0), x, e.mul(x, negativeSlope)),
  derivative: ([x], { negativeSlope }) => [e.select(e.gt(x, 0), 1, negativeSlope)],
});

/** x * sigmoid(x) (Hendrycks and Gimpel 2016; also called swish). */
export const silu = unary("silu", "x * sigmoid(x)", {
  expr: ([x]) => e.mul(x, f.sigmoid(x)),
  derivative: ([x]) => {
    const s = f.sigmoid(x);
    return [e.mul(s, e.add(1, e.mul(x, e.sub(1, s))))];
  },
});

/** log(1 + e^x), without overflow. */
export const softplus = unary("softplus", "log(1 + e^x)", {
  expr: ([x]) => e.add(e.max(x, 0), f.log1p(f.exp(e.neg(e.abs(x))))),
  derivative: ([x]) => [f.sigmoid(x)],
});

const GELU_SCALE = 2 * Math.sqrt(2 / Math.PI);
/** sigmoid(2 u) with u = sqrt(2 / pi) (x + 0.044715 x^3), which equals (1 + tanh u) / 2. */
const geluGate = (x: e.Expr) => f.sigmoid(e.mul(x, e.madd(e.mul(x, x), GELU_SCALE * 0.044715, GELU_SCALE)));

/** x times the normal distribution function of x; `approximate: "tanh"` as in GPT-2 (Hendrycks and Gimpel 2016). */
export const gelu = unary<{ approximate?: "none" | "tanh" }>("gelu", "x times the normal distribution function of x", {
  attrs: { approximate: { type: "string", default: "none", values: ["none", "tanh"] } },
  expr: ([x], { approximate }) =>
    approximate === "tanh" ? e.mul(x, geluGate(x)) : e.mul(e.mul(x, 0.5), e.add(1, f.erf(e.mul(x, Math.SQRT1_2)))),
  derivative: ([x], { approximate }) => {
    if (approximate === "tanh") {
      const gate = geluGate(x);
      // Far out gate (1 - gate) is 0, and must not meet an infinity.
      const near = e.max(e.min(x, 32), -32);
      const slope = e.mul(near, e.madd(e.mul(near, near), GELU_SCALE * 3 * 0.044715, GELU_SCALE));
      return [e.madd(e.mul(gate, e.sub(1, gate)), slope, gate)];
    }
    const distribution = e.mul(0.5, e.add(1, f.erf(e.mul(x, Math.SQRT1_2))));
    const density = e.mul(1 / Math.sqrt(2 * Math.PI), f.exp(e.mul(-0.5, e.mul(x, x))));
    return [e.madd(x, density, distribution)];
  },
});

const clampRow = unary<{ min?: number; max?: number }>("clamp", "x held between min and max", {
  promotion: "none",
  attrs: {
    min: { type: "number", default: Number.NEGATIVE_INFINITY },
    max: { type: "number", default: Number.POSITIVE_INFINITY },
  },
  expr: ([x], { min, max }) => e.min(e.max(x, min), max),
  derivative: ([x], { min, max }) => [e.select(e.and(e.ge(x, min), e.le(x, max)), e.constant(1), 0)],
});

/** x held between min and max; the gradient is 1 inside and at the ends. Integers beside a fraction become float32. */
export function clamp(x: TensorLike, options: { min?: number; max?: number } = {}): Tensor {
  checkOptions("clamp", options, ["min", "max"]);
  const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = options;
  const fraction = [min, max].some((end) => Number.isFinite(end) && !Number.isInteger(end));
  if (!(x instanceof Tensor) || isFloat(x.dtype) || (x.dtype === "bool" && !fraction)) return clampRow(x, options);
  // Attributes are float32, which does not hold every int32.
  return named("clamp", () => {
    const above = min === Number.NEGATIVE_INFINITY ? x : maximum(x, min);
    return max === Number.POSITIVE_INFINITY ? above : minimum(above, max);
  });
}

// ── comparison and choice ───────────────────────────────────────────────────────────────────────────────────────────

const comparison = (name: string, doc: string, compare: (a: e.Expr, b: e.Expr) => e.Expr) =>
  binary(name, doc, {
    expr: ([a, b]) => (a.type === "bool" ? compare(e.toI32(a), e.toI32(b)) : compare(a, b)),
  });

/** a = b, as bool. */
export const eq = comparison("eq", "a = b", e.eq);
/** a ≠ b, as bool. */
export const ne = comparison("ne", "a is not b", e.ne);
/** a < b, as bool. */
export const lt = comparison("lt", "a < b", e.lt);
/** a ≤ b, as bool. */
export const le = comparison("le", "a <= b", e.le);
/** a > b, as bool. */
export const gt = comparison("gt", "a > b", e.gt);
/** a ≥ b, as bool. */
export const ge = comparison("ge", "a >= b", e.ge);

const truth = (x: e.Expr) => e.toBool(x);

/** Are both other than zero? */
export const logicalAnd = binary("logicalAnd", "a and b, as truth values", {
  expr: ([a, b]) => e.and(truth(a), truth(b)),
});
/** Is either other than zero? */
export const logicalOr = binary("logicalOr", "a or b, as truth values", { expr: ([a, b]) => e.or(truth(a), truth(b)) });
/** Is it zero? */
export const logicalNot = unary("logicalNot", "not x, as a truth value", {
  promotion: "none",
  expr: ([x]) => e.not(truth(x)),
});
/** Is it NaN? */
export const isnan = unary("isnan", "is x NaN", { expr: ([x]) => e.ne(x, x) });
/** Is it neither NaN nor infinite? */
export const isfinite = unary("isfinite", "is x finite", { expr: ([x]) => e.lt(e.abs(x), Number.POSITIVE_INFINITY) });

const whereOp = registerOp({
  name: "where",
  doc: "a where the condition holds, else b",
  inputs: [{ name: "condition", kind: "bool" }, "a", "b"],
  promotion: "common",
  expr: ([condition, a, b]) => e.select(condition, a, b),
  derivative: ([condition]) => [
    undefined,
    e.select(condition, e.constant(1), 0),
    e.select(condition, e.constant(0), 1),
  ],
});

/** a where the condition holds, else b; all three broadcast. As a method: `condition.where(a, b)`. */
export const where: (condition: Tensor, a: TensorLike, b: TensorLike) => Tensor = (...inputs: TensorLike[]) =>
  call(whereOp, inputs)[0];

/** x with `value` where the mask holds. */
export function maskedFill(x: Tensor, mask: Tensor, value: TensorLike): Tensor {
  checkTensors("maskedFill", { x, mask });
  return named("maskedFill", () => where(mask, value, x));
}
