/** Philox-4x32-10 in vectors: sixteen words a round, equal to core/random.ts. */

import type { RandomCall } from "../../../core/random.js";
import type { Operand } from "../../kernels.js";
import type { FunctionBuilder, ModuleBuilder } from "../assembler.js";
import type { Engine } from "../engine.js";
import { transpose } from "../gemm/pack.js";
import type { I32, V128 } from "../values.js";
import { f32x4, i32x4, i64x2, v128 } from "../vectors.js";
import { storeUpTo4 } from "./lines.js";
import { addressOf } from "./operands.js";

const M0 = 0xd2511f53 | 0;
const M1 = 0xcd9e8d57 | 0;
const W0 = 0x9e3779b9 | 0;
const W1 = 0xbb67ae85 | 0;
const ROUNDS = 10;

/** High and low words of the products of four u32 pairs. */
function multiply(f: FunctionBuilder, a: V128, b: V128): { high: V128; low: V128 } {
  const first = f.let(i64x2.mulLowU32(a, b));
  const second = f.let(i64x2.mulHighU32(a, b));
  return { high: v128.shuffle(first, second, 1, 3, 5, 7), low: v128.shuffle(first, second, 0, 2, 4, 6) };
}

/** Words 4 * block … 4 * block + 15 of a call, as four vectors in index order. */
function philox(f: FunctionBuilder, block: I32, call: V128, key0: V128, key1: V128): V128[] {
  const [m0, m1] = [f.let(i32x4.const(M0)), f.let(i32x4.const(M1))];
  const [w0, w1] = [f.let(i32x4.const(W0)), f.let(i32x4.const(W1))];
  const [c0, c1] = [f.let(i32x4.add(i32x4.splat(block), i32x4.consts(0, 1, 2, 3))), f.let(i32x4.const(0))];
  const [c2, c3] = [f.let(call), f.let(i32x4.const(0))];
  const [k0, k1] = [f.let(key0), f.let(key1)];
  f.repeat(ROUNDS, () => {
    const a = multiply(f, m0, c0);
    const [highA, lowA] = [f.let(a.high), f.let(a.low)];
    const b = multiply(f, m1, c2);
    const [highB, lowB] = [f.let(b.high), f.let(b.low)];
    f.set(c0, v128.xor(v128.xor(highB, c1), k0));
    f.set(c1, lowB);
    f.set(c2, v128.xor(v128.xor(highA, c3), k1));
    f.set(c3, lowA);
    f.set(k0, i32x4.add(k0, w0));
    f.set(k1, i32x4.add(k1, w1));
  });
  return transpose(f, [c0, c1, c2, c3]);
}

const parameters = {
  start: "i32",
  end: "i32",
  x: "i32",
  out: "i32",
  size: "i32",
  key0: "i32",
  key1: "i32",
  call: "i32",
  threshold: "i32",
  always: "i32",
  scale: "f32",
} as const;
type Locals = Omit<{ readonly [K in keyof typeof parameters]: I32 }, "scale">;

/** The range is groups of sixteen elements; `value` makes four results of four words, read at a byte offset. */
function eachVector(f: FunctionBuilder, p: Locals, value: (words: V128, offset: I32) => V128): void {
  const [call, key0, key1] = [p.call, p.key0, p.key1].map((word) => f.let(i32x4.splat(word)));
  f.for(p.start, p.end, 1, (group) => {
    for (const [k, words] of philox(f, f.let(group.shl(2)), call, key0, key1).entries()) {
      const first = f.let(group.shl(4).add(4 * k));
      f.if(first.lt(p.size), () => {
        const offset = f.let(first.shl(2));
        const lanes = f.let(value(f.let(words), offset));
        storeUpTo4(f, f.let(p.out.add(offset)), lanes, f.let(p.size.sub(first)));
      });
    }
  });
}

function define(module: ModuleBuilder): void {
  module.export("uniform", parameters, (f, p) => {
    const unit = f.let(f32x4.const(2 ** -24));
    eachVector(f, p, (words) => f32x4.mul(f32x4.fromI32(i32x4.shrU(words, 8)), unit));
  });
  module.export("dropout", parameters, (f, p) => {
    const threshold = f.let(i32x4.splat(p.threshold));
    const always = f.let(i32x4.splat(p.always));
    const scale = f.let(p.scale.splat());
    eachVector(f, p, (words, offset) =>
      v128.and(f32x4.mul(p.x.add(offset).v128(), scale), v128.or(i32x4.ltU(words, threshold), always)),
    );
  });
}

function run(
  engine: Engine,
  kernel: string,
  input: Operand | undefined,
  output: Operand,
  { key0, key1, call }: RandomCall,
  threshold = 0,
  scale = 0,
): void {
  const family = engine.family("random", define);
  const { size } = output;
  // A threshold of 2^32 keeps everything; it does not fit in a word.
  const always = threshold >= 2 ** 32 ? -1 : 0;
  const from = input ? addressOf(input) : 0;
  engine.pool.run(
    family[kernel],
    [0, 0, from, addressOf(output), size, key0, key1, call, threshold % 2 ** 32, always, scale],
    { rangeArgument: 0, total: Math.ceil(size / 16), cost: size * 0.6 },
  );
}

export const randomUniform = (engine: Engine, output: Operand, call: RandomCall): void =>
  run(engine, "uniform", undefined, output, call);

/** word i < threshold ? x[i] * scale : +0. */
export const dropout = (
  engine: Engine,
  input: Operand,
  output: Operand,
  call: RandomCall,
  threshold: number,
  scale: number,
): void => run(engine, "dropout", input, output, call, threshold, scale);
