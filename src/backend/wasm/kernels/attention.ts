/** Attention, forward: the tiles and the order of reference/attention.ts. Threads take (batch, head) pairs. */

import { expNonPositive, log } from "../../../core/functions.js";
import { type AttentionLayout, KEY_TILE, type Operand } from "../../kernels.js";
import type { FunctionRef, ModuleBuilder } from "../assembler.js";
import type { Engine } from "../engine.js";
import { type TileShape, tileColumns } from "../gemm/tile.js";
import { F32, type I32, range } from "../values.js";
import { f32x4, i32x4, v128 } from "../vectors.js";
import { commonArguments, commonParameters, headAt, paddedDim } from "./attention-call.js";
import { countOf, defineAttentionTiles, queryBlock, SCORE_ROW } from "./attention-tiles.js";
import { vectorFunction } from "./program.js";
import { foldFour, foldLanes, scalarFunction } from "./rows.js";
import { runRows } from "./run.js";

export function attention(
  engine: Engine,
  q: Operand,
  k: Operand,
  v: Operand,
  output: Operand,
  lse: Operand,
  layout: AttentionLayout,
): void {
  const { batch, heads, queries, keys, dim } = layout;
  const shape = engine.tile;
  const { attention: kernel } = engine.family("attention", (module) => defineAttention(module, shape));
  const columns = tileColumns(shape);
  const panels = 4 * Math.ceil(keys / columns) * columns * dim;
  const block = queryBlock(shape);
  runRows(engine, kernel, {
    rows: batch * heads,
    args: [...commonArguments(layout, { q, k, v, out: output, lse }), 0],
    // Panels of K, then for a block of queries: scores, outputs, and (m, l) of each.
    scratchBytes: panels + block * (SCORE_ROW + 4 * paddedDim(dim) + 8) + 64,
    // A head begins at about 2 us; packing its keys costs as much as two queries.
    cost: batch * heads * (2000 + ((queries + 2) * keys * dim) / 8),
  });
}

function defineAttention(module: ModuleBuilder, shape: TileShape): void {
  const tiles = defineAttentionTiles(module, shape);
  const softmaxRows = defineSoftmaxRows(module, shape.fused);
  const finishRows = defineFinishRows(module, shape.fused);
  const block = queryBlock(shape);
  const parameters = { ...commonParameters, scratch: "i32" } as const;
  module.export("attention", parameters, (f, locals) => {
    const p = locals as Record<string, I32>;
    const scale = (locals as Record<string, unknown>).scale as F32;
    const rowO = f.let(p.dim.add(3).and(-4).shl(2));
    const scores = f.let(p.scratch);
    const o = f.let(scores.add(block * SCORE_ROW));
    const state = f.let(o.add(rowO.mul(block)));
    const panels = f.let(state.add(8 * block));
    const panelTile = f.let(p.dim.mul(SCORE_ROW));
    f.for(p.start, p.end, 1, (unit) => {
      const batch = f.let(unit.divU(p.heads));
      const head = f.let(unit.remU(p.heads));
      const kvHead = f.let(head.mul(p.kvHeads).divU(p.heads));
      const [q, out] = [headAt(f, p, "q", batch, head), headAt(f, p, "out", batch, head)];
      const [k, v] = [headAt(f, p, "k", batch, kvHead), headAt(f, p, "v", batch, kvHead)];
      f.call(tiles.packRows, k, p.kRow, p.dim, p.keys, panels);
      f.for(0, p.queries, block, (t) => {
        const rows = f.let(p.queries.sub(t).min(block));
        // The limit of the block's first query, and of its last.
        const limit = f.let(p.causal.select(t.add(1).add(p.keys).sub(p.queries), p.keys));
        const last = f.let(limit.add(p.causal.mul(rows.sub(1))).min(p.keys));
        f.fill(o, 0, rows.mul(rowO));
        f.for(0, rows, 1, (r) => {
          f.storeF32(state.add(r.shl(3)), F32.const(Number.NEGATIVE_INFINITY));
          f.storeF32(state.add(r.shl(3)), F32.const(0), 4);
        });
        const panel = f.let(panels);
        f.for(0, last, KEY_TILE, (first) => {
          const available = f.let(p.keys.sub(first).min(KEY_TILE));
          const stairs = [rows, available, f.let(limit.sub(first)), p.causal];
          f.call(tiles.scores, ...stairs, q.add(t.mul(p.qRow)), p.qRow, panel, p.dim, scores);
          f.call(softmaxRows, ...stairs, scores, scale, state, o, rowO);
          f.call(tiles.rowProduct, ...stairs, scores, v.add(first.mul(p.vRow)), p.vRow, o, rowO);
          f.inc(panel, panelTile);
        });
        const lse = p.lse.add(unit.mul(p.queries).add(t).shl(2));
        f.call(finishRows, rows, p.dim, o, rowO, state, out.add(t.mul(p.outRow)), p.outRow, lse);
      });
    });
  });
}

/**
 * One key tile of the online softmax for a block of queries: scores become p, (m, l) move on, o is scaled by alpha.
 * Rows without keys in this tile are left alone.
 */
function defineSoftmaxRows(module: ModuleBuilder, fused: boolean): FunctionRef {
  const parameters = {
    rows: "i32",
    available: "i32",
    own: "i32",
    step: "i32",
    scores: "i32",
    scale: "f32",
    state: "i32",
    o: "i32",
    rowO: "i32",
  } as const;
  return module.internal("softmaxRows", parameters, (f, p) => {
    const exp = vectorFunction(f, expNonPositive, fused);
    const scale = f.let(p.scale.splat());
    const lowest = f.let(f32x4.const(Number.NEGATIVE_INFINITY));
    f.for(0, p.rows, 1, (r) => {
      const count = countOf(f, p, r);
      f.if(count.gt(0), () => {
        const start = f.let(p.scores.add(r.mul(SCORE_ROW)));
        // Whole groups of sixteen; scores past the count become -infinity, so their p is 0.
        const end = f.let(start.add(count.add(15).and(-16).shl(2)));
        const at = f.let(start);
        const left = f.let(i32x4.splat(count));
        const largest = f.let(p.state.splat());
        const old = f.let(p.state.f32());
        f.while(at.ne(end), () => {
          for (const q of range(4)) {
            const mask = i32x4.gtS(left, i32x4.consts(4 * q, 4 * q + 1, 4 * q + 2, 4 * q + 3));
            const s = f.let(v128.bitselect(f32x4.mul(at.v128(16 * q), scale), lowest, mask));
            f.storeV128(at, s, 16 * q);
            f.set(largest, f32x4.pmax(largest, s));
          }
          f.set(left, i32x4.sub(left, i32x4.const(16)));
          f.inc(at, 64);
        });
        f.set(largest, foldFour(f, largest, f32x4.pmax));
        const next = f.let(f32x4.lane(largest, 0));
        const acc = range(4).map(() => f.v128(f32x4.const(0)));
        f.set(at, start);
        f.while(at.ne(end), () => {
          for (const q of range(4)) {
            const e = exp(f32x4.sub(at.v128(16 * q), largest));
            f.storeV128(at, e, 16 * q);
            f.set(acc[q], f32x4.add(acc[q], e));
          }
          f.inc(at, 64);
        });
        const alpha = exp(old.sub(next).splat());
        f.storeF32(p.state, next);
        const total = foldLanes(f, acc);
        f.storeF32(p.state, p.state.f32(4).mul(f32x4.lane(alpha, 0)).add(total), 4);
        const o = f.let(p.o.add(r.mul(p.rowO)));
        f.for(0, p.rowO, 16, (x) => f.storeV128(o.add(x), f32x4.mul(o.add(x).v128(), alpha)));
      });
      f.inc(p.state, 8);
    });
  });
}

/** out = o / l and lse = m + log(l) for a block of queries. */
function defineFinishRows(module: ModuleBuilder, fused: boolean): FunctionRef {
  const parameters = {
    rows: "i32",
    dim: "i32",
    o: "i32",
    rowO: "i32",
    state: "i32",
    out: "i32",
    outRow: "i32",
    lse: "i32",
  } as const;
  return module.internal("finishRows", parameters, (f, { rows, dim, o, rowO, state, out, outRow, lse }) => {
    const logOf = scalarFunction(f, vectorFunction(f, log, fused));
    const bytes = f.let(dim.shl(2));
    const whole = f.let(bytes.and(-16));
    f.repeat(rows, () => {
      const l = f.let(state.f32(4));
      const divisor = f.let(l.splat());
      f.for(0, whole, 16, (x) => f.storeV128(out.add(x), f32x4.div(o.add(x).v128(), divisor)));
      f.for(whole, bytes, 4, (x) => f.storeF32(out.add(x), o.add(x).f32().div(l)));
      f.storeF32(lse, state.f32().add(logOf(l)));
      f.inc(o, rowO);
      f.inc(state, 8);
      f.inc(out, outRow);
      f.inc(lse, 4);
    });
  });
}
