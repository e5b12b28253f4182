/** SHA-256's compression function in WebAssembly, for hosts that have no streaming digest of their own. */

import { ROUND, setCompress } from "../../core/sha256.js";
import { type FunctionBuilder, ModuleBuilder } from "./assembler.js";
import { I32, range } from "./values.js";

/** One page: the state, the constants of the rounds, then blocks to compress. */
const STATE = 0;
const CONSTANTS = 64;
const DATA = 1024;
const CAPACITY = (65536 - DATA) / 64;

/** Names of the eight working variables turn with each round instead of their values. */
const turned = <T>(v: readonly T[], round: number): T[] => v.map((_, i) => v[(i - round + 64) % 8]);

/** The module: `compress(blocks)` takes the blocks at DATA into the state. */
export function sha256Module(): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  module.export("compress", { blocks: "i32" }, (f, { blocks }) => {
    const word = (address: number) => I32.const(address).i32();
    const state = range(8).map((i) => f.i32(word(STATE + 4 * i)));
    const w = range(16).map(() => f.i32());
    const v = range(8).map(() => f.i32());
    const t = f.i32();
    const block = f.i32(DATA);
    f.repeat(blocks, () => {
      for (const i of range(16)) f.set(w[i], bigEndian(block.i32(4 * i)));
      for (const i of range(8)) f.set(v[i], state[i]);
      f.for(CONSTANTS, CONSTANTS + 256, 64, (constants) => {
        for (const i of range(16)) round(f, turned(v, i), w[i], constants.i32(4 * i), t);
        f.if(constants.lt(CONSTANTS + 192), () => {
          for (const i of range(16)) f.set(w[i], extended(w, i));
        });
      });
      for (const i of range(8)) f.inc(state[i], v[i]);
      f.inc(block, 64);
    });
    for (const i of range(8)) f.storeI32(I32.const(STATE + 4 * i), state[i]);
  });
  return module.bytes({ shared: false, maximum: 1 });
}

const bigEndian = (x: I32): I32 =>
  x
    .rotr(24)
    .and(0x00ff00ff)
    .or(x.rotr(8).and(0xff00ff00 | 0));

/** Word i of the next sixteen, from the sixteen before it. */
function extended(w: readonly I32[], i: number): I32 {
  const x = w[(i + 1) % 16];
  const y = w[(i + 14) % 16];
  const sigma0 = x.rotr(7).xor(x.rotr(18)).xor(x.shrU(3));
  const sigma1 = y.rotr(17).xor(y.rotr(19)).xor(y.shrU(10));
  return w[i]
    .add(sigma0)
    .add(w[(i + 9) % 16])
    .add(sigma1);
}

function round(f: FunctionBuilder, [a, b, c, d, e, F, g, h]: I32[], w: I32, k: I32, t: I32): void {
  const sum1 = e.rotr(6).xor(e.rotr(11)).xor(e.rotr(25));
  const choice = g.xor(e.and(F.xor(g)));
  f.set(t, h.add(k).add(w).add(sum1).add(choice));
  f.inc(d, t);
  const sum0 = a.rotr(2).xor(a.rotr(13)).xor(a.rotr(22));
  const majority = a.and(b).or(c.and(a.or(b)));
  f.set(h, t.add(sum0).add(majority));
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
