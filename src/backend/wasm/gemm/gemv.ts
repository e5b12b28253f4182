/**
 * Products with few rows of A (decoding, matrix times vector): the weights are streamed once from memory and never
 * packed. The same chains as everywhere: four outputs side by side in a vector, k ascending.
 */

import type { FunctionBuilder, FunctionRef, ModuleBuilder } from "../assembler.js";
import { I32, range } from "../values.js";
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

/** B is [n, k]: rows of weights are read along k, four at a time, and transposed in registers. */
function defineOut(module: ModuleBuilder, rows: number, fused: boolean, finish: FunctionRef): void {
  const parameters = { j: "i32", n1: "i32", k: "i32", a: "i32", b: "i32", to: "i32" } as const;
  const madd = multiplyAdd(fused);
  /**
   * 4 * groups outputs, from j on; outputs past the end repeat the last one and are not used. One function for whole
   * steps of four k and one for what remains: two loops in one function would not keep the sums in registers.
   */
  const defineBlock = (groups: number, columns: 4 | 1) =>
    module.internal(`gemvOut${rows} ${4 * groups}x${columns}`, parameters, (f, { j, n1, k, a, b, to }) => {
      const bytes = f.let(k.shl(2));
      const skip = columns === 4 ? 0 : f.let(bytes.and(-16));
      const weights = range(4 * groups).map((x) => f.let(b.add(j.add(x).min(n1.sub(1)).mul(bytes)).add(skip)));
      const rowA = range(rows).map((r) => f.let(a.add(bytes.mul(r)).add(skip)));
      const target = (r: number, g: number) => 16 * (r * groups + g);
      const acc = range(rows).map((r) =>
        range(groups).map((g) => f.let(columns === 4 ? f32x4.const(0) : to.v128(target(r, g)))),
      );
      const end = f.let(a.add(columns === 4 ? bytes.and(-16) : bytes));
      f.while(rowA[0].ne(end), () => {
        for (const g of range(groups)) {
          const group = weights.slice(4 * g, 4 * g + 4);
          const [p0, p1, p2, p3] = group;
          const steps =
            columns === 4
              ? transpose(
                  f,
                  group.map((p) => p.v128()),
                )
              : [p3.load32Lane(p2.load32Lane(p1.load32Lane(p0.load32Zero(), 1), 2), 3)];
          for (const [step, lanes] of steps.entries()) {
            const w = f.let(lanes);
            for (const r of range(rows)) f.set(acc[r][g], madd(rowA[r].splat(4 * step), w, acc[r][g]));
          }
        }
        for (const p of [...weights, ...rowA]) f.inc(p, 4 * columns);
      });
      for (const r of range(rows)) for (const g of range(groups)) f.storeV128(to, acc[r][g], target(r, g));
    });
  const blocks = [1, 2].map((groups) => ({
    groups,
    whole: defineBlock(groups, 4),
    rest: defineBlock(groups, 1),
  }));
  module.export(`gemvOut${rows}`, gemvParameters, (f, { n0, n1, n, k, a, b, c, bias, accumulate, scratch }) => {
    const [narrow, wide] = blocks.map(({ groups, whole, rest }) => () => {
      f.for(n0, n1, 4 * groups, (j) => {
        f.call(whole, j, n1, k, a, b, scratch);
        f.if(k.and(3), () => f.call(rest, j, n1, k, a, b, scratch));
        const width = n1.sub(j).min(4 * groups);
        finishRows(f, finish, { rows, j, width, stride: 16 * groups, n, c, bias, accumulate, scratch });
      });
    });
    // Rows a multiple of 4 KiB apart share one place in the cache: eight of them at once would drive each other out.
    f.if(rows === 1 ? k.and(1023).eqz() : I32.const(1), narrow, wide);
  });
}

/** B is [k, n]: strips of columns, the sums of a strip stay in the scratch memory while rows of B stream by. */
function defineIn(module: ModuleBuilder, rows: number, fused: boolean, finish: FunctionRef): void {
  const madd = multiplyAdd(fused);
  const parameters = { count: "i32", a: "i32", strideA: "i32", b: "i32", strideB: "i32", sums: "i32" } as const;
  /** sums[row] += a[row, k .. k + depth) B[k .. k + depth) over `count` columns (rounded up to vectors). */
  const defineStep = (depth: number) =>
    module.internal(`gemvIn${rows}step${depth}`, parameters, (f, { count, a, strideA, b, strideB, sums }) => {
      const factors = range(rows).map((r) => {
        const p = f.let(a.add(strideA.mul(r)));
        return range(depth).map((d) => f.let(p.splat(4 * d)));
      });
      const weights = range(depth).map((d) => f.let(b.add(strideB.mul(d))));
      const end = f.let(sums.add(count.shl(2)));
      const w = range(depth).map(() => f.v128());
      const total = f.v128();
      f.while(sums.ltU(end), () => {
        for (const d of range(depth)) f.set(w[d], weights[d].v128());
        for (const r of range(rows)) {
          f.set(total, sums.v128(4 * STRIP * r));
          for (const d of range(depth)) f.set(total, madd(factors[r][d], w[d], total));
          f.storeV128(sums, total, 4 * STRIP * r);
        }
        for (const p of [sums, ...weights]) f.inc(p, 16);
      });
    });
  const depth = rows === 1 ? 4 : 2;
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
        f.call(deep, width, x, strideA, from, strideB, scratch);
        advance(depth);
      });
      f.while(left.gt(0), () => {
        f.call(single, width, x, strideA, from, strideB, scratch);
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
