/** Packing: panels of a matrix copied so that the tile kernel reads them front to back. */

import type { FunctionBuilder, FunctionRef, ModuleBuilder } from "../assembler.js";
import { type I32, range, type V128 } from "../values.js";
import { v128 } from "../vectors.js";
import { ZERO } from "./tile.js";

const packParameters = { from: "i32", stride: "i32", k: "i32", width: "i32", to: "i32" } as const;

/**
 * Defines `pack(from, strideWidth, strideK, k, width, to)`: a panel of up to `W` rows (or columns) becomes `to[k][W]`,
 * missing ones zero, each k `pitch` floats after the one before. One of the two strides (bytes) is that of neighbours, 4.
 */
export function definePack(module: ModuleBuilder, W: number, pitch = W): FunctionRef {
  const neighbours = definePackNeighbours(module, W, pitch);
  const transposed = definePackTransposed(module, W, pitch);
  const parameters = { from: "i32", strideW: "i32", strideK: "i32", k: "i32", width: "i32", to: "i32" } as const;
  return module.internal(`pack${W}`, parameters, (f, { from, strideW, strideK, k, width, to }) => {
    f.if(
      strideW.eq(4),
      () => f.call(neighbours, from, strideK, k, width, to),
      () => f.call(transposed, from, strideW, k, width, to),
    );
  });
}

/** The panel's rows are neighbours in memory: copy W floats per k. */
function definePackNeighbours(module: ModuleBuilder, W: number, pitch: number): FunctionRef {
  return module.internal(`pack${W}neighbours`, packParameters, (f, { from, stride, k, width, to }) => {
    const next = () => {
      f.inc(from, stride);
      f.inc(to, 4 * pitch);
    };
    f.if(
      width.eq(W),
      () =>
        f.repeat(k, () => {
          let x = 0;
          for (; x + 4 <= W; x += 4) f.storeV128(to, from.v128(4 * x), 4 * x);
          for (; x < W; x++) f.storeF32(to, from.f32(4 * x), 4 * x);
          next();
        }),
      () =>
        f.repeat(k, () => {
          for (const x of range(W)) f.if(width.gt(x), () => f.storeF32(to, from.f32(4 * x), 4 * x), zero(f, to, x));
          next();
        }),
    );
  });
}

const zero = (f: FunctionBuilder, to: I32, x: number) => () => f.storeF32(to, ZERO, 4 * x);

/** k is the neighbour: 4 x 4 blocks are transposed in registers. */
function definePackTransposed(module: ModuleBuilder, W: number, pitch: number): FunctionRef {
  return module.internal(`pack${W}transposed`, packParameters, (f, { from, stride, k, width, to }) => {
    const left = f.let(k);
    f.if(width.eq(W), () => {
      const row = range(W).map((x) => f.let(from.add(stride.mul(x))));
      f.while(left.ge(4), () => {
        const put = (step: number, x: number, value: V128) => f.storeV128(to, value, 4 * (step * pitch + x));
        let x = 0;
        for (; x + 4 <= W; x += 4) {
          const columns = transpose(
            f,
            row.slice(x, x + 4).map((p) => p.v128()),
          );
          for (const step of range(4)) put(step, x, columns[step]);
        }
        for (; x < W; x++) {
          const values = f.let(row[x].v128());
          for (const step of range(4)) f.storeLane(4, to, values, step, 4 * (step * pitch + x));
        }
        for (const p of row) f.inc(p, 16);
        f.inc(from, 16);
        f.inc(to, 16 * pitch);
        f.inc(left, -4);
      });
    });
    f.repeat(left, () => {
      const source = f.let(from);
      for (const x of range(W)) {
        f.if(width.gt(x), () => f.storeF32(to, source.f32(), 4 * x), zero(f, to, x));
        f.inc(source, stride);
      }
      f.inc(from, 4);
      f.inc(to, 4 * pitch);
    });
  });
}

/** The columns of a 4 x 4 block given by its rows. */
export function transpose(f: FunctionBuilder, rows: V128[]): V128[] {
  const [a, b, c, d] = rows.map((row) => f.let(row));
  const abLow = f.let(v128.shuffle(a, b, 0, 4, 1, 5));
  const abHigh = f.let(v128.shuffle(a, b, 2, 6, 3, 7));
  const cdLow = f.let(v128.shuffle(c, d, 0, 4, 1, 5));
  const cdHigh = f.let(v128.shuffle(c, d, 2, 6, 3, 7));
  return [
    v128.shuffle(abLow, cdLow, 0, 1, 4, 5),
    v128.shuffle(abLow, cdLow, 2, 3, 6, 7),
    v128.shuffle(abHigh, cdHigh, 0, 1, 4, 5),
    v128.shuffle(abHigh, cdHigh, 2, 3, 6, 7),
  ];
}
