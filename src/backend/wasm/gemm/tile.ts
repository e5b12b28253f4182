/**
 * The innermost kernel of matrix products: one tile of the output held in vector registers while k runs. Every output
 * element is one chain, acc = acc + a * b with k ascending, so the size of the tile never changes a bit.
 */

import type { FunctionBuilder, FunctionRef, ModuleBuilder } from "../assembler.js";
import { F32, type I32, range, type V128 } from "../values.js";
import { f32x4 } from "../vectors.js";

/** Tile size and arithmetic; `vectors` counts vectors of 4 columns. */
export interface TileShape {
  rows: number;
  vectors: number;
  /** Fused multiply-add instead of multiply, then add. */
  fused: boolean;
}

/**
 * The tile that V8 keeps in registers (measured): 15 vector registers are usable, and multiply, then add needs one more
 * than the fused form. Where pairs of vectors become one, the tile is twice as wide.
 */
export const tileFor = (fused: boolean, wide: boolean): TileShape => ({
  rows: fused ? 6 : 5,
  vectors: wide ? 4 : 2,
  fused,
});

export const tileColumns = (shape: TileShape): number => 4 * shape.vectors;

/** acc + a * b in the arithmetic of the mode. */
export const multiplyAdd = (fused: boolean) =>
  fused
    ? (a: V128, b: V128, acc: V128) => f32x4.relaxedMadd(a, b, acc)
    : (a: V128, b: V128, acc: V128) => f32x4.add(acc, f32x4.mul(a, b));

/**
 * Where the elements of A lie. `column`: the tile's rows are neighbours and `strideA` leads to the next k (packed A, or
 * A stored [k, m]). `row`: the next k is a neighbour and `strideA` leads to the next row (A stored [m, k]). `panel`:
 * packed as in `column`, the next k as far away as in B, so that one pointer serves both.
 */
export type LayoutA = "column" | "row" | "panel";

/** Strides in bytes; with `resume` the chains go on from what the output holds. */
const tileParameters = {
  k: "i32",
  a: "i32",
  strideA: "i32",
  b: "i32",
  strideB: "i32",
  c: "i32",
  strideC: "i32",
  resume: "i32",
} as const;

/**
 * One tile kernel of a fixed number of rows and vectors. Nothing may branch between the loop and the stores: V8 would
 * keep the accumulators in memory inside the loop (measured: half the speed).
 */
export function defineTile(
  module: ModuleBuilder,
  layout: LayoutA,
  { rows, vectors, fused }: TileShape,
  name: string,
): FunctionRef {
  return module.internal(name, tileParameters, (f, { k, a, strideA, b, strideB, c, strideC, resume }) => {
    const madd = multiplyAdd(fused);
    const rowList = range(rows);
    const columnList = range(vectors);
    const out = rowList.map((r) => (r === 0 ? c : f.let(c.add(strideC.mul(r)))));
    const acc = rowList.map(() => columnList.map(() => f.v128(f32x4.const(0))));
    f.if(resume, () => {
      for (const r of rowList) for (const q of columnList) f.set(acc[r][q], out[r].v128(16 * q));
    });
    const rowA = rowList.map((r) => (layout !== "row" || r === 0 ? a : f.let(a.add(strideA.mul(r)))));
    const distance = f.let(a.sub(b));
    const vectorB = columnList.map(() => f.v128());
    const scalarA = f.v128();
    const end = f.let(b.add(k.mul(strideB)));
    f.while(b.ne(end), () => {
      if (layout === "panel") f.set(a, b.add(distance));
      for (const q of columnList) f.set(vectorB[q], b.v128(16 * q));
      for (const r of rowList) {
        f.set(scalarA, layout === "row" ? rowA[r].splat() : a.splat(4 * r));
        for (const q of columnList) f.set(acc[r][q], madd(scalarA, vectorB[q], acc[r][q]));
      }
      if (layout === "column") f.inc(a, strideA);
      if (layout === "row") for (const r of rowList) f.inc(rowA[r], 4);
      f.inc(b, strideB);
    });
    for (const r of rowList) for (const q of columnList) f.storeV128(out[r], acc[r][q], 16 * q);
  });
}

/**
 * Defines the last step of a tile: to = [to +] (from [+ bias]) over `height` x `width` floats, where `from` may be `to`
 * itself. Bias is 0 or the address of `width` floats.
 */
export function defineFinish(module: ModuleBuilder): FunctionRef {
  const parameters = {
    to: "i32",
    strideTo: "i32",
    from: "i32",
    strideFrom: "i32",
    height: "i32",
    width: "i32",
    bias: "i32",
    accumulate: "i32",
  } as const;
  return module.internal(
    "finish",
    parameters,
    (f, { to, strideTo, from, strideFrom, height, width, bias, accumulate }) => {
      const whole = f.let(width.and(-4).shl(2));
      const end = f.let(width.shl(2));
      const vector = f.v128();
      const single = f.f32();
      f.repeat(height, () => {
        f.for(0, whole, 16, (x) => {
          f.set(vector, from.add(x).v128());
          f.if(bias, () => f.set(vector, f32x4.add(vector, bias.add(x).v128())));
          f.if(accumulate, () => f.set(vector, f32x4.add(to.add(x).v128(), vector)));
          f.storeV128(to.add(x), vector);
        });
        f.for(whole, end, 4, (x) => {
          f.set(single, from.add(x).f32());
          f.if(bias, () => f.set(single, single.add(bias.add(x).f32())));
          f.if(accumulate, () => f.set(single, to.add(x).f32().add(single)));
          f.storeF32(to.add(x), single);
        });
        f.inc(to, strideTo);
        f.inc(from, strideFrom);
      });
    },
  );
}

/** Calls `body(n)` for the one n in 1 … most that equals `count`. */
export function dispatch(f: FunctionBuilder, count: I32, most: number, body: (n: number) => void): void {
  if (most === 1) body(1);
  else
    f.if(
      count.eq(most),
      () => body(most),
      () => dispatch(f, count, most - 1, body),
    );
}

/** +0, for stores. */
export const ZERO = F32.const(0);
