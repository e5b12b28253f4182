/**
 * What both passes of attention share. Scores live in a scratch block [queries][64], one key tile wide. A causal block
 * is a staircase: row r has `count(r) = min(available, own + r * step)` keys of the tile, and no chain may see others.
 * Products over the staircase do the common part as full tiles and each row's own rest by itself.
 */

import { KEY_TILE } from "../../kernels.js";
import type { FunctionBuilder, FunctionRef, ModuleBuilder } from "../assembler.js";
import { definePack } from "../gemm/pack.js";
import { defineTile, dispatch, type LayoutA, type TileShape, tileColumns } from "../gemm/tile.js";
import { type I32, range } from "../values.js";

/** Bytes of one row of scores. */
export const SCORE_ROW = 4 * KEY_TILE;

/** Queries that are worked on together. */
export const queryBlock = (shape: TileShape): number => 8 * shape.rows;

export interface AttentionTiles {
  /** packKeys(from, strideRow, dim, keys, to): all rows as panels, [keys / columns][dim][columns] for the columns of a tile. */
  packRows: FunctionRef;
  /** scores(rows, available, own, step, a, strideA, panels, dim, to): to[r][j] = chain over d of a[r][d] * panel. */
  scores: FunctionRef;
  /** rowProduct(rows, available, own, step, scores, b, strideB, c, strideC): c[r] += sum over j of scores[r][j] * b[j]. */
  rowProduct: FunctionRef;
  /** columnProduct(…): c[j] += sum over r of scores[r][j] * b[r]. */
  columnProduct: FunctionRef;
}

const staircase = { rows: "i32", available: "i32", own: "i32", step: "i32" } as const;
const productParameters = {
  ...staircase,
  scores: "i32",
  b: "i32",
  strideB: "i32",
  c: "i32",
  strideC: "i32",
} as const;

type Staircase = { readonly [K in keyof typeof staircase]: I32 };

/** Keys that row `r` has, 0 or more. */
export const countOf = (f: FunctionBuilder, { available, own, step }: Omit<Staircase, "rows">, r: I32): I32 => {
  const count = f.let(own.add(r.mul(step)));
  f.set(count, count.min(available));
  f.set(count, count.max(0));
  return count;
};

export function defineAttentionTiles(module: ModuleBuilder, shape: TileShape): AttentionTiles {
  const { rows: most, vectors } = shape;
  const columns = tileColumns(shape);
  const pack = definePack(module, columns);
  const tiles = (layout: LayoutA) =>
    range(vectors).map((v) =>
      range(most).map((r) =>
        defineTile(module, layout, { ...shape, rows: r + 1, vectors: v + 1 }, `tile${r + 1}x${4 * v + 4}${layout}`),
      ),
    );
  const byRow = tiles("row");
  const byColumn = tiles("column");

  /** A strip of outputs: `height` rows (at most a tile's) by `strideC` bytes, which are whole vectors. */
  const defineStrip = (name: string, set: FunctionRef[][]) =>
    module.internal(
      name,
      { height: "i32", k: "i32", a: "i32", strideA: "i32", b: "i32", strideB: "i32", c: "i32", strideC: "i32" },
      (f, { height, k, a, strideA, b, strideB, c, strideC }) => {
        f.if(k.gt(0), () => {
          f.for(0, strideC, 4 * columns, (x) => {
            const vectorsLeft = f.let(strideC.sub(x).shrU(4).min(vectors));
            dispatch(f, vectorsLeft, vectors, (v) =>
              dispatch(f, height, most, (r) =>
                f.call(set[v - 1][r - 1], k, a, strideA, b.add(x), strideB, c.add(x), strideC, 1),
              ),
            );
          });
        });
      },
    );
  const rowStrip = defineStrip("rowStrip", byRow);
  const columnStrip = defineStrip("columnStrip", byColumn);

  const packRows = module.internal(
    "packRows",
    { from: "i32", stride: "i32", dim: "i32", count: "i32", to: "i32" },
    (f, { from, stride, dim, count, to }) => {
      f.for(0, count, columns, (j) => {
        f.call(pack, from.add(j.mul(stride)), stride, 4, dim, f.let(count.sub(j).min(columns)), to);
        f.inc(to, dim.mul(4 * columns));
      });
    },
  );

  const scores = module.internal(
    "scores",
    { ...staircase, a: "i32", strideA: "i32", panels: "i32", dim: "i32", to: "i32" },
    (f, { rows, available, own, step, a, strideA, panels, dim, to }) => {
      const panelBytes = f.let(dim.mul(4 * columns));
      f.for(0, rows, most, (i) => {
        const height = f.let(rows.sub(i).min(most));
        const needed = countOf(f, { available, own, step }, f.let(i.add(height).sub(1)));
        const panel = f.let(panels);
        const out = f.let(to.add(i.mul(SCORE_ROW)));
        const from = f.let(a.add(i.mul(strideA)));
        f.for(0, needed, columns, () => {
          dispatch(f, height, most, (r) =>
            f.call(byRow[vectors - 1][r - 1], dim, from, strideA, panel, 4 * columns, out, SCORE_ROW, 0),
          );
          f.inc(panel, panelBytes);
          f.inc(out, 4 * columns);
        });
      });
    },
  );

  const rowProduct = module.internal("rowProduct", productParameters, (f, p) => {
    f.for(0, p.rows, most, (i) => {
      const height = f.let(p.rows.sub(i).min(most));
      const common = countOf(f, p, i);
      const a = f.let(p.scores.add(i.mul(SCORE_ROW)));
      const c = f.let(p.c.add(i.mul(p.strideC)));
      f.call(rowStrip, height, common, a, SCORE_ROW, p.b, p.strideB, c, p.strideC);
      f.if(p.step, () =>
        f.for(1, height, 1, (r) => {
          const rest = f.let(countOf(f, p, f.let(i.add(r))).sub(common));
          const from = a.add(r.mul(SCORE_ROW)).add(common.shl(2));
          const b = p.b.add(common.mul(p.strideB));
          f.call(rowStrip, 1, rest, from, SCORE_ROW, b, p.strideB, c.add(r.mul(p.strideC)), p.strideC);
        }),
      );
    });
  });

  const columnProduct = module.internal("columnProduct", productParameters, (f, p) => {
    /** The first row that has key j: own + r > j. */
    const firstRow = (j: I32) => {
      const first = f.let(p.step.select(j.add(1).sub(p.own), 0));
      f.set(first, first.max(0));
      f.set(first, first.min(p.rows));
      return first;
    };
    f.for(0, p.available, most, (j) => {
      const height = f.let(p.available.sub(j).min(most));
      const start = firstRow(f.let(j.add(height).sub(1)));
      const a = f.let(p.scores.add(j.shl(2)));
      const c = f.let(p.c.add(j.mul(p.strideC)));
      f.if(p.step, () =>
        f.for(0, height.sub(1), 1, (x) => {
          const first = firstRow(f.let(j.add(x)));
          const from = a.add(first.mul(SCORE_ROW)).add(x.shl(2));
          const b = p.b.add(first.mul(p.strideB));
          const to = c.add(x.mul(p.strideC));
          f.call(columnStrip, 1, start.sub(first), from, SCORE_ROW, b, p.strideB, to, p.strideC);
        }),
      );
      const from = a.add(start.mul(SCORE_ROW));
      const b = p.b.add(start.mul(p.strideB));
      f.call(columnStrip, height, p.rows.sub(start), from, SCORE_ROW, b, p.strideB, c, p.strideC);
    });
  });

  return { packRows, scores, rowProduct, columnProduct };
}
