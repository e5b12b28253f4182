/** Reductions, positions of extremes, running totals: the order of reference/reduce.ts. */

import { type Operand, type ReduceKind, type Split, SUM_BLOCK } from "../../kernels.js";
import type { FunctionBuilder, ModuleBuilder } from "../assembler.js";
import type { Engine } from "../engine.js";
import type { V128 } from "../values.js";
import { f32x4, i32x4, v128 } from "../vectors.js";
import { eachStrip, lineParameters, runLines } from "./lines.js";
import { sumColumns } from "./norm.js";
import { addressOf } from "./operands.js";
import { foldFour, HALVES, rowAt, rowScratch, sumRow, sumTree, termsOf } from "./rows.js";
import { runRows, withMemory } from "./run.js";

type NumberType = "float32" | "int32";

export function reduce(engine: Engine, kind: ReduceKind, input: Operand, output: Operand, split: Split): void {
  if (kind === "sum" && input.dtype === "float32") sum(engine, input, output, split);
  else fold(engine, kind, input, output, split);
}

/** Below this many blocks a single long sum is not worth dividing. */
const DIVIDED_BLOCKS = 4;
/** The bytes of such a row are no signed integer. */
const LONGEST_ROW = 2 ** 29;

function sum(engine: Engine, input: Operand, output: Operand, { outer, size, inner }: Split): void {
  if (inner > 1) {
    sumColumns(engine, input, output, outer, size, inner);
    return;
  }
  const { sumRows, sumBlocks, foldBlocks } = engine.family("sum", defineSum);
  const blocks = Math.ceil(size / SUM_BLOCK);
  if (blocks < DIVIDED_BLOCKS || (outer >= engine.pool.threads && size < LONGEST_ROW)) {
    const args = [0, 0, addressOf(input), addressOf(output), size, 0];
    runRows(engine, sumRows, { rows: outer, args, scratchBytes: rowScratch(size), cost: outer * size * 0.15 });
    return;
  }
  withMemory(engine, 4 * blocks, (results) => {
    for (let row = 0; row < outer; row++) {
      const args = [0, 0, addressOf(input) + row * size * 4, results, size, 0];
      runRows(engine, sumBlocks, { rows: blocks, args, scratchBytes: rowScratch(SUM_BLOCK), cost: size * 0.15 });
      engine.pool.call(foldBlocks, [results, blocks, addressOf(output) + row * 4]);
    }
  });
}

function defineSum(module: ModuleBuilder): void {
  const parameters = { start: "i32", end: "i32", x: "i32", out: "i32", size: "i32", scratch: "i32" } as const;
  module.export("sumRows", parameters, (f, { start, end, x, out, size, scratch }) => {
    const bytes = f.let(size.shl(2));
    f.for(start, end, 1, (row) => {
      const at = rowAt(f, x, row, bytes);
      const [total] = sumRow(
        f,
        [at],
        [],
        bytes,
        scratch,
        1,
        termsOf(({ load }) => [load(at)]),
      );
      f.storeF32(out.add(row.shl(2)), total);
    });
  });
  // One row, divided by its blocks: the sum of a block alone is that of a row of its length.
  module.export("sumBlocks", parameters, (f, { start, end, x, out, size, scratch }) => {
    f.for(start, end, 1, (block) => {
      const first = f.let(block.mul(SUM_BLOCK));
      const bytes = f.let(size.sub(first).min(SUM_BLOCK).shl(2));
      const at = f.let(x.add(first.shl(2)));
      const [total] = sumRow(
        f,
        [at],
        [],
        bytes,
        scratch,
        1,
        termsOf(({ load }) => [load(at)]),
      );
      f.storeF32(out.add(block.shl(2)), total);
    });
  });
  module.export("foldBlocks", { values: "i32", count: "i32", out: "i32" }, (f, { values, count, out }) => {
    f.storeF32(out, sumTree(f, values, count));
  });
}

/** One element, or four neighbouring lines, of a type. */
const vectorFold: { readonly [K in NumberType]: { readonly [kind in ReduceKind]: (a: V128, b: V128) => V128 } } = {
  float32: { sum: f32x4.add, prod: f32x4.mul, max: f32x4.max, min: f32x4.min },
  int32: { sum: i32x4.add, prod: i32x4.mul, max: i32x4.maxS, min: i32x4.minS },
};
const empty: { readonly [kind in ReduceKind]: number } = {
  sum: 0,
  prod: 1,
  max: Number.NEGATIVE_INFINITY,
  min: Number.POSITIVE_INFINITY,
};

/** Everything but the float32 sum: in index order from the first element. */
function fold(engine: Engine, kind: ReduceKind, input: Operand, output: Operand, split: Split): void {
  const { outer, size, inner } = split;
  if (size === 0) {
    const start = addressOf(output) >>> 2;
    const view = input.dtype === "float32" ? engine.memory.f32 : engine.memory.i32;
    view.fill(empty[kind], start, start + outer * inner);
    return;
  }
  const dtype = input.dtype as NumberType;
  const family = engine.family(`fold ${kind} ${dtype}`, (module) =>
    // Only a float product depends on its order.
    defineFold(module, vectorFold[dtype][kind], kind !== "prod" || dtype === "int32"),
  );
  runLines(engine, inner === 1 ? family.rows : family.columns, input, output, split);
}

function defineFold(module: ModuleBuilder, combine: (a: V128, b: V128) => V128, anyOrder: boolean): void {
  module.export("rows", lineParameters, (f, { outer0, outer1, x, out, size }) => {
    f.for(outer0, outer1, 1, (row) => {
      const at = f.let(x.add(row.mul(size).shl(2)));
      const left = f.let(size);
      const total = f.let(at.splat());
      const four = (q: number) => f.let(at.v128(16 * q));
      const walk = (...chains: V128[]) => {
        const n = chains.length;
        f.while(left.ge(8 * n), () => {
          f.inc(at, 16 * n);
          f.inc(left, -4 * n);
          for (const [q, chain] of chains.entries()) f.set(chain, combine(chain, four(q)));
        });
      };
      const fours = () => {
        f.set(total, four(0));
        // Four chains side by side: one alone waits for its last step.
        f.if(left.ge(32), () => {
          const others = [four(1), four(2), four(3)];
          walk(total, ...others);
          for (const chain of others) f.set(total, combine(total, chain));
          f.inc(at, 48);
          f.inc(left, -12);
        });
        walk(total);
        f.set(total, foldFour(f, total, combine));
        f.inc(at, 12);
        f.inc(left, -3);
      };
      if (anyOrder) f.if(left.ge(8), fours);
      f.repeat(left.sub(1), () => {
        f.inc(at, 4);
        f.set(total, combine(total, at.splat()));
      });
      f.storeLane(4, out.add(row.shl(2)), total, 0);
    });
  });
  module.export("columns", lineParameters, (f, p) => {
    const stride = f.let(p.inner.shl(2));
    eachStrip(f, p, ({ at, result, vectors, store }) => {
      const totals = vectors((offset) => at.v128(offset));
      f.repeat(p.size.sub(1), () => {
        f.inc(at, stride);
        const next = vectors((offset) => at.v128(offset));
        for (const [q, total] of totals.entries()) f.set(total, combine(total, next[q]));
      });
      store(result, totals);
    });
  });
}

export function argReduce(
  engine: Engine,
  kind: "argmax" | "argmin",
  input: Operand,
  output: Operand,
  split: Split,
): void {
  const family = engine.family("arg reduce", defineArgReduce);
  runLines(engine, family[`${kind} ${input.dtype} ${split.inner === 1 ? "rows" : "columns"}`], input, output, split);
}

function defineArgReduce(module: ModuleBuilder): void {
  for (const kind of ["argmax", "argmin"] as const) {
    for (const dtype of ["float32", "int32"] as const) {
      const beyond = { float32: [f32x4.lt, f32x4.gt], int32: [i32x4.ltS, i32x4.gtS] }[dtype][Number(kind === "argmax")];
      /** Is `x` to be held instead of `held`? A NaN is, unless one is held. */
      const better = (x: V128, held: V128): V128 =>
        dtype === "int32" ? beyond(x, held) : v128.or(beyond(x, held), v128.and(f32x4.ne(x, x), f32x4.eq(held, held)));
      const take = (f: FunctionBuilder, mask: V128, to: readonly V128[], from: readonly V128[]) => {
        const chosen = f.let(mask);
        for (const [i, local] of to.entries()) f.set(local, v128.bitselect(from[i], local, chosen));
      };
      module.export(`${kind} ${dtype} rows`, lineParameters, (f, p) =>
        f.for(p.outer0, p.outer1, 1, (row) => {
          const at = f.let(p.x.add(row.mul(p.size).shl(2)));
          const s = f.i32(1);
          const [held, best] = [f.let(at.splat()), f.let(i32x4.const(0))];
          /** Of equal ones the first stays. */
          const join = ([x, position]: V128[]) => {
            const earlier = v128.andNot(i32x4.ltS(position, best), better(held, x));
            take(f, v128.or(better(x, held), earlier), [held, best], [x, position]);
          };
          const four = (q: number) => [
            f.let(at.add(s.shl(2)).v128(16 * q)),
            f.let(i32x4.add(i32x4.splat(s), i32x4.consts(4 * q, 4 * q + 1, 4 * q + 2, 4 * q + 3))),
          ];
          const walk = (...chains: V128[][]) => {
            const n = 4 * chains.length;
            f.while(s.add(n - 1).lt(p.size), () => {
              for (const [q, chain] of chains.entries()) {
                const next = four(q);
                take(f, better(next[0], chain[0]), chain, next);
              }
              f.inc(s, n);
            });
          };
          f.if(p.size.ge(8), () => {
            f.set(held, at.v128());
            f.set(best, i32x4.consts(0, 1, 2, 3));
            f.set(s, 4);
            // Four chains side by side: one alone waits for its last step.
            f.if(p.size.ge(32), () => {
              const others = [four(0), four(1), four(2)];
              f.set(s, 16);
              walk([held, best], ...others);
              for (const chain of others) join(chain);
            });
            walk([held, best]);
            // Lanes are folded in halves.
            for (const order of HALVES) join([held, best].map((of) => f.let(v128.shuffle(of, of, ...order))));
          });
          f.while(s.lt(p.size), () => {
            const x = f.let(at.add(s.shl(2)).splat());
            take(f, better(x, held), [held, best], [x, i32x4.splat(s)]);
            f.inc(s, 1);
          });
          f.storeLane(4, p.out.add(row.shl(2)), best, 0);
        }),
      );
      module.export(`${kind} ${dtype} columns`, lineParameters, (f, p) => {
        const stride = f.let(p.inner.shl(2));
        eachStrip(f, p, ({ at, result, vectors, store }) => {
          const held = vectors((offset) => at.v128(offset));
          const best = vectors(() => i32x4.const(0));
          f.for(1, p.size, 1, (s) => {
            f.inc(at, stride);
            const position = f.let(i32x4.splat(s));
            for (const [q, x] of vectors((offset) => at.v128(offset)).entries()) {
              take(f, better(x, held[q]), [held[q], best[q]], [x, position]);
            }
          });
          store(result, best);
        });
      });
    }
  }
}

export function cumsum(engine: Engine, input: Operand, output: Operand, split: Split): void {
  if (split.size === 0) return;
  const family = engine.family("cumsum", defineCumsum);
  runLines(engine, family[`${input.dtype} ${split.inner === 1 ? "rows" : "columns"}`], input, output, split);
}

function defineCumsum(module: ModuleBuilder): void {
  for (const dtype of ["float32", "int32"] as const) {
    const add = vectorFold[dtype].sum;
    module.export(`${dtype} rows`, lineParameters, (f, { outer0, outer1, x, out, size }) => {
      const at = f.let(x.add(outer0.mul(size).shl(2)));
      const to = f.let(out.add(outer0.mul(size).shl(2)));
      f.repeat(outer1.sub(outer0), () => {
        const total = f.let(at.splat());
        f.storeLane(4, to, total, 0);
        f.repeat(size.sub(1), () => {
          f.inc(at, 4);
          f.inc(to, 4);
          f.set(total, add(total, at.splat()));
          f.storeLane(4, to, total, 0);
        });
        f.inc(at, 4);
        f.inc(to, 4);
      });
    });
    module.export(`${dtype} columns`, lineParameters, (f, p) => {
      const stride = f.let(p.inner.shl(2));
      eachStrip(f, p, ({ at, vectors, store }) => {
        const to = f.let(p.out.add(at.sub(p.x)));
        const totals = vectors((offset) => at.v128(offset));
        store(to, totals);
        f.repeat(p.size.sub(1), () => {
          f.inc(at, stride);
          f.inc(to, stride);
          const next = vectors((offset) => at.v128(offset));
          for (const [q, total] of totals.entries()) f.set(total, add(total, next[q]));
          store(to, totals);
        });
      });
    });
  }
}
