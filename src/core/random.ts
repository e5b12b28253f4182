/**
 * Counter-based random numbers: Philox-4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011). A value is a function of (seed, stream name, call number, index); no thread, tile or order of
 * evaluation can change it.
 */

import { ConfigError, show } from "./errors.js";
import { logOf, quarters } from "./math.js";
import { refuseOption } from "./options.js";
import { Sha256 } from "./sha256.js";

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;

/** High word of the 64-bit product of two u32. */
function mulHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const low = aLow * bLow;
  const mid = aHigh * bLow + (low >>> 16);
  const mid2 = aLow * bHigh + (mid & 0xffff);
  return (aHigh * bHigh + Math.floor(mid / 65536) + (mid2 >>> 16)) >>> 0;
}

/** Ten rounds of Philox on one counter; writes four u32 into `out` at `at`. */
export function philox4x32(
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  k0: number,
  k1: number,
  out: Uint32Array,
  at = 0,
): void {
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(M0, c0);
    const low0 = Math.imul(M0, c0);
    const high1 = mulHigh(M1, c2);
    const low1 = Math.imul(M1, c2);
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1 >>> 0;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0 >>> 0;
    k0 = (k0 + W0) >>> 0;
    k1 = (k1 + W1) >>> 0;
  }
  out[at] = c0;
  out[at + 1] = c1;
  out[at + 2] = c2;
  out[at + 3] = c3;
}

/**
 * Where one call's numbers start. Element i of the call is lane `i & 3` of Philox with key (key0, key1) and counter
 * (i >> 2, attempt, call, 0): what kernels on every device compute.
 */
export interface RandomCall {
  readonly key0: number;
  readonly key1: number;
  readonly call: number;
}

/** JSON-able state of a generator: its seed and how many calls each stream has served. */
export interface RandomState {
  seed: number;
  calls: Record<string, number>;
}

/** Owner of named random streams. Each run, generation and dataset owns one; `manualSeed` sets only the default one. */
export class Generator {
  private seed: number;
  private calls = new Map<string, number>();
  private keys = new Map<string, readonly [number, number]>();

  /** @param seed an integer from 0 to 2^53 - 1 */
  constructor(seed: number) {
    this.seed = checkSeed(seed);
  }

  getSeed(): number {
    return this.seed;
  }

  getState(): RandomState {
    return { seed: this.seed, calls: Object.fromEntries([...this.calls].sort(([a], [b]) => (a < b ? -1 : 1))) };
  }

  setState(state: RandomState): void {
    const { seed, calls } = Object(state) as RandomState;
    checkSeed(seed); // before anything is taken: a state may be of a file
    if (!calls || typeof calls !== "object" || !Object.values(calls).every((n) => Number.isSafeInteger(n) && n >= 0)) {
      throw new ConfigError(`setState: needs whole numbers from 0 up for calls, got ${show(calls)}.`);
    }
    this.seed = seed;
    this.calls = new Map(Object.entries(calls));
    this.keys.clear();
  }

  /** Takes the next call number of a stream. */
  next(stream: string): RandomCall {
    const call = this.calls.get(stream) ?? 0;
    this.calls.set(stream, call + 1);
    return this.at(stream, call);
  }

  /** The call with a given number, leaving the stream's own count alone: for sources whose position is data. */
  at(stream: string, call: number): RandomCall {
    let key = this.keys.get(stream);
    if (!key) this.keys.set(stream, (key = streamKey(this.seed, stream)));
    return { key0: key[0], key1: key[1], call };
  }
}

/** Throws unless a generator, where one is given, is one. */
export function checkGenerator(where: string, generator: unknown): void {
  if (generator !== undefined && !(generator instanceof Generator))
    refuseOption(where, "generator", "a Generator", generator);
}

/** The 64-bit key of a stream: the first bytes of SHA-256("seed\0name"), so that streams never overlap. */
function streamKey(seed: number, stream: string): readonly [number, number] {
  const digest = new Sha256().update(new TextEncoder().encode(`${seed}\0${stream}`)).digest();
  return [Number.parseInt(digest.slice(0, 8), 16), Number.parseInt(digest.slice(8, 16), 16)];
}

function checkSeed(seed: number): number {
  if (Number.isSafeInteger(seed) && seed >= 0) return seed;
  throw new ConfigError(`seed: needs an integer from 0 to 2^53 - 1, got ${show(seed)}.`, { where: "seed", got: seed });
}

/** `count` words of 32 random bits. */
export function randomBits(call: RandomCall, count: number): Uint32Array {
  const out = new Uint32Array((count + 3) & ~3);
  for (let i = 0; i < count; i += 4) philox4x32(i >>> 2, 0, call.call, 0, call.key0, call.key1, out, i);
  return out.subarray(0, count);
}

/** `count` float32 in [0, 1): the high 24 bits times 2^-24. */
export function randomUniform(call: RandomCall, count: number): Float32Array {
  const bits = randomBits(call, count);
  const out = new Float32Array(bits.buffer, 0, count);
  for (let i = 0; i < count; i++) out[i] = (bits[i] >>> 8) * 2 ** -24;
  return out;
}

const lanes = new Uint32Array(4);

/** Integer `index` of a call in [0, bound), bound at most 2^32: unbiased, by rejection of the incomplete top interval. */
export function randomInteger(call: RandomCall, index: number, bound: number): number {
  const limit = 4294967296 - (4294967296 % bound);
  for (let attempt = 0; ; attempt++) {
    philox4x32(index >>> 2, attempt, call.call, 0, call.key0, call.key1, lanes);
    const word = lanes[index & 3];
    if (word < limit) return word % bound;
  }
}

/** 2^-32 to 2^0. */
const powers = /* @__PURE__ */ Float64Array.from({ length: 33 }, (_, k) => 2 ** (k - 32));

/**
 * `count` standard normal float32 by the Box-Muller transform in float64, from portable functions only: the radius
 * sqrt(-2 log x) with x = (word + 1) / 2^32 = 2^-k m, m in [sqrt(1/2), sqrt 2), and the angle 2 pi word / 2^32.
 */
export function randomNormal(call: RandomCall, count: number): Float32Array {
  const even = (count + 1) & ~1;
  const bits = randomBits(call, even);
  const out = new Float32Array(bits.buffer);
  for (let i = 0; i < even; i += 2) {
    const k = Math.clz32((bits[i] + 1) * Math.SQRT1_2);
    const radius = Math.sqrt(-2 * logOf(0 - k, (bits[i] + 1) * powers[k]));
    const n = (bits[i + 1] * 2 ** -30 + 0.5) | 0;
    const turned = quarters(2 * Math.PI * (bits[i + 1] * 2 ** -32), n);
    out[i] = radius * turned[(n + 1) & 3];
    out[i + 1] = radius * turned[n & 3];
  }
  return out.subarray(0, count);
}

/** A permutation of 0 … n-1: Fisher-Yates over the integers of one call. */
export function randomPermutation(call: RandomCall, n: number): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = randomInteger(call, i, i + 1);
    const held = order[i];
    order[i] = order[j];
    order[j] = held;
  }
  return order;
}
