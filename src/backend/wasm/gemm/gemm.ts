/**
 * C = A B (+ bias) (+ C) for one range of matrices, rows and columns: the blocked loops around the tile kernel. Operands
 * are read where they lie or packed first, whichever the caller finds faster; the bits are the same.
 */

import type { FunctionRef, ModuleBuilder } from "../assembler.js";
import { type I32, range } from "../values.js";
import { definePack } from "./pack.js";
import { defineFinish, defineTile, dispatch, type LayoutA, type TileShape, tileColumns } from "./tile.js";

/** Parameters in order; strides in bytes, sizes in elements. */
export const gemmParameters = {
  /** Matrices, rows and columns to compute: any of the three pairs may be the divided range. */
  batch0: "i32",
  batch1: "i32",
  m0: "i32",
  m1: "i32",
  n0: "i32",
  n1: "i32",
  k: "i32",
  a: "i32",
  /** A's strides along m and along k; one of them is 4. */
  strideAM: "i32",
  strideAK: "i32",
  b: "i32",
  /** B's strides along k and along n; one of them is 4. */
  strideBK: "i32",
  strideBN: "i32",
  c: "i32",
  strideC: "i32",
  /** Bytes from one output matrix to the next. */
  matrixC: "i32",
  /** Address of pairs of byte offsets (of A, of B), one pair per output matrix; 0 for a single matrix. */
  offsets: "i32",
  /** [n] floats, or 0. */
  bias: "i32",
  accumulate: "i32",
  /** The chains go on from what C holds. */
  resume: "i32",
  /** Copy blocks of A and B into panels first; without it both are read where they lie, neighbours along k and along n. */
  pack: "i32",
  /** Where all panels of A, or of B, lie that were packed before (by `packA`, `packB`), or 0. */
  sharedA: "i32",
  sharedB: "i32",
  scratch: "i32",
  blockM: "i32",
  blockN: "i32",
  blockK: "i32",
  /** Bytes from one panel to the next. */
  panelA: "i32",
  panelB: "i32",
} as const;

/** Floats from one k to the next in a panel of A: that of B where one pointer can serve both. */
const pitchA = (shape: TileShape): number => (tileColumns(shape) === 8 ? 8 : shape.rows);

/**
 * Panels start at one place within the pages of 4 KiB, those of B half a page after those of A: reads of two streams
 * less than 512 bytes apart within a page hinder each other (measured on Zen 3: a quarter of the speed).
 */
const PAGE = 4096;
const panelBytes = (pitch: number, blockK: number): number => Math.ceil((4 * pitch * blockK) / PAGE) * PAGE;

/** Bytes from one panel of A, and of B, to the next. */
export const panelSizes = (shape: TileShape, blockK: number): [a: number, b: number] => [
  panelBytes(pitchA(shape), blockK),
  panelBytes(tileColumns(shape), blockK),
];

/** Bytes of scratch per thread for given block sizes. */
export function gemmScratch(shape: TileShape, blockM: number, blockN: number, blockK: number): number {
  const [a, b] = panelSizes(shape, blockK);
  const panels = Math.ceil(blockM / shape.rows) * a + Math.ceil(blockN / tileColumns(shape)) * b;
  return 4 * shape.rows * tileColumns(shape) + panels + 2 * PAGE;
}

/** Panels from `start` to `end` of an operand of `size` rows or columns. */
const panelParameters = {
  start: "i32",
  end: "i32",
  size: "i32",
  k: "i32",
  from: "i32",
  /** Bytes along the rows or columns, and along k. */
  stride: "i32",
  strideK: "i32",
  to: "i32",
  blockK: "i32",
  panel: "i32",
} as const;

/** Where panels begin in a block that is `panelSlack` bytes larger than they are: see `panelBytes`. */
export const panelStart = (address: number, operand: "A" | "B"): number =>
  Math.ceil(address / PAGE) * PAGE + (operand === "B" ? PAGE / 2 : 0);
export const panelSlack = 2 * PAGE;

/** Exports a kernel that packs panels of a whole operand, one block of k after the other, for several threads to use. */
function definePanels(module: ModuleBuilder, name: string, width: number, pack: FunctionRef): void {
  module.export(name, panelParameters, (f, { start, end, size, k, from, stride, strideK, to, blockK, panel }) => {
    const blockBytes = f.let(panelCount(size, width).mul(panel));
    f.for(start, end, 1, (i) => {
      const first = f.let(i.mul(width));
      const source = f.let(from.add(first.mul(stride)));
      const target = f.let(to.add(i.mul(panel)));
      f.for(0, k, blockK, (k0) => {
        const depth = k.sub(k0).min(blockK);
        f.call(pack, source.add(k0.mul(strideK)), stride, strideK, depth, f.let(size.sub(first).min(width)), target);
        f.inc(target, blockBytes);
      });
    });
  });
}

const panelCount = (size: I32, width: number): I32 => size.add(width - 1).divU(width);

/** Defines and exports `gemm`, `packA` and `packB`. */
export function defineGemm(module: ModuleBuilder, shape: TileShape): FunctionRef {
  const { rows, vectors } = shape;
  const columns = tileColumns(shape);
  const pitch = pitchA(shape);
  const packRows = definePack(module, rows, pitch);
  const packColumns = definePack(module, columns);
  definePanels(module, "packA", rows, packRows);
  definePanels(module, "packB", columns, packColumns);
  const finish = defineFinish(module);
  const tiles = (layout: LayoutA) =>
    range(vectors).map((v) =>
      range(rows).map((r) =>
        defineTile(module, layout, { ...shape, rows: r + 1, vectors: v + 1 }, `tile${r + 1}x${4 * v + 4}${layout}`),
      ),
    );
  const byPanel = tiles(pitch === columns ? "panel" : "column");
  const byRow = tiles("row");

  const tileCall = {
    k: "i32",
    a: "i32",
    strideA: "i32",
    packed: "i32",
    b: "i32",
    strideB: "i32",
    c: "i32",
    strideC: "i32",
    resume: "i32",
  } as const;

  // Full tiles one below the other, as many as there are: the loop around the loop that counts, so nothing else in it.
  const runFullTiles = module.internal(
    "runFullTiles",
    { count: "i32", stepA: "i32", ...tileCall },
    (f, { count, stepA, k, a, strideA, packed, b, strideB, c, strideC, resume }) => {
      const stepC = f.let(strideC.mul(rows));
      const loop = (tile: FunctionRef) => () =>
        f.repeat(count, () => {
          f.call(tile, k, a, strideA, b, strideB, c, strideC, resume);
          f.inc(a, stepA);
          f.inc(c, stepC);
        });
      f.if(packed, loop(byPanel[vectors - 1][rows - 1]), loop(byRow[vectors - 1][rows - 1]));
    },
  );

  // A tile that is not plain: at an edge, or with something to do after its chains.
  const runTile = module.internal(
    "runTile",
    { height: "i32", width: "i32", ...tileCall, bias: "i32", accumulate: "i32", edge: "i32" },
    (f, { height, width, k, a, strideA, packed, b, strideB, c, strideC, resume, bias, accumulate, edge }) => {
      // Columns that do not fill their vectors, and chains whose sum is added to C, are computed beside it.
      const aside = f.let(width.and(3).or(accumulate));
      const to = f.let(aside.select(edge, c));
      const strideTo = f.let(aside.select(4 * columns, strideC));
      f.if(aside, () => f.if(resume, () => f.call(finish, to, strideTo, c, strideC, height, width, 0, 0)));
      const count = f.let(width.add(3).shrU(2));
      const call = (layout: FunctionRef[][]) =>
        dispatch(f, count, vectors, (v) =>
          dispatch(f, height, rows, (r) =>
            f.call(layout[v - 1][r - 1], k, a, strideA, b, strideB, to, strideTo, resume),
          ),
        );
      f.if(
        packed,
        () => call(byPanel),
        () => call(byRow),
      );
      f.if(aside.or(bias), () => f.call(finish, c, strideC, to, strideTo, height, width, bias, accumulate));
    },
  );

  return module.export("gemm", gemmParameters, (f, p) => {
    const edge = f.let(p.scratch);
    const packedA = f.let(edge.add(4 * rows * columns + PAGE - 1).and(-PAGE));
    const packedB = f.let(packedA.add(panelCount(p.blockM, rows).mul(p.panelA)).add(PAGE / 2));
    const packA = f.let(p.pack.and(p.sharedA.eqz()));
    const packB = f.let(p.pack.and(p.sharedB.eqz()));
    f.for(p.batch0, p.batch1, 1, (batch) => {
      const a = f.let(p.a);
      const b = f.let(p.b);
      const c = f.let(p.c.add(batch.mul(p.matrixC)));
      f.if(p.offsets, () => {
        const pair = f.let(p.offsets.add(batch.shl(3)));
        f.inc(a, pair.i32());
        f.inc(b, pair.i32(4));
      });
      f.for(p.n0, p.n1, p.blockN, (j0) => {
        const width = f.let(p.n1.sub(j0).min(p.blockN));
        // One round even for k = 0, which writes the bias or zeros.
        f.for(0, p.k.max(1), p.blockK, (k0) => {
          const depth = f.let(p.k.sub(k0).min(p.blockK));
          const last = f.let(k0.add(depth).ge(p.k));
          const resume = f.let(k0.gt(0).or(p.resume));
          const addBias = f.let(last.and(p.bias.ne(0)));
          const accumulate = f.let(last.and(p.accumulate));
          const plain = f.let(addBias.or(accumulate).eqz());
          const fromB = f.let(b.add(k0.mul(p.strideBK)).add(j0.mul(p.strideBN)));
          const blockOfK = f.let(k0.divU(p.blockK));
          f.if(packB, () =>
            f.for(0, width, columns, (j) =>
              f.call(
                packColumns,
                fromB.add(j.mul(p.strideBN)),
                p.strideBN,
                p.strideBK,
                depth,
                width.sub(j).min(columns),
                packedB.add(j.divU(columns).mul(p.panelB)),
              ),
            ),
          );
          f.for(p.m0, p.m1, p.blockM, (i0) => {
            const height = f.let(p.m1.sub(i0).min(p.blockM));
            const fromA = f.let(a.add(i0.mul(p.strideAM)).add(k0.mul(p.strideAK)));
            f.if(packA, () =>
              f.for(0, height, rows, (i) =>
                f.call(
                  packRows,
                  fromA.add(i.mul(p.strideAM)),
                  p.strideAM,
                  p.strideAK,
                  depth,
                  height.sub(i).min(rows),
                  packedA.add(i.divU(rows).mul(p.panelA)),
                ),
              ),
            );
            // How a tile finds its part of A and B: packed panels, or the operand itself.
            const panelAt = (size: I32, width: number, first: I32, panel: I32) =>
              blockOfK.mul(panelCount(size, width)).add(first.divU(width)).mul(panel);
            const baseA = f.let(p.pack.select(packedA, fromA));
            const baseB = f.let(p.pack.select(packedB, fromB));
            f.if(p.sharedA, () => f.set(baseA, p.sharedA.add(panelAt(p.m1, rows, i0, p.panelA))));
            f.if(p.sharedB, () => f.set(baseB, p.sharedB.add(panelAt(p.n1, columns, j0, p.panelB))));
            const stepA = f.let(p.pack.select(p.panelA, p.strideAM.mul(rows)));
            const strideA = f.let(p.pack.select(4 * pitch, p.strideAM));
            const stepB = f.let(p.pack.select(p.panelB, 4 * columns));
            const strideB = f.let(p.pack.select(4 * columns, p.strideBK));
            f.for(0, width, columns, (j) => {
              const panelB = f.let(baseB.add(j.divU(columns).mul(stepB)));
              const w = f.let(width.sub(j).min(columns));
              const outColumn = f.let(c.add(i0.mul(p.strideC)).add(j0.add(j).shl(2)));
              const bias = f.let(addBias.select(p.bias.add(j0.add(j).shl(2)), 0));
              const full = f.let(w.eq(columns).and(plain).select(height.divU(rows), 0));
              const common = [depth, baseA, strideA, p.pack, panelB, strideB, outColumn, p.strideC, resume];
              f.call(runFullTiles, full, stepA, ...common);
              const panelA = f.let(baseA.add(full.mul(stepA)));
              f.for(full.mul(rows), height, rows, (i) => {
                const out = f.let(outColumn.add(i.mul(p.strideC)));
                const h = f.let(height.sub(i).min(rows));
                const tile = [depth, panelA, strideA, p.pack, panelB, strideB, out, p.strideC, resume];
                f.call(runTile, h, w, ...tile, bias, accumulate, edge);
                f.inc(panelA, stepA);
              });
            });
          });
        });
      });
    });
  });
}
