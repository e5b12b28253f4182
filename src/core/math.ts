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

/** x 2^n for x near 1 and an integer n, rounded once, also where that leaves the range of normal numbers. */
function scaled(x: number, n: number): number {
  if (n < -1022) return scaled(x, n + 60) * 2 ** -60;
  if (n > 1023) return scaled(x, n - 60) * 2 ** 60;
  words[0] = 0;
  words[HIGH] = (n + 1023) << 20;
  return x * float[0];
}

/**
 * c[0] + c[1] x + … + c[10] x^10, by Horner's rule; `last` stands for c[10] and what follows it. Written out: a loop
 * over the table takes twice the time, and initial weights are mostly this.
 */
function polynomial(x: number, c: Float64Array, last = c[10]): number {
  const high = c[6] + x * (c[7] + x * (c[8] + x * (c[9] + x * last)));
  return c[0] + x * (c[1] + x * (c[2] + x * (c[3] + x * (c[4] + x * (c[5] + x * high)))));
}

/** 1 / k! for k = first, first + step, …, with alternating signs where asked; 0 after `count` of them. */
function factorials(first: number, step: number, count: number, alternating: boolean): Float64Array {
  const coefficients = new Float64Array(15);
  for (let k = first, factorial = 1, n = 0; n < count; n++, k += step) {
    factorial = 1;
    for (let i = 2; i <= k; i++) factorial *= i;
    coefficients[n] = (alternating && n % 2 === 1 ? -1 : 1) / factorial;
  }
  return coefficients;
}

const EXP = /* @__PURE__ */ factorials(0, 1, 15, false);
const SIN = /* @__PURE__ */ factorials(1, 2, 10, true);
const COS = /* @__PURE__ */ factorials(0, 2, 11, true);
/** Of 2 atanh(s) / s - 2 in s^2: 2/3, 2/5, … */
const LOG = /* @__PURE__ */ Float64Array.from({ length: 11 }, (_, k) => 2 / (2 * k + 3));

/** e^x. Reduction by ln 2 in two parts (Cody and Waite), then the Taylor series to degree 14 on |r| <= 0.35. */
export function exp(x: number): number {
  if (Number.isNaN(x)) return x;
  if (x > 709.79) return Number.POSITIVE_INFINITY;
  if (x < -745.2) return 0;
  const n = Math.round(x * Math.LOG2E);
  const r = x - n * LN2_HIGH - n * LN2_LOW;
  const last = EXP[10] + r * (EXP[11] + r * (EXP[12] + r * (EXP[13] + r * EXP[14])));
  return scaled(polynomial(r, EXP, last), n);
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
  return logOf(n, m);
}

/** log(2^n m) for m in [sqrt(1/2), sqrt 2). */
export function logOf(n: number, m: number): number {
  const s = (m - 1) / (m + 1);
  const z = s * s;
  return n * LN2_HIGH + (2 * s + (s * z * polynomial(z, LOG) + n * LN2_LOW));
}

/**
 * base^exponent for base > 0 (and 0^y, integer powers of negatives): exp(y log x), and products for integers. The error
 * grows with the exponent: about |exponent| / 2 units in the last place, or |y log x| / 2.
 */
export function pow(base: number, exponent: number): number {
  if (Number.isInteger(exponent) && Math.abs(exponent) <= 2 ** 31) {
    let result = 1;
    let square = base;
    for (let n = Math.abs(exponent); n > 0; n = Math.floor(n / 2)) {
      if (n % 2 === 1) result *= square;
      square *= square;
    }
    if (exponent >= 0) return result;
    // Of the values below the normal numbers some have reciprocals above all numbers.
    const half = Math.trunc(exponent / 2);
    if (Math.abs(result) !== Number.POSITIVE_INFINITY || half === 0) return 1 / result;
    // Far below all numbers no second half is asked for, which would be asked for twice at each halving.
    const part = pow(base, half);
    if (part === 0) return exponent % 2 === 0 ? 0 : 0 * Math.sign(base);
    return part * pow(base, exponent - half);
  }
  if (base === 0 && !Number.isNaN(exponent)) return exponent > 0 ? 0 : Number.POSITIVE_INFINITY;
  return exp(exponent * log(base));
}

const HALF_PI_HIGH = 1.57079632673412561417;
const HALF_PI_LOW = 6.07710050650619224932e-11;

const turned = /* @__PURE__ */ new Float64Array(4);

/**
 * sin r, cos r, -sin r, -cos r for x = r + n quarter turns: element n & 3 is sin x, the one after it cos x. Valid until
 * the next call; without branches, which random angles would have mispredicted.
 */
export function quarters(x: number, n: number): Float64Array {
  const r = x - n * HALF_PI_HIGH - n * HALF_PI_LOW;
  const z = r * r;
  const sine = r * polynomial(z, SIN);
  const cosine = polynomial(z, COS);
  turned[0] = sine;
  turned[1] = cosine;
  turned[2] = -sine;
  turned[3] = -cosine;
  return turned;
}

/** sin or cos: `shift` quarter turns are added. Exact enough for |x| up to about 1e5. */
function circular(x: number, shift: number): number {
  const n = Math.round(x / (Math.PI / 2));
  return quarters(x, n)[(n + shift) & 3];
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
