/**
 * Lines along the middle dim of a split. Where they have neighbours (`inner` above 1) sixteen are walked side by side: a
 * whole line of the cache for each step along the dim.
 */

import type { Operand, Split } from "../../kernels.js";
import type { FunctionBuilder } from "../assembler.js";
import type { Engine } from "../engine.js";
import { type I32, range, type V128 } from "../values.js";
import { addressOf } from "./operands.js";

/** Either pair may be the divided range; with `inner` of 1 the lines are those of `outer`. */
export const lineParameters = {
  outer0: "i32",
  outer1: "i32",
  column0: "i32",
  column1: "i32",
  x: "i32",
  out: "i32",
  size: "i32",
  inner: "i32",
} as const;
type Lines = { readonly [K in keyof typeof lineParameters]: I32 };

/** Columns side by side. */
const STRIP = 16;

export function runLines(engine: Engine, kernel: number, input: Operand, output: Operand, split: Split): void {
  const { outer, size, inner } = split;
  const byOuter = outer >= inner / STRIP;
  engine.pool.run(kernel, [0, outer, 0, inner, addressOf(input), addressOf(output), size, inner], {
    rangeArgument: byOuter ? 0 : 2,
    total: byOuter ? outer : inner,
    granule: byOuter ? 1 : STRIP,
    cost: outer * size * inner,
  });
}

/** A strip of neighbouring lines at its first elements. */
export interface Strip {
  /** The addresses of its first element, and of its first result where a line has one. */
  readonly at: I32;
  readonly result: I32;
  /** Calls `make` for each vector of four lines, with its offset in bytes. */
  vectors(make: (offset: number) => V128): V128[];
  /** Stores those vectors, as far as there are lines. */
  store(to: I32, lanes: readonly V128[]): void;
}

/** Visits all columns of the range in strips of sixteen lines, the last ones four at a time. */
export function eachStrip(f: FunctionBuilder, p: Lines, body: (strip: Strip) => void): void {
  f.for(p.outer0, p.outer1, 1, (o) => {
    const column = f.let(p.column0);
    for (const width of [STRIP, 4]) {
      const offsets = range(width / 4).map((q) => 16 * q);
      f.while(width === STRIP ? column.add(STRIP - 1).lt(p.column1) : column.lt(p.column1), () => {
        const left = f.let(p.column1.sub(column));
        body({
          at: f.let(p.x.add(o.mul(p.size).mul(p.inner).add(column).shl(2))),
          result: f.let(p.out.add(o.mul(p.inner).add(column).shl(2))),
          vectors: (make) => offsets.map((offset) => f.let(make(offset))),
          store(to, lanes) {
            if (width === 4) storeUpTo4(f, to, lanes[0], left);
            else for (const [q, four] of lanes.entries()) f.storeV128(to, four, offsets[q]);
          },
        });
        f.inc(column, width);
      });
    }
  });
}

/** Stores four lanes, or as many as `count` says. */
export function storeUpTo4(f: FunctionBuilder, to: I32, lanes: V128, count: I32): void {
  f.if(
    count.ge(4),
    () => f.storeV128(to, lanes),
    () => {
      for (const lane of range(3)) f.if(count.gt(lane), () => f.storeLane(4, to, lanes, lane, 4 * lane));
    },
  );
}
