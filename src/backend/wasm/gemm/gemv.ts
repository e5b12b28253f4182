/**
 * Products with few rows of A (decoding, matrix times vector): the weights are streamed once from memory and never
 * packed. The same chains as everywhere: four outputs side by side in a vector, k ascending.
 */

import type { FunctionBuilder, FunctionRef, ModuleBuilder } from "../assembler.js";
import { type I32, range } from "../values.js";
import { f32x4 } from "../vectors.js";
import { transpose } from "./pack.js";
import { defineFinish, multiplyAdd } from "./tile.js";

/** The most rows of A that pay, where B is stored [n, k] and where it is stored [k, n]: packing pays above. */
export const MAX_ROWS_OUT = 2;
export const MAX_ROWS_IN = 4;

export const gemvParameters = {
  /** Outputs (columns of C) to compute. */
  n0: "i32",
  n1: "i32",
  n: "i32",
  k: "i32",
  /** [rows, k] */
  a: "i32",
  b: "i32",
  /** [rows, n] */
  c: "i32",
  bias: "i32",
  accumulate: "i32",
  scratch: "i32",
} as const;

/** Columns of C that one pass over B stored [k, n] works on. */
const STRIP = 2048;
/** Scratch bytes per thread. */
export const gemvScratch = (rows: number): number => 4 * rows * STRIP;

/** Exports `gemvOut1` … (B stored [n, k]) and `gemvIn1` … (B stored [k, n]), one for each number of rows. */
export function defineGemv(module: ModuleBuilder, fused: boolean): void {
  const finish = defineFinish(module);
  for (const r of range(MAX_ROWS_OUT)) defineOut(module, r + 1, fused, finish);
  for (const r of range(MAX_ROWS_IN)) defineIn(module, r + 1, fused, finish);
}

/**
 * Reads a word of each of the rows that come next, whose value nobody needs: memory and page tables are slow to answer,
 * and do so while the rows before are worked on. A little past the start, since what is read now goes on by itself.
 */
function touch(f: FunctionBuilder, next: I32, rows: number, stride: I32): void {
  const at = f.let(next);
  const word = f.i32();
  for (const _ of range(rows)) {
    f.set(word, at.i32(256));
    f.inc(at, stride);
  }
}

/** B is [n, k]: eight rows of weights are read along k, four at a time, and transposed in registers. */
function defineOut(module: ModuleBuilder, rows: number, fused: boolean, finish: FunctionRef): void {
  const groups = [2, 1];
  const whole = groups.map((count) => defineOutBlock(module, rows, count, fused));
  const rest = defineOutRest(module, rows, fused);
  module.export(`gemvOut${rows}`, gemvParameters, (f, { n0, n1, n, k, a, b, c, bias, accumulate, scratch }) => {
    const j = f.let(n0);
    const left = f.let(n1.sub(n0));
    for (const [i, count] of groups.entries()) {
      const width = 4 * count;
      f.while(left.ge(count === 1 ? 1 : width), () => {
        const weights = f.let(b.add(j.mul(k).shl(2)));
        f.call(whole[i], left, k, a, weights, scratch);
        f.if(k.and(3), () => {
          for (const g of range(count)) {
            f.call(rest, left, k, a, weights.add(k.mul(16 * g)), scratch.add(16 * g), 4 * width);
          }
        });
        finishRows(f, finish, { rows, j, width: left.min(width), stride: 4 * width, n, c, bias, accumulate, scratch });
        f.inc(j, width);
        f.inc(left, -width);
      });
    }
  });
}

/** Bytes from a row of B to the three below it; past the last of `left` rows the last one again, whose sums nobody uses. */
function rowsBelow(f: FunctionBuilder, left: I32, bytes: I32): I32[] {
  return [1, 2, 3].map((x) => f.let(left.sub(1).min(x).mul(bytes)));
}

/** The sums of 4 * groups outputs over the whole steps of four k: to[row][output]. */
function defineOutBlock(module: ModuleBuilder, rows: number, groups: number, fused: boolean): FunctionRef {
  const parameters = { left: "i32", k: "i32", a: "i32", b: "i32", to: "i32" } as const;
  const madd = multiplyAdd(fused);
  return module.internal(`gemvOut${rows}x${4 * groups}`, parameters, (f, { left, k, a, b, to }) => {
    const bytes = f.let(k.shl(2));
    const below = rowsBelow(f, left, bytes);
    const group = f.let(bytes.shl(2));
    const rowA = range(rows).map((r) => (r === 0 ? a : f.let(a.add(bytes.mul(r)))));
    const acc = range(rows).map(() => range(groups).map(() => f.let(f32x4.const(0))));
    const end = f.let(a.add(bytes.and(-16)));
    // Fewer rows than eight are the last ones: none to come, and not all of them there.
    if (groups === 2) touch(f, b.add(left.ge(16).select(bytes.shl(3), 0)), 8, bytes);
    const at = f.i32();
    // With one row, products that are rounded anyway are formed first: one read of A serves all outputs.
    const first = rows === 1 && !fused;
    const factors = f.v128();
    f.while(a.ne(end), () => {
      f.set(at, b);
      if (first) f.set(factors, a.v128());
      for (const g of range(groups)) {
        if (g > 0) f.inc(at, group);
        const weights = [at, ...below.map((distance) => at.add(distance))].map((p) => p.v128());
        const steps = transpose(f, first ? weights.map((w) => f32x4.mul(w, factors)) : weights);
        for (const [step, w] of steps.entries()) {
          for (const r of range(rows)) {
            f.set(acc[r][g], first ? f32x4.add(acc[r][g], w) : madd(rowA[r].splat(4 * step), w, acc[r][g]));
          }
        }
      }
      for (const p of [b, ...rowA]) f.inc(p, 16);
    });
    for (const r of range(rows)) for (const g of range(groups)) f.storeV128(to, acc[r][g], 16 * (r * groups + g));
  });
}

/**
 * The last one to three k of four outputs, `stride` bytes from one row's sums to the next. A function of its own: two
 * loops in one function would not keep the sums in registers.
 */
function defineOutRest(module: ModuleBuilder, rows: number, fused: boolean): FunctionRef {
  const parameters = { left: "i32", k: "i32", a: "i32", b: "i32", to: "i32", stride: "i32" } as const;
  const madd = multiplyAdd(fused);
  return module.internal(`gemvOut${rows}rest`, parameters, (f, { left, k, a, b, to, stride }) => {
    const bytes = f.let(k.shl(2));
    const [d1, d2, d3] = rowsBelow(f, left, bytes);
    const skip = f.let(bytes.and(-16));
    f.inc(b, skip);
    const rowA = range(rows).map((r) => f.let(a.add(bytes.mul(r)).add(skip)));
    const sums = range(rows).map((r) => f.let(to.add(stride.mul(r))));
    f.repeat(k.and(3), () => {
      const pair = b.add(d1).load32Lane(b.load32Zero(), 1);
      const w = f.let(b.add(d3).load32Lane(b.add(d2).load32Lane(pair, 2), 3));
      for (const r of range(rows)) f.storeV128(sums[r], madd(rowA[r].splat(), w, sums[r].v128()));
      for (const p of [b, ...rowA]) f.inc(p, 4);
    });
  });
}

/**
 * B is [k, n]: strips of columns, the sums of a strip stay in the scratch memory while rows of B stream by, several at
 * a time: memory serves eight streams faster than four.
 */
function defineIn(module: ModuleBuilder, rows: number, fused: boolean, finish: FunctionRef): void {
  const madd = multiplyAdd(fused);
  const parameters = {
    count: "i32",
    a: "i32",
    strideA: "i32",
    b: "i32",
    strideB: "i32",
    sums: "i32",
    next: "i32",
  } as const;
  /** sums[row] += a[row, k .. k + depth) B[k .. k + depth) over `count` columns (rounded up to pairs of vectors). */
  const defineStep = (depth: number) =>
    module.internal(`gemvIn${rows}step${depth}`, parameters, (f, { count, a, strideA, b, strideB, sums, next }) => {
      touch(f, next, depth, strideB);
      const factors = range(rows).map((r) => {
        const p = f.let(a.add(strideA.mul(r)));
        return range(depth).map((d) => f.let(p.splat(4 * d)));
      });
      const weights = range(depth).map((d) => f.let(b.add(strideB.mul(d))));
      const end = f.let(sums.add(count.shl(2)));
      // Weights are held for all rows where registers are left beside the factors, else read again for each.
      const w = range((rows + 1) * depth <= 12 ? depth : 0).map(() => f.v128());
      const total = f.v128();
      f.while(sums.ltU(end), () => {
        for (const x of [0, 16]) {
          for (const [d, held] of w.entries()) f.set(held, weights[d].v128(x));
          for (const r of range(rows)) {
            f.set(total, sums.v128(4 * STRIP * r + x));
            for (const d of range(depth)) f.set(total, madd(factors[r][d], w[d] ?? weights[d].v128(x), total));
            f.storeV128(sums, total, 4 * STRIP * r + x);
          }
        }
        for (const p of [sums, ...weights]) f.inc(p, 32);
      });
    });
  const depth = [8, 4, 4, 2][rows - 1];
  const deep = defineStep(depth);
  const single = defineStep(1);
  module.export(`gemvIn${rows}`, gemvParameters, (f, { n0, n1, n, k, a, b, c, bias, accumulate, scratch }) => {
    const strideA = f.let(k.shl(2));
    const strideB = f.let(n.shl(2));
    f.for(n0, n1, STRIP, (j) => {
      const width = f.let(n1.sub(j).min(STRIP));
      f.fill(scratch, 0, 4 * STRIP * rows);
      const from = f.let(b.add(j.shl(2)));
      const x = f.let(a);
      const left = f.let(k);
      const advance = (steps: number) => {
        f.inc(x, 4 * steps);
        f.inc(from, strideB.mul(steps));
        f.inc(left, -steps);
      };
      f.while(left.ge(depth), () => {
        const next = from.add(left.ge(2 * depth).select(strideB.mul(depth), 0));
        f.call(deep, width, x, strideA, from, strideB, scratch, next);
        advance(depth);
      });
      f.while(left.gt(0), () => {
        f.call(single, width, x, strideA, from, strideB, scratch, from);
        advance(1);
      });
      finishRows(f, finish, { rows, j, width, stride: 4 * STRIP, n, c, bias, accumulate, scratch });
    });
  });
}

interface FinishRows {
  rows: number;
  j: I32;
  width: I32;
  stride: number;
  n: I32;
  c: I32;
  bias: I32;
  accumulate: I32;
  scratch: I32;
}

/** Moves finished sums to their place in C, with bias and accumulation. */
function finishRows(f: FunctionBuilder, finish: FunctionRef, at: FinishRows): void {
  const bias = at.bias.select(at.bias.add(at.j.shl(2)), 0);
  f.call(finish, at.c.add(at.j.shl(2)), at.n.shl(2), at.scratch, at.stride, at.rows, at.width, bias, at.accumulate);
}
