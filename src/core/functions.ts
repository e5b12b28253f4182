/**
 * Elementary functions of float32 lanes, written once as expressions: the same operations in the same order on every
 * backend. Polynomials are those of S. L. Moshier's Cephes library (expf, logf, sinf, cosf, tanhf); erf is the rational
 * approximation used by Eigen. Maximum relative errors, measured in tests/core/functions.test.ts, are a few 1e-7 (of sine
 * and cosine up to 8192; they grow with x beyond); zero keeps its value but not always its sign.
 */

import {
  abs,
  add,
  and,
  bitsToF32,
  bitsToI32,
  constant,
  div,
  type Expr,
  eq,
  gt,
  lt,
  madd,
  max,
  min,
  mul,
  ne,
  nearest,
  neg,
  select,
  shl,
  shr,
  sqrt,
  sub,
  toF32,
  toI32,
  trunc,
} from "./expr.js";

const LN2_HIGH = 0.693359375;
const LN2_LOW = -2.1219444e-4;

/** c[0] x^n + … + c[n], by Horner's rule. */
const polynomial = (x: Expr, coefficients: readonly number[]): Expr =>
  coefficients.slice(1).reduce<Expr>((sum, c) => madd(sum, x, c), constant(coefficients[0]));

/** 1.5 * 2^23 + 127: added to a float32, it rounds to an integer n and leaves n + 127 in the low bits. */
const ROUND = 12583039;

/** e^r for |r| <= ln 2 / 2. */
function expSeries(r: Expr): Expr {
  const series = polynomial(
    r,
    [1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1],
  );
  return madd(mul(r, r), series, add(r, 1));
}

/** e^x = p * 2^n with |x - n ln 2| <= ln 2 / 2; `biased` holds n + 127 in its low bits, 2^n once shifted by 23. */
function expParts(x: Expr): { p: Expr; biased: Expr } {
  const shifted = madd(x, Math.LOG2E, ROUND);
  const n = sub(shifted, ROUND);
  const r = madd(n, -LN2_LOW, madd(n, -LN2_HIGH, x));
  return { p: expSeries(r), biased: bitsToI32(shifted) };
}

/** p * 2^n by a true multiplication, so that NaN stays NaN. */
const scale = (p: Expr, biased: Expr): Expr => mul(p, bitsToF32(shl(biased, 23)));

/** e^x for x <= 0, exact 0 below -87.33: what softmax and attention need. */
export function expNonPositive(x: Expr): Expr {
  const { p, biased } = expParts(x);
  return select(lt(x, -87.33), 0, scale(p, biased));
}

/** e^x; 0 below -87.33, infinity above 88.7228. Where n may be 128 the scale is 2^(n-1), and the result is doubled. */
export function exp(x: Expr): Expr {
  const high = gt(x, 80);
  const { p, biased } = expParts(min(x, 89));
  const scaled = scale(p, sub(biased, select(high, constant(1, "i32"), 0)));
  const result = add(scaled, select(high, scaled, 0));
  return select(lt(x, -87.33), 0, result);
}

const LOG_SERIES = [
  7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
  2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
];

/** x = m 2^e with m in [sqrt(1/2), sqrt 2), for x above 0. Subnormal numbers are scaled first. */
function logParts(x: Expr): { m: Expr; e: Expr } {
  const tiny = lt(x, 1.17549435e-38);
  const bits = bitsToI32(select(tiny, mul(x, 2 ** 24), x));
  // The subtraction moves the cut of the exponent to sqrt(1/2).
  const moved = sub(bits, 0x3f3504f3);
  return {
    e: toF32(sub(shr(moved, 23), select(tiny, constant(24, "i32"), 0))),
    m: bitsToF32(sub(bits, and(moved, constant(0xff800000 | 0, "i32")))),
  };
}

/** Natural logarithm; -infinity at 0, NaN below. */
export function log(x: Expr): Expr {
  const { m, e } = logParts(x);
  const f = sub(m, 1);
  const z = mul(f, f);
  const tail = madd(e, LN2_LOW, mul(mul(f, z), polynomial(f, LOG_SERIES)));
  const value = madd(e, LN2_HIGH, add(f, madd(z, -0.5, tail)));
  const special = select(eq(x, 0), Number.NEGATIVE_INFINITY, select(lt(x, 0), Number.NaN, x));
  return select(and(gt(x, 0), lt(x, Number.POSITIVE_INFINITY)), value, special);
}

/** log(1 + x), accurate near 0 (Kahan's correction of the rounding of 1 + x). */
export function log1p(x: Expr): Expr {
  const u = add(x, 1);
  const corrected = mul(log(u), div(x, sub(u, 1)));
  return select(eq(u, 1), x, select(eq(u, Number.POSITIVE_INFINITY), u, corrected));
}

/** Hyperbolic tangent: an odd polynomial below 0.625, else 1 - 2 / (e^2|x| + 1) with the sign of x. */
export function tanh(x: Expr): Expr {
  const z = mul(x, x);
  const small = madd(
    mul(
      polynomial(z, [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1]),
      z,
    ),
    x,
    x,
  );
  const magnitude = abs(x);
  const large = sub(1, div(2, add(exp(add(magnitude, magnitude)), 1)));
  return select(lt(magnitude, 0.625), small, select(lt(x, 0), neg(large), large));
}

/** 1 / (1 + e^-x). */
export const sigmoid = (x: Expr): Expr => div(1, add(1, exp(neg(x))));

/** The error function: x P(x^2) / Q(x^2) on [-4, 4], constant outside. */
export function erf(x: Expr): Expr {
  const c = max(min(x, 4), -4);
  const z = mul(c, c);
  const p = polynomial(
    z,
    [
      -2.72614225801306e-10, 2.77068142495902e-8, -2.10102402082508e-6, -5.69250639462346e-5, -7.34990630326855e-4,
      -2.95459980854025e-3, -1.60960333262415e-2,
    ],
  );
  const q = polynomial(
    z,
    [-1.45660718464996e-5, -2.13374055278905e-4, -1.68282697438203e-3, -7.37332916720468e-3, -1.42647390514189e-2],
  );
  return mul(c, div(p, q));
}

/** Sine (turns = 0) or cosine (turns = 1), radians; reduction by pi/2 in three parts keeps |x| < 8192 accurate. */
function circular(x: Expr, turns: 0 | 1): Expr {
  const n = nearest(mul(x, 2 / Math.PI));
  const r = madd(n, -7.54978995489188e-8, madd(n, -4.837512969970703125e-4, madd(n, -1.5703125, x)));
  const z = mul(r, r);
  const sine = madd(mul(polynomial(z, [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1]), z), r, r);
  const cosine = madd(
    mul(polynomial(z, [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2]), z),
    z,
    madd(z, -0.5, 1),
  );
  const quadrant = add(toI32(n), turns);
  const value = select(eq(and(quadrant, constant(1, "i32")), 0), sine, cosine);
  const signed = select(eq(and(quadrant, constant(2, "i32")), 0), value, neg(value));
  return select(lt(abs(x), Number.POSITIVE_INFINITY), signed, Number.NaN);
}

export const sin = (x: Expr): Expr => circular(x, 0);
export const cos = (x: Expr): Expr => circular(x, 1);

/** x^n for whole n from 0 to 15, as a product of x, x^2, x^4 and x^8. */
function smallPower(x: Expr, n: Expr): Expr {
  let result = constant(1);
  let square = x;
  for (let bit = 1; bit <= 8; bit *= 2) {
    result = select(ne(and(n, constant(bit, "i32")), 0), mul(result, square), result);
    square = mul(square, square);
  }
  return result;
}

/** The upper 12 of 24 bits: products of two such numbers are exact, whether or not a device joins them with a sum. */
const upper = (x: Expr): Expr => bitsToF32(and(bitsToI32(x), constant(0xfffff000 | 0, "i32")));

/**
 * x^y for x from 0 up, as 2^(y log2 x): log2 x in two numbers (e and one of 12 bits, and the rest), and so its product,
 * of whose 8 bits before the point none is lost behind it. log2 m = (2 / ln 2) artanh s for s = (m - 1) / (m + 1).
 */
function positivePower(x: Expr, y: Expr): Expr {
  const { m, e } = logParts(x);
  const [f, d] = [sub(m, 1), add(m, 1)];
  const inverse = div(1, d);
  const s = mul(f, inverse);
  // s = sHigh + sLow: what sHigh times m + 1 (d, and what its sum lost) leaves of f.
  const [sHigh, dHigh] = [upper(s), upper(d)];
  const lost = sub(m, sub(d, 1));
  const left = madd(neg(sHigh), lost, madd(neg(sHigh), sub(d, dHigh), madd(neg(sHigh), dHigh, f)));
  const sLow = mul(left, inverse);
  const z = mul(s, s);
  const tail = mul(mul(s, z), polynomial(z, [0.34021918288, 0.41170630287, 0.57708285261, 0.96179667919]));
  const [factor, head] = [2 / Math.LN2, 2954 / 1024]; // the second has 12 bits
  const first = mul(sHigh, head);
  const rest = madd(sHigh, factor - head, madd(sLow, factor, tail));
  const log2 = add(first, rest);
  const high = upper(log2);
  const low = add(sub(first, high), rest);
  const finite = and(gt(x, 0), lt(x, Number.POSITIVE_INFINITY));
  const t = mul(y, select(finite, add(e, log2), select(eq(x, 0), Number.NEGATIVE_INFINITY, x)));
  // t = n + r; the largest part of r comes of exact products, the others are small.
  const n = nearest(min(max(t, -127), 128));
  const yHigh = upper(y);
  const yLow = sub(y, yHigh);
  const r = add(madd(yHigh, high, madd(yHigh, e, neg(n))), madd(yLow, e, madd(yLow, high, mul(y, low))));
  const p = expSeries(mul(r, Math.LN2));
  // 2^128 is none: half of it, doubled.
  const top = gt(n, 127);
  const half = scale(p, sub(toI32(n), select(top, constant(-126, "i32"), -127)));
  const value = add(half, select(top, half, 0));
  return select(lt(t, -126), 0, select(gt(t, 128.5), Number.POSITIVE_INFINITY, value));
}

/**
 * x^y. Whole y from -15 to 15 by multiplication, so that squares are squares; else 2^(y log2|x|), negative where x is
 * negative and y odd, NaN for negative x and fractional y. x^0 = 1^y = 1.
 */
export function pow(x: Expr, y: Expr): Expr {
  const magnitude = positivePower(abs(x), y);
  const whole = eq(trunc(y), y);
  const half = mul(y, 0.5);
  const odd = and(whole, ne(trunc(half), half));
  const negative = select(whole, select(odd, neg(magnitude), magnitude), Number.NaN);
  const general = select(lt(x, 0), negative, magnitude);
  const product = smallPower(x, toI32(abs(y)));
  const small = select(lt(y, 0), div(1, product), product);
  return select(eq(x, 1), 1, select(and(whole, lt(abs(y), 16)), small, general));
}

/** 1 / sqrt(x). */
export const rsqrt = (x: Expr): Expr => div(1, sqrt(x));

/** -1, 0 or 1; NaN stays. */
export const sign = (x: Expr): Expr => select(gt(x, 0), 1, select(lt(x, 0), -1, x));
