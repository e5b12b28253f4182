/** SHA-256's compression function in WebAssembly, for hosts that have no streaming digest of their own. */

import { ROUND, setCompress } from "../../core/sha256.js";
import { type FunctionBuilder, ModuleBuilder } from "./assembler.js";
import { I32, range, type V128 } from "./values.js";
import { i32x4, v128 } from "./vectors.js";

/** One page: the state, the constants, words of four blocks (bare, and with the constants added), blocks to compress. */
const STATE = 0;
const CONSTANTS = 64;
const WORDS = 1024;
const ADDED = 2048;
const DATA = 4096;
const CAPACITY = (65536 - DATA) / 64;

/** Names of the eight working variables turn with each round instead of their values. */
const turned = <T>(v: readonly T[], round: number): T[] => v.map((_, i) => v[(i - round + 64) % 8]);

/**
 * The module: `compress(blocks)` takes the blocks at DATA into the state. The words of a block depend on that block
 * alone, so four blocks have theirs made at once, one in each lane; the rounds then only read them.
 */
export function sha256Module(): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  module.export("compress", { blocks: "i32" }, (f, { blocks }) => {
    const zero = I32.const(0);
    const state = range(8).map((i) => f.i32(zero.i32(STATE + 4 * i)));
    const v = range(8).map(() => f.i32());
    const t = f.i32();
    const left = f.i32(blocks);
    const group = f.i32(DATA);
    f.while(left.gt(0), () => {
      f.for(0, 64, 16, (i) => firstWords(f, group, i));
      f.for(64, 256, 4, (i) => furtherWord(f, i));
      f.for(0, left.min(4).shl(2), 4, (lane) => {
        for (const i of range(8)) f.set(v[i], state[i]);
        f.for(lane, lane.add(1024), 256, (at) => {
          for (const i of range(16)) round(f, turned(v, i), at.i32(ADDED + 16 * i), t);
        });
        for (const i of range(8)) f.inc(state[i], v[i]);
      });
      f.inc(group, 256);
      f.inc(left, -4);
    });
    for (const i of range(8)) f.storeI32(zero, state[i], STATE + 4 * i);
  });
  return module.bytes({ shared: false, maximum: 1 });
}

/** Bytes of four words turned: the standard's words are big-endian. */
function bigEndian(f: FunctionBuilder, words: V128): V128 {
  const x = f.v128(words);
  return v128.bitselect(rotr(x, 8), rotr(x, 24), i32x4.const(0xff00ff00 | 0));
}

const rotr = (x: V128, bits: number): V128 => v128.or(i32x4.shrU(x, bits), i32x4.shl(x, 32 - bits));

/** Words i/4 to i/4 + 3 of four blocks (i in bytes), from rows (a block's words) to columns (a word of each block). */
function firstWords(f: FunctionBuilder, group: I32, i: I32): void {
  const row = f.i32(group.add(i));
  const [a, b, c, d] = range(4).map((block) => f.v128(bigEndian(f, row.v128(64 * block))));
  const pairs = [0, 2].map((k) => [a, c].map((x, j) => f.v128(v128.shuffle(x, [b, d][j], k, k + 4, k + 1, k + 5))));
  const offset = f.i32(i.shl(2));
  for (const k of range(4)) {
    const [x, y] = pairs[k >> 1];
    const word = k % 2 === 0 ? v128.shuffle(x, y, 0, 1, 4, 5) : v128.shuffle(x, y, 2, 3, 6, 7);
    keep(f, offset, i, word, k);
  }
}

/** Word i/4 of four blocks (i in bytes) from the sixteen before it. */
function furtherWord(f: FunctionBuilder, i: I32): void {
  const offset = f.i32(i.shl(2));
  const before = (n: number) => offset.v128(WORDS - 16 * n);
  const x = f.v128(before(15));
  const y = f.v128(before(2));
  const sigma0 = v128.xor(v128.xor(rotr(x, 7), rotr(x, 18)), i32x4.shrU(x, 3));
  const sigma1 = v128.xor(v128.xor(rotr(y, 17), rotr(y, 19)), i32x4.shrU(y, 10));
  keep(f, offset, i, i32x4.add(i32x4.add(before(16), before(7)), i32x4.add(sigma0, sigma1)));
}

/** Stores word i/4 + k of four blocks at `offset`, bare for the words to come and with its constant for the rounds. */
function keep(f: FunctionBuilder, offset: I32, i: I32, word: V128, k = 0): void {
  const value = f.v128(word);
  f.storeV128(offset, value, WORDS + 16 * k);
  f.storeV128(offset, i32x4.add(value, i.splat(CONSTANTS + 4 * k)), ADDED + 16 * k);
}

/**
 * One round. Sums of rotations are nested, `rotr(rotr(rotr(e, 14) ^ e, 5) ^ e, 6)` for the standard's 6, 11 and 25: one
 * register less, which pays more than the longer chain costs.
 */
function round(f: FunctionBuilder, [a, b, c, d, e, F, g, h]: I32[], word: I32, t: I32): void {
  const sum1 = e.rotr(14).xor(e).rotr(5).xor(e).rotr(6);
  const choice = g.xor(e.and(F.xor(g)));
  f.set(t, h.add(word).add(choice).add(sum1));
  f.inc(d, t);
  const sum0 = a.rotr(9).xor(a).rotr(11).xor(a).rotr(2);
  const majority = b.xor(a.xor(b).and(b.xor(c)));
  f.set(h, t.add(majority).add(sum0));
}

let installed: boolean | undefined;

/** Puts the function in place of the plain one; false, and nothing changes, where WebAssembly is missing or forbidden. */
export function useWasmSha256(): boolean {
  if (installed !== undefined) return installed;
  try {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
    const instance = new WebAssembly.Instance(new WebAssembly.Module(sha256Module()), { env: { memory } });
    const run = instance.exports.compress as (blocks: number) => void;
    const bytes = new Uint8Array(memory.buffer);
    const words = new Int32Array(memory.buffer);
    words.set(ROUND, CONSTANTS / 4);
    setCompress((state, from, offset, blocks) => {
      words.set(state, STATE / 4);
      for (let done = 0; done < blocks; done += CAPACITY) {
        const count = Math.min(blocks - done, CAPACITY);
        bytes.set(from.subarray(offset + 64 * done, offset + 64 * (done + count)), DATA);
        run(count);
      }
      state.set(words.subarray(STATE / 4, STATE / 4 + 8));
    });
    installed = true;
  } catch {
    installed = false;
  }
  return installed;
}
