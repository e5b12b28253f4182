/**
 * Loops over rows of float32 and the canonical sum: blocks of 4096, 16 lane accumulators folded in halves, a pairwise
 * tree over the blocks. Rows are walked 16 elements at a time; the last few are read past their end (the memory has a
 * guard), masked where they would count, and stored through a small buffer.
 */

import { SUM_BLOCK } from "../../kernels.js";
import type { FunctionBuilder } from "../assembler.js";
import { type F32, type I32, range, type V128 } from "../values.js";
import { f32x4, i32x4, v128 } from "../vectors.js";

const BLOCK_BYTES = 4 * SUM_BLOCK;

/** Scratch bytes that row loops over `size` elements need: a buffer per stored row, and a word per block. */
export const rowScratch = (size: number): number => TAIL_BUFFERS * 64 + 4 * MAX_SUMS * Math.ceil(size / SUM_BLOCK) + 64;
const TAIL_BUFFERS = 4;
/** The most sums one walk makes. */
const MAX_SUMS = 2;

/** Four elements of a row at work. */
export interface RowLanes {
  /** 0 to 3: which quarter of the sixteen. */
  readonly quarter: number;
  /** Elements of one of the rows walked. */
  load(row: I32): V128;
  /** Stores to one of the rows walked. */
  store(row: I32, lanes: V128): void;
  /** The lanes, with those past the end of the row replaced. */
  orElse(lanes: V128, otherwise: V128): V128;
}

/**
 * Walks `bytes` bytes of all `rows` together, advancing them (they are locals). `stored` lists those that are written.
 * The body gets four quarters at once (so that long chains of operations overlap), or one near the end of the row.
 */
export function walkRow(
  f: FunctionBuilder,
  rows: readonly I32[],
  stored: readonly I32[],
  bytes: I32,
  scratch: I32,
  body: (quarters: readonly RowLanes[]) => void,
): void {
  const left = f.let(bytes);
  f.while(left.ge(64), () => {
    body(
      range(4).map((quarter) => ({
        quarter,
        load: (row) => f.let(row.v128(16 * quarter)),
        store: (row, lanes) => f.storeV128(row, lanes, 16 * quarter),
        orElse: (lanes) => lanes,
      })),
    );
    for (const row of rows) f.inc(row, 64);
    f.inc(left, -64);
  });
  f.if(left, () => {
    const count = f.let(i32x4.splat(left.shrU(2)));
    for (const quarter of range(4)) {
      // Quarters past the end are skipped, so that nothing is read more than 16 bytes past it.
      f.if(left.gt(16 * quarter), () => {
        const mask = f.let(i32x4.gtS(count, i32x4.consts(...lanesFrom(4 * quarter))));
        body([
          {
            quarter,
            load: (row) => f.let(row.v128(16 * quarter)),
            store: (row, lanes) => f.storeV128(scratch, lanes, 64 * stored.indexOf(row) + 16 * quarter),
            orElse: (lanes, otherwise) => f.let(v128.bitselect(lanes, otherwise, mask)),
          },
        ]);
      });
    }
    if (stored.length > 0) {
      f.for(0, left, 4, (x) => {
        stored.forEach((row, slot) => {
          f.storeF32(row.add(x), scratch.add(x).f32(64 * slot));
        });
      });
    }
    for (const row of rows) f.inc(row, left);
  });
}

const lanesFrom = (first: number) => [first, first + 1, first + 2, first + 3] as const;

/** Lanes in the orders that bring their halves, then their neighbours, together. */
export const HALVES: readonly [number, number, number, number][] = [
  [2, 3, 0, 1],
  [1, 0, 3, 2],
];

/** The four lanes of a local folded in halves; the first lane has the result. */
export const foldFour = (f: FunctionBuilder, lanes: V128, combine: (a: V128, b: V128) => V128): V128 =>
  HALVES.reduce((left, order) => f.let(combine(left, v128.shuffle(left, left, ...order))), lanes);

/** The sixteen lanes of four vectors folded in halves: 8, 4, 2, 1. */
export function foldLanes(f: FunctionBuilder, acc: readonly V128[]): F32 {
  const eight = [f32x4.add(acc[0], acc[2]), f32x4.add(acc[1], acc[3])].map((lanes) => f.let(lanes));
  const four = f.let(f32x4.add(eight[0], eight[1]));
  return f.let(f32x4.lane(foldFour(f, four, f32x4.add), 0));
}

/**
 * Several canonical sums in one walk over rows of `bytes` bytes: `body` gives, for every quarter, the terms of each sum.
 * Rows are advanced.
 */
export function sumRow(
  f: FunctionBuilder,
  rows: readonly I32[],
  stored: readonly I32[],
  bytes: I32,
  scratch: I32,
  sums: number,
  body: (quarters: readonly RowLanes[]) => V128[][],
): F32[] {
  const zero = f.let(f32x4.const(0));
  const acc = range(sums).map(() => range(4).map(() => f.v128()));
  const add = (quarters: readonly RowLanes[]) => {
    for (const [k, terms] of body(quarters).entries()) {
      const { quarter, orElse } = quarters[k];
      for (const [s, term] of terms.entries()) {
        f.set(acc[s][quarter], f32x4.add(acc[s][quarter], orElse(term, zero)));
      }
    }
  };
  const results = f.let(scratch.add(64 * TAIL_BUFFERS));
  const stride = f.let(
    bytes
      .add(BLOCK_BYTES - 1)
      .divU(BLOCK_BYTES)
      .shl(2),
  );
  const to = f.let(results);
  const left = f.let(bytes);
  // One round even for an empty row, whose sum is +0.
  const round = () => {
    for (const own of acc) for (const quarter of own) f.set(quarter, zero);
    walkRow(f, rows, stored, f.let(left.min(BLOCK_BYTES)), scratch, add);
    for (const [s, own] of acc.entries()) f.storeF32(s === 0 ? to : to.add(stride.mul(s)), foldLanes(f, own));
    f.inc(left, -BLOCK_BYTES);
    f.inc(to, 4);
  };
  f.doWhile(left.gt(0), round);
  return range(sums).map((s) => sumTree(f, f.let(results.add(stride.mul(s))), f.let(stride.shrU(2))));
}

/** The pairwise tree over `count` floats at `values`, level by level, an odd last one carried; overwrites them. */
export function sumTree(f: FunctionBuilder, values: I32, count: I32): F32 {
  const left = f.let(count);
  f.while(left.gt(1), () => {
    const half = f.let(left.shrU(1));
    f.for(0, half, 1, (i) => {
      const pair = f.let(values.add(i.shl(3)));
      f.storeF32(values.add(i.shl(2)), pair.f32().add(pair.f32(4)));
    });
    f.if(left.and(1), () => f.storeF32(values.add(half.shl(2)), values.add(left.sub(1).shl(2)).f32()));
    f.set(left, half.add(left.and(1)));
  });
  return f.let(values.f32());
}

/**
 * The largest element of a row; NaNs are passed over (they reach the result through the sums). `row` is left alone.
 * At least one element.
 */
export function maxRow(f: FunctionBuilder, row: I32, bytes: I32, scratch: I32): F32 {
  const lowest = f.let(f32x4.const(Number.NEGATIVE_INFINITY));
  const acc = range(4).map(() => f.let(lowest));
  const at = f.let(row);
  walkRow(f, [at], [], bytes, scratch, (quarters) => {
    for (const { quarter, load, orElse } of quarters) {
      f.set(acc[quarter], f32x4.pmax(acc[quarter], orElse(load(at), lowest)));
    }
  });
  const four = f.let(f32x4.pmax(f32x4.pmax(acc[0], acc[1]), f32x4.pmax(acc[2], acc[3])));
  return f.let(f32x4.lane(foldFour(f, four, f32x4.pmax), 0));
}

/** The address of row `row` of a matrix of `bytes` bytes per row. */
export const rowAt = (f: FunctionBuilder, base: I32, row: I32, bytes: I32): I32 => f.let(base.add(row.mul(bytes)));

/** One float through a function on vectors. */
export const scalarFunction = (f: FunctionBuilder, fn: (x: V128) => V128) => (x: F32) =>
  f.let(f32x4.lane(fn(f.let(x.splat())), 0));

/** A body for walkRow that treats every quarter alike. */
export const eachQuarter = (body: (lanes: RowLanes) => void) => (quarters: readonly RowLanes[]) => {
  for (const lanes of quarters) body(lanes);
};
/** A body for sumRow that treats every quarter alike. */
export const termsOf = (body: (lanes: RowLanes) => V128[]) => (quarters: readonly RowLanes[]) => quarters.map(body);
