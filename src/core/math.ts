/**
 * Elementary functions of float64 made only of + - * / sqrt and bit moves, so that every engine gives the same bits.
 * (`Math.exp` and its kind are left to the engine by ECMA-262.) For scalars on the host: schedules, sampling, initial
 * weights. Error below about 2 units in the last place over the ranges in use.
 */

const LN2_HIGH = 6.9314718036912381649e-1;
const LN2_LOW = 1.90821492927058770002e-10;
const words = /* @__PURE__ */ new Uint32Array(2);
const float = /* @__PURE__ */ new Float64Array(words.buffer);
// Index of the high word: 1 on little-endian machines, the only kind WebAssembly leaves in use.
const HIGH = 1;

/** 2^n for an integer n, gradual underflow included. */
function powerOfTwo(n: number): number {
  if (n < -1022) return powerOfTwo(n + 60) * 2 ** -60;
  if (n > 1023) return powerOfTwo(n - 60) * 2 ** 60;
  words[0] = 0;
  words[HIGH] = (n + 1023) << 20;
  return float[0];
}

/** c[0] + c[1] x + c[2] x^2 + …, by Horner's rule. */
function polynomial(x: number, coefficients: readonly number[]): number {
  let sum = 0;
  for (let k = coefficients.length - 1; k >= 0; k--) sum = coefficients[k] + x * sum;
  return sum;
}

/** 1 / k! for k = first, first + step, …, with alternating signs where asked. */
function factorials(first: number, step: number, count: number, alternating: boolean): number[] {
  const coefficients: number[] = [];
  for (let k = first, factorial = 1, n = 0; n < count; n++, k += step) {
    factorial = 1;
    for (let i = 2; i <= k; i++) factorial *= i;
    coefficients.push((alternating && n % 2 === 1 ? -1 : 1) / factorial);
  }
  return coefficients;
}

const EXP = /* @__PURE__ */ factorials(0, 1, 15, false);
const SIN = /* @__PURE__ */ factorials(1, 2, 10, true);
const COS = /* @__PURE__ */ factorials(0, 2, 11, true);
/** Of 2 atanh(s) / s - 2 in s^2: 2/3, 2/5, … */
const LOG = /* @__PURE__ */ Array.from({ length: 11 }, (_, k) => 2 / (2 * k + 3));

/** e^x. Reduction by ln 2 in two parts (Cody and Waite), then the Taylor series to degree 14 on |r| <= 0.35. */
export function exp(x: number): number {
  if (Number.isNaN(x)) return x;
  if (x > 709.79) return Number.POSITIVE_INFINITY;
  if (x < -745.2) return 0;
  const n = Math.round(x * Math.LOG2E);
  const r = x - n * LN2_HIGH - n * LN2_LOW;
  return polynomial(r, EXP) * powerOfTwo(n);
}

/** Natural logarithm: x = 2^n m with m in [sqrt(1/2), sqrt 2), log m = 2 atanh((m - 1) / (m + 1)) by its series. */
export function log(x: number): number {
  if (!(x > 0)) return x === 0 ? Number.NEGATIVE_INFINITY : Number.NaN;
  if (x === Number.POSITIVE_INFINITY) return x;
  let n = 0;
  if (x < 2.2250738585072014e-308) {
    x *= 2 ** 54;
    n = -54;
  }
  float[0] = x;
  n += (words[HIGH] >>> 20) - 1023;
  words[HIGH] = (words[HIGH] & 0xfffff) | (1023 << 20);
  let m = float[0];
  if (m > Math.SQRT2) {
    m /= 2;
    n++;
  }
  const s = (m - 1) / (m + 1);
  const z = s * s;
  return n * LN2_HIGH + (2 * s + (s * z * polynomial(z, LOG) + n * LN2_LOW));
}

/** base^exponent for base > 0 (and 0^y, integer powers of negatives): exp(y log x) with exact small integer powers. */
export function pow(base: number, exponent: number): number {
  if (Number.isInteger(exponent) && Math.abs(exponent) <= 2 ** 31) {
    let result = 1;
    let square = base;
    for (let n = Math.abs(exponent); n > 0; n = Math.floor(n / 2)) {
      if (n % 2 === 1) result *= square;
      square *= square;
    }
    return exponent < 0 ? 1 / result : result;
  }
  if (base === 0) return exponent > 0 ? 0 : Number.POSITIVE_INFINITY;
  return exp(exponent * log(base));
}

const HALF_PI_HIGH = 1.57079632673412561417;
const HALF_PI_LOW = 6.07710050650619224932e-11;

/** sin or cos by quadrant: `shift` quarter turns are added. Exact enough for |x| up to about 1e5. */
function circular(x: number, shift: number): number {
  if (!Number.isFinite(x)) return Number.NaN;
  const n = Math.round(x / (Math.PI / 2));
  const r = x - n * HALF_PI_HIGH - n * HALF_PI_LOW;
  const z = r * r;
  const quadrant = (((n + shift) % 4) + 4) % 4;
  const value = quadrant % 2 === 0 ? r * polynomial(z, SIN) : polynomial(z, COS);
  return quadrant < 2 ? value : -value;
}

/** Sine of x in radians. */
export const sin = (x: number): number => circular(x, 0);

/** Cosine of x in radians. */
export const cos = (x: number): number => circular(x, 1);

/** Hyperbolic tangent. */
export function tanh(x: number): number {
  if (x > 20) return 1;
  if (x < -20) return -1;
  const e = exp(2 * x);
  return (e - 1) / (e + 1);
}
