/** Gradient of attention: the order of reference/attention-backward.ts. Threads take (batch, key head) pairs. */

import { expNonPositive } from "../../../core/functions.js";
import { type AttentionLayout, KEY_TILE, type Operand } from "../../kernels.js";
import type { FunctionRef, ModuleBuilder } from "../assembler.js";
import type { Engine } from "../engine.js";
import { type TileShape, tileColumns } from "../gemm/tile.js";
import type { F32, I32 } from "../values.js";
import { f32x4 } from "../vectors.js";
import { commonArguments, commonParameters, headAt, paddedDim } from "./attention-call.js";
import { countOf, defineAttentionTiles, queryBlock, SCORE_ROW } from "./attention-tiles.js";
import { copyBytes } from "./copy.js";
import { addressOf } from "./operands.js";
import { vectorFunction } from "./program.js";
import { rowScratch, sumRow, termsOf } from "./rows.js";
import { runRows } from "./run.js";

const SUM_SCRATCH = 512;

export function attentionBackward(
  engine: Engine,
  q: Operand,
  k: Operand,
  v: Operand,
  output: Operand,
  lse: Operand,
  grad: Operand,
  dQ: Operand,
  dK: Operand,
  dV: Operand,
  layout: AttentionLayout,
): void {
  const { batch, heads, kvHeads, queries, keys, dim } = layout;
  const shape = engine.tile;
  const { attentionBackward: kernel } = engine.family("attention backward", (module) =>
    defineAttentionBackward(module, shape),
  );
  const block = queryBlock(shape);
  const row = 4 * paddedDim(dim);
  const columns = tileColumns(shape);
  const panels = 4 * Math.ceil(keys / columns) * columns * dim;
  const sums = Math.max(SUM_SCRATCH, rowScratch(dim));
  runRows(engine, kernel, {
    rows: batch * kvHeads,
    args: [
      ...commonArguments(layout, { q, k, v, out: output, lse }),
      addressOf(grad) + 4 * layout.out.offset,
      addressOf(dQ) + 4 * layout.q.offset,
      addressOf(dK) + 4 * layout.k.offset,
      addressOf(dV) + 4 * layout.v.offset,
      sums,
      0,
    ],
    // p and ds of a block, its D and dQ; panels of K and V; dK and dV of the head.
    scratchBytes: sums + block * (2 * SCORE_ROW + 4 + row) + 2 * panels + 2 * keys * row + 64,
    cost: (batch * heads * queries * keys * dim) / 3,
  });
}

function defineAttentionBackward(module: ModuleBuilder, shape: TileShape): void {
  const tiles = defineAttentionTiles(module, shape);
  const scoreGradients = defineScoreGradients(module, shape.fused);
  const rowDots = defineRowDots(module);
  const copyRows = defineCopyRows(module);
  const block = queryBlock(shape);
  const parameters = {
    ...commonParameters,
    grad: "i32",
    dQ: "i32",
    dK: "i32",
    dV: "i32",
    sums: "i32",
    scratch: "i32",
  } as const;
  module.export("attentionBackward", parameters, (f, locals) => {
    const p = locals as Record<string, I32>;
    const scale = (locals as Record<string, unknown>).scale as F32;
    const rowBytes = f.let(p.dim.add(3).and(-4).shl(2));
    const columns = tileColumns(shape);
    const panelBytes = f.let(
      p.keys
        .add(columns - 1)
        .and(-columns)
        .mul(p.dim)
        .shl(2),
    );
    const dots = f.let(p.scratch.add(p.sums));
    const probabilities = f.let(dots.add(4 * block));
    const gradients = f.let(probabilities.add(block * SCORE_ROW));
    const dQ = f.let(gradients.add(block * SCORE_ROW));
    const panelsK = f.let(dQ.add(rowBytes.mul(block)));
    const panelsV = f.let(panelsK.add(panelBytes));
    const dK = f.let(panelsV.add(panelBytes));
    const dV = f.let(dK.add(p.keys.mul(rowBytes)));
    const panelTile = f.let(p.dim.mul(SCORE_ROW));
    const group = f.let(p.heads.divU(p.kvHeads));
    f.for(p.start, p.end, 1, (unit) => {
      const batch = f.let(unit.divU(p.kvHeads));
      const kvHead = f.let(unit.remU(p.kvHeads));
      const [k, v] = [headAt(f, p, "k", batch, kvHead), headAt(f, p, "v", batch, kvHead)];
      f.call(tiles.packRows, k, p.kRow, p.dim, p.keys, panelsK);
      f.call(tiles.packRows, v, p.vRow, p.dim, p.keys, panelsV);
      f.fill(dK, 0, p.keys.mul(rowBytes).shl(1));
      f.for(kvHead.mul(group), kvHead.mul(group).add(group), 1, (head) => {
        const [q, out] = [headAt(f, p, "q", batch, head), headAt(f, p, "out", batch, head)];
        const [grad, toQ] = [headAt(f, p, "out", batch, head, p.grad), headAt(f, p, "q", batch, head, p.dQ)];
        const lse = f.let(p.lse.add(batch.mul(p.heads).add(head).mul(p.queries).shl(2)));
        f.for(0, p.queries, block, (t) => {
          const rows = f.let(p.queries.sub(t).min(block));
          const limit = f.let(p.causal.select(t.add(1).add(p.keys).sub(p.queries), p.keys));
          const last = f.let(limit.add(p.causal.mul(rows.sub(1))).min(p.keys));
          const qBlock = f.let(q.add(t.mul(p.qRow)));
          const gradBlock = f.let(grad.add(t.mul(p.outRow)));
          f.call(rowDots, rows, gradBlock, out.add(t.mul(p.outRow)), p.outRow, p.dim, dots, p.scratch);
          f.fill(dQ, 0, rows.mul(rowBytes));
          const tile = f.i32();
          f.for(0, last, KEY_TILE, (first) => {
            const available = f.let(p.keys.sub(first).min(KEY_TILE));
            const stairs = [rows, available, f.let(limit.sub(first)), p.causal];
            f.call(tiles.scores, ...stairs, qBlock, p.qRow, panelsK.add(tile), p.dim, probabilities);
            f.call(tiles.scores, ...stairs, gradBlock, p.outRow, panelsV.add(tile), p.dim, gradients);
            f.call(scoreGradients, ...stairs, probabilities, gradients, scale, lse.add(t.shl(2)), dots);
            f.call(tiles.rowProduct, ...stairs, gradients, k.add(first.mul(p.kRow)), p.kRow, dQ, rowBytes);
            const offset = f.let(first.mul(rowBytes));
            f.call(tiles.columnProduct, ...stairs, gradients, qBlock, p.qRow, dK.add(offset), rowBytes);
            f.call(tiles.columnProduct, ...stairs, probabilities, gradBlock, p.outRow, dV.add(offset), rowBytes);
            f.inc(tile, panelTile);
          });
          f.call(copyRows, rows, p.dim, dQ, rowBytes, toQ.add(t.mul(p.qRow)), p.qRow);
        });
      });
      const [toK, toV] = [headAt(f, p, "k", batch, kvHead, p.dK), headAt(f, p, "v", batch, kvHead, p.dV)];
      f.call(copyRows, p.keys, p.dim, dK, rowBytes, toK, p.kRow);
      f.call(copyRows, p.keys, p.dim, dV, rowBytes, toV, p.vRow);
    });
  });
}

/** p = exp(s * scale - lse) and ds = (p * (dp - D)) * scale, in place of s and dp. */
function defineScoreGradients(module: ModuleBuilder, fused: boolean): FunctionRef {
  const parameters = {
    rows: "i32",
    available: "i32",
    own: "i32",
    step: "i32",
    scores: "i32",
    gradients: "i32",
    scale: "f32",
    lse: "i32",
    dots: "i32",
  } as const;
  return module.internal("scoreGradients", parameters, (f, p) => {
    const exp = vectorFunction(f, expNonPositive, fused);
    const scale = f.let(p.scale.splat());
    f.for(0, p.rows, 1, (r) => {
      const bytes = f.let(countOf(f, p, r).add(3).and(-4).shl(2));
      const scores = f.let(p.scores.add(r.mul(SCORE_ROW)));
      const gradients = f.let(p.gradients.add(r.mul(SCORE_ROW)));
      const lse = f.let(p.lse.add(r.shl(2)).splat());
      const dot = f.let(p.dots.add(r.shl(2)).splat());
      f.for(0, bytes, 16, (x) => {
        const probability = exp(f32x4.sub(f32x4.mul(scores.add(x).v128(), scale), lse));
        f.storeV128(scores.add(x), probability);
        const change = f32x4.mul(probability, f32x4.sub(gradients.add(x).v128(), dot));
        f.storeV128(gradients.add(x), f32x4.mul(change, scale));
      });
    });
  });
}

/** to[r] = the canonical sum over d of a[r][d] * b[r][d]; both have one row stride. */
function defineRowDots(module: ModuleBuilder): FunctionRef {
  const parameters = {
    rows: "i32",
    a: "i32",
    b: "i32",
    stride: "i32",
    dim: "i32",
    to: "i32",
    scratch: "i32",
  } as const;
  return module.internal("rowDots", parameters, (f, { rows, a, b, stride, dim, to, scratch }) => {
    const bytes = f.let(dim.shl(2));
    f.repeat(rows, () => {
      const [x, y] = [f.let(a), f.let(b)];
      const [sum] = sumRow(
        f,
        [x, y],
        [],
        bytes,
        scratch,
        1,
        termsOf(({ load }) => [f32x4.mul(load(x), load(y))]),
      );
      f.storeF32(to, sum);
      f.inc(a, stride);
      f.inc(b, stride);
      f.inc(to, 4);
    });
  });
}

/** Copies rows of `dim` floats between two row strides. */
function defineCopyRows(module: ModuleBuilder): FunctionRef {
  const parameters = { rows: "i32", dim: "i32", from: "i32", strideFrom: "i32", to: "i32", strideTo: "i32" } as const;
  return module.internal("copyRows", parameters, (f, { rows, dim, from, strideFrom, to, strideTo }) => {
    const bytes = f.let(dim.shl(2));
    f.repeat(rows, () => {
      copyBytes(f, to, from, bytes, 4);
      f.inc(from, strideFrom);
      f.inc(to, strideTo);
    });
  });
}
