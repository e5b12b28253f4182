/**
 * Canonical sums down the columns of row-major matrices: sixteen rows of accumulators for a strip of columns live in
 * the scratch memory while the rows stream by. Threads take columns.
 */

import { SUM_BLOCK, SUM_LANES } from "../../kernels.js";
import type { FunctionBuilder, ModuleBuilder, ParameterLocals } from "../assembler.js";
import { type I32, range, type V128 } from "../values.js";
import { f32x4 } from "../vectors.js";

/** Columns per strip. */
const STRIP = 64;
const STRIP_BYTES = 4 * STRIP;

/** Scratch bytes per thread for sums over `size` rows. */
export const columnScratch = (size: number): number => STRIP_BYTES * (SUM_LANES + Math.ceil(size / SUM_BLOCK) + 1);

/** The terms of a sum, given where an element lies. */
export interface ColumnTerms {
  /** Called once for each row, before its terms; `row` counts over all matrices. */
  enterRow(row: I32): void;
  /** Four terms at byte `offset` of the operands. */
  term(offset: I32): V128;
}

/**
 * Defines `name(column0, column1, outer, size, inner, out, …operands, scratch)`:
 * out[o, i] = the canonical sum over s of the term at element (o * size + s) * inner + i.
 */
export function defineColumns<P extends Record<string, "i32">>(
  module: ModuleBuilder,
  name: string,
  operands: P,
  terms: (f: FunctionBuilder, p: ParameterLocals<P>) => ColumnTerms,
): void {
  const step = defineBlock(module, `${name} block`, operands, terms);
  const parameters = {
    column0: "i32",
    column1: "i32",
    outer: "i32",
    size: "i32",
    inner: "i32",
    out: "i32",
    ...operands,
    scratch: "i32",
  } as const;
  module.export(name, parameters, (f, p) => {
    const { column0, column1, outer, size, inner, out, scratch } = p as ParameterLocals<Record<string, "i32">>;
    const pointers = Object.keys(operands).map((key) => (p as ParameterLocals<Record<string, "i32">>)[key]);
    const blocks = f.let(scratch.add(SUM_LANES * STRIP_BYTES));
    f.for(0, outer, 1, (o) => {
      f.for(column0, column1, STRIP, (column) => {
        const width = f.let(column1.sub(column).min(STRIP));
        const to = f.let(blocks);
        const first = f.i32();
        // One round even for no rows, whose sums are +0.
        f.doWhile(first.lt(size), () => {
          const rows = f.let(size.sub(first).min(SUM_BLOCK));
          f.call(step, o.mul(size).add(first), rows, inner, column, width, to, scratch, ...pointers);
          f.inc(first, SUM_BLOCK);
          f.inc(to, STRIP_BYTES);
        });
        foldBlocks(f, blocks, f.let(to.sub(blocks).divU(STRIP_BYTES)), width);
        const at = f.let(out.add(o.mul(inner).add(column).shl(2)));
        f.for(0, width.shl(2), 4, (x) => f.storeF32(at.add(x), blocks.add(x).f32()));
      });
    });
  });
}

/** One block of at most 4096 rows for one strip: accumulate, then fold the lanes in halves into `to`. */
function defineBlock<P extends Record<string, "i32">>(
  module: ModuleBuilder,
  name: string,
  operands: P,
  terms: (f: FunctionBuilder, p: ParameterLocals<P>) => ColumnTerms,
) {
  const parameters = {
    row: "i32",
    rows: "i32",
    inner: "i32",
    column: "i32",
    width: "i32",
    to: "i32",
    scratch: "i32",
    ...operands,
  } as const;
  return module.internal(name, parameters, (f, p) => {
    const { row, rows, inner, column, width, to, scratch } = p as ParameterLocals<Record<string, "i32">>;
    const { enterRow, term } = terms(f, p as unknown as ParameterLocals<P>);
    const bytes = f.let(width.add(3).and(-4).shl(2));
    f.fill(scratch, 0, SUM_LANES * STRIP_BYTES);
    const start = f.let(row.mul(inner).add(column).shl(2));
    const stride = f.let(inner.shl(2));
    const lane = f.i32();
    f.repeat(rows, () => {
      enterRow(row);
      const acc = f.let(scratch.add(lane));
      const offset = f.let(start);
      const end = f.let(start.add(bytes));
      f.while(offset.ne(end), () => {
        f.storeV128(acc, f32x4.add(acc.v128(), term(offset)));
        f.inc(acc, 16);
        f.inc(offset, 16);
      });
      f.inc(row, 1);
      f.inc(start, stride);
      f.set(lane, lane.add(STRIP_BYTES).and(SUM_LANES * STRIP_BYTES - 1));
    });
    f.for(0, bytes, 16, (x) => {
      const at = f.let(scratch.add(x));
      let lanes = range(SUM_LANES).map((l) => at.v128(l * STRIP_BYTES));
      for (let half = SUM_LANES / 2; half >= 1; half /= 2) {
        lanes = range(half).map((l) => f.let(f32x4.add(lanes[l], lanes[l + half])));
      }
      f.storeV128(to.add(x), lanes[0]);
    });
  });
}

/** The pairwise tree over `count` strips, in place; the result is the first strip. */
function foldBlocks(f: FunctionBuilder, strips: I32, count: I32, width: I32): void {
  const left = f.let(count);
  const bytes = f.let(width.add(3).and(-4).shl(2));
  f.while(left.gt(1), () => {
    const half = f.let(left.shrU(1));
    f.for(0, half, 1, (i) => {
      const to = f.let(strips.add(i.mul(STRIP_BYTES)));
      const pair = f.let(strips.add(i.mul(2 * STRIP_BYTES)));
      f.for(0, bytes, 16, (x) => f.storeV128(to.add(x), f32x4.add(pair.add(x).v128(), pair.add(x).v128(STRIP_BYTES))));
    });
    f.if(left.and(1), () =>
      f.copy(strips.add(half.mul(STRIP_BYTES)), strips.add(left.sub(1).mul(STRIP_BYTES)), STRIP_BYTES),
    );
    f.set(left, half.add(left.and(1)));
  });
}
