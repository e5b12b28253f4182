/** SHA-256 (FIPS 180-4): a synchronous, streaming implementation; hosts may offer a native one (`platform().createSha256`). */

import { type Hasher, platform } from "./platform.js";

/** First 32 bits of the fractional parts of the roots of primes, as the standard derives its constants. */
function rootFractions(count: number, root: (n: number) => number): Int32Array {
  const out = new Int32Array(count);
  for (let n = 2, found = 0; found < count; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
    if (prime) out[found++] = ((root(n) % 1) * 4294967296) | 0;
  }
  return out;
}

/** Cube root by Newton's method: `Math.cbrt` may differ between engines. */
function cubeRoot(n: number): number {
  let x = n;
  for (let i = 0; i < 60; i++) x -= (x * x * x - n) / (3 * x * x);
  return x;
}

const INITIAL = rootFractions(8, Math.sqrt);
/** The 64 constants of the rounds. */
export const ROUND = rootFractions(64, cubeRoot);
const schedule = new Int32Array(64);
const utf8 = new TextEncoder();

/** The compression function: takes 64-byte blocks of `bytes` from `offset` into the state of eight words. */
export type Compress = (state: Int32Array, bytes: Uint8Array, offset: number, blocks: number) => void;

/** State and tables in locals, loaded one by one: V8 then knows them to be int32, and is a quarter faster. */
function plainCompress(state: Int32Array, bytes: Uint8Array, offset: number, blocks: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const w = schedule;
  const k = ROUND;
  let s0 = state[0];
  let s1 = state[1];
  let s2 = state[2];
  let s3 = state[3];
  let s4 = state[4];
  let s5 = state[5];
  let s6 = state[6];
  let s7 = state[7];
  for (; blocks > 0; blocks--, offset += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getInt32(offset + 4 * i);
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15];
      const y = w[i - 2];
      const sigma0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const sigma1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[i] = (w[i - 16] + w[i - 7] + sigma0 + sigma1) | 0;
    }
    let a = s0;
    let b = s1;
    let c = s2;
    let d = s3;
    let e = s4;
    let f = s5;
    let g = s6;
    let h = s7;
    for (let i = 0; i < 64; i++) {
      const sum1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const t1 = (h + sum1 + (g ^ (e & (f ^ g))) + k[i] + w[i]) | 0;
      const sum0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const t2 = (sum0 + ((a & b) | (c & (a | b)))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + t1) | 0;
      d = c;
      c = b;
      b = a;
      a = (t1 + t2) | 0;
    }
    s0 = (s0 + a) | 0;
    s1 = (s1 + b) | 0;
    s2 = (s2 + c) | 0;
    s3 = (s3 + d) | 0;
    s4 = (s4 + e) | 0;
    s5 = (s5 + f) | 0;
    s6 = (s6 + g) | 0;
    s7 = (s7 + h) | 0;
  }
  state[0] = s0;
  state[1] = s1;
  state[2] = s2;
  state[3] = s3;
  state[4] = s4;
  state[5] = s5;
  state[6] = s6;
  state[7] = s7;
}

let compress: Compress = plainCompress;

/** Puts a faster function of the same meaning in place of the plain one (WebAssembly, where it is allowed). */
export function setCompress(faster: Compress): void {
  compress = faster;
}

export class Sha256 implements Hasher {
  private readonly state = INITIAL.slice();
  private readonly block = new Uint8Array(64);
  private filled = 0;
  private length = 0;

  update(bytes: Uint8Array): this {
    this.length += bytes.length;
    let at = 0;
    if (this.filled > 0) {
      const take = Math.min(64 - this.filled, bytes.length);
      this.block.set(bytes.subarray(0, take), this.filled);
      this.filled += take;
      at = take;
      if (this.filled < 64) return this;
      compress(this.state, this.block, 0, 1);
      this.filled = 0;
    }
    const blocks = (bytes.length - at) >>> 6;
    if (blocks > 0) compress(this.state, bytes, at, blocks);
    at += blocks * 64;
    this.block.set(bytes.subarray(at), 0);
    this.filled = bytes.length - at;
    return this;
  }

  digest(): string {
    const bits = this.length;
    this.block[this.filled++] = 0x80;
    if (this.filled > 56) {
      this.block.fill(0, this.filled);
      compress(this.state, this.block, 0, 1);
      this.filled = 0;
    }
    this.block.fill(0, this.filled, 56);
    const length = new DataView(this.block.buffer, 56);
    length.setUint32(0, Math.floor(bits / 0x20000000));
    length.setUint32(4, (bits << 3) >>> 0);
    compress(this.state, this.block, 0, 1);
    return Array.from(this.state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  }
}

/** A streaming hasher: the host's native one where it has one, else ours. Same digests. */
export const createHasher = (): Hasher => platform().createSha256?.() ?? new Sha256();

/** SHA-256 of bytes, or of the UTF-8 form of a text, as 64 hex digits. */
export const sha256Hex = (data: Uint8Array | string): string =>
  createHasher()
    .update(typeof data === "string" ? utf8.encode(data) : data)
    .digest();
