/** Cross entropy of rows of logits and its gradient: the order of reference/loss.ts. */

import { expNonPositive, log } from "../../../core/functions.js";
import type { Operand } from "../../backend.js";
import { checkIndices } from "../../indices.js";
import type { FunctionRef, ModuleBuilder } from "../assembler.js";
import type { Engine } from "../engine.js";
import { F32 } from "../values.js";
import { f32x4 } from "../vectors.js";
import { addressOf } from "./operands.js";
import { vectorFunction, vectorsFunction } from "./program.js";
import { maxRow, rowAt, rowScratch, SUM_BLOCK, scalarFunction, sumRow, sumTree, walkRow } from "./rows.js";
import { runRows } from "./run.js";

interface Rows {
  readonly rows: number;
  readonly size: number;
  readonly ignoreIndex: number;
}

const parameters = {
  row0: "i32",
  row1: "i32",
  logits: "i32",
  labels: "i32",
  losses: "i32",
  lse: "i32",
  grad: "i32",
  dLogits: "i32",
  size: "i32",
  ignoreIndex: "i32",
  /** The class of the first column of the logits. */
  first: "i32",
  scratch: "i32",
} as const;

const BLOCK_BYTES = 4 * SUM_BLOCK;
const LOWEST = -3.4028234663852886e38;

/** Blocks of a row, at least one. */
export const blocksOf = (size: number): number => Math.max(1, Math.ceil(size / SUM_BLOCK));

/** What `logSumExp` of reference/loss.ts is made of. */
export interface LogSumExp {
  /** block(from, bytes, most, total, scratch): the largest element of a block, and the sum of exp(x - largest). */
  block: FunctionRef;
  /** combine(most, blocks): the result of a row from those of its blocks, whose totals follow; overwrites them. */
  combine: FunctionRef;
}

export function defineLogSumExp(module: ModuleBuilder, fused: boolean): LogSumExp {
  const block = module.internal(
    "block",
    { from: "i32", bytes: "i32", most: "i32", total: "i32", scratch: "i32" },
    (f, { from, bytes, most, total, scratch }) => {
      const exp = vectorsFunction(f, expNonPositive, fused);
      const largest = f.let(maxRow(f, from, bytes, scratch).max(LOWEST));
      f.storeF32(most, largest);
      const lanes = f.let(largest.splat());
      const [sum] = sumRow(f, [from], [], bytes, scratch, 1, (quarters) =>
        exp(quarters.map(({ load }) => f32x4.sub(load(from), lanes))).map((e) => [e]),
      );
      f.storeF32(total, sum);
    },
  );
  const combine = module.internal(
    "combine",
    { most: "i32", blocks: "i32" },
    (f, { most, blocks }) => {
      const exp = scalarFunction(f, vectorFunction(f, expNonPositive, fused));
      const logOf = scalarFunction(f, vectorFunction(f, log, fused));
      const end = f.let(blocks.shl(2));
      const totals = f.let(most.add(end));
      const largest = f.f32(LOWEST);
      f.for(0, end, 4, (at) => f.set(largest, largest.max(most.add(at).f32())));
      f.for(0, end, 4, (at) => {
        const share = exp(most.add(at).f32().sub(largest));
        f.storeF32(totals.add(at), totals.add(at).f32().mul(share));
      });
      f.return(largest.add(logOf(sumTree(f, totals, blocks))));
    },
    "f32",
  );
  return { block, combine };
}

function define(module: ModuleBuilder, fused: boolean): void {
  const { block, combine } = defineLogSumExp(module, fused);
  module.export("forward", parameters, (f, { row0, row1, logits, labels, losses, lse, size, ignoreIndex, scratch }) => {
    const bytes = f.let(size.shl(2));
    const blocks = f.let(
      size
        .add(SUM_BLOCK - 1)
        .divU(SUM_BLOCK)
        .max(1),
    );
    const results = f.let(scratch.add(rowScratch(SUM_BLOCK)));
    f.for(row0, row1, 1, (row) => {
      const start = rowAt(f, logits, row, bytes);
      const [from, left, to] = [f.let(start), f.let(bytes), f.let(results)];
      f.doWhile(left.gt(0), () => {
        f.call(block, from, left.min(BLOCK_BYTES), to, to.add(blocks.shl(2)), scratch);
        f.inc(from, BLOCK_BYTES);
        f.inc(left, -BLOCK_BYTES);
        f.inc(to, 4);
      });
      const result = f.let(f.callF32(combine, results, blocks));
      const at = f.let(row.shl(2));
      f.storeF32(lse.add(at), result);
      const label = f.let(labels.add(at).i32());
      f.if(
        label.eq(ignoreIndex),
        () => f.storeF32(losses.add(at), F32.const(0)),
        () => f.storeF32(losses.add(at), result.sub(start.add(label.shl(2)).f32())),
      );
    });
  });
  module.export(
    "backward",
    parameters,
    (f, { row0, row1, logits, labels, lse, grad, dLogits, size, ignoreIndex, first, scratch }) => {
      const exp = vectorsFunction(f, expNonPositive, fused);
      const bytes = f.let(size.shl(2));
      f.for(row0, row1, 1, (row) => {
        const to = rowAt(f, dLogits, row, bytes);
        const label = f.let(labels.add(row.shl(2)).i32());
        f.if(
          label.eq(ignoreIndex),
          () => f.fill(to, 0, bytes),
          () => {
            const from = rowAt(f, logits, row, bytes);
            const shift = f.let(lse.add(row.shl(2)).f32());
            const factor = f.let(grad.add(row.shl(2)).f32());
            const [shiftLanes, factorLanes] = [f.let(shift.splat()), f.let(factor.splat())];
            // Computed before the walk, which may write over the logits; the label may lie in other columns.
            const column = f.let(label.sub(first));
            const here = f.let(column.ltU(size));
            const own = f.f32();
            f.if(here, () =>
              f.set(own, f32x4.lane(exp([f32x4.sub(from.add(column.shl(2)).splat(), shiftLanes)])[0], 0)),
            );
            const out = f.let(to);
            walkRow(f, [from, out], [out], bytes, scratch, (quarters) => {
              const es = exp(quarters.map(({ load }) => f32x4.sub(load(from), shiftLanes)));
              for (const [k, { store }] of quarters.entries()) store(out, f32x4.mul(es[k], factorLanes));
            });
            f.if(here, () => f.storeF32(to.add(column.shl(2)), own.sub(1).mul(factor)));
          },
        );
      });
    },
  );
}

const family = (engine: Engine) => engine.family("cross entropy", (module) => define(module, engine.fused));

export function checkLabels(engine: Engine, labels: Operand, { size, ignoreIndex }: Omit<Rows, "rows">): void {
  const start = addressOf(labels) >>> 2;
  checkIndices("crossEntropy", engine.memory.i32.subarray(start, start + labels.size), size, ignoreIndex);
}

export function crossEntropy(
  engine: Engine,
  logits: Operand,
  labels: Operand,
  losses: Operand,
  lse: Operand,
  shape: Rows,
): void {
  checkLabels(engine, labels, shape);
  const { rows, size, ignoreIndex } = shape;
  const operands = [logits, labels, losses, lse].map(addressOf);
  runRows(engine, family(engine).forward, {
    rows,
    args: [0, 0, ...operands, 0, 0, size, ignoreIndex, 0, 0],
    scratchBytes: rowScratch(SUM_BLOCK) + 8 * blocksOf(size),
    cost: rows * size,
  });
}

export function crossEntropyBackward(
  engine: Engine,
  logits: Operand,
  labels: Operand,
  lse: Operand,
  grad: Operand,
  dLogits: Operand,
  { rows, size, ignoreIndex }: Rows,
): void {
  const [x, own, total, g, dx] = [logits, labels, lse, grad, dLogits].map(addressOf);
  logitGradients(engine, {
    logits: x,
    labels: own,
    lse: total,
    grad: g,
    dLogits: dx,
    rows,
    size,
    ignoreIndex,
    first: 0,
  });
}

/** The gradient of `size` columns from class `first` on; addresses in bytes. May be in place. */
export function logitGradients(
  engine: Engine,
  call: Rows & { logits: number; labels: number; lse: number; grad: number; dLogits: number; first: number },
): void {
  const { logits, labels, lse, grad, dLogits, rows, size, ignoreIndex, first } = call;
  runRows(engine, family(engine).backward, {
    rows,
    args: [0, 0, logits, labels, 0, lse, grad, dLogits, size, ignoreIndex, first, 0],
    scratchBytes: rowScratch(size),
    cost: rows * size,
  });
}
