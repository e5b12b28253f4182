/** Cross entropy of rows of logits and its gradient: the order of reference/loss.ts. */

import { expNonPositive, log } from "../../../core/functions.js";
import { checkIndices } from "../../indices.js";
import { LOWEST, type Operand, SUM_BLOCK } from "../../kernels.js";
import type { ModuleBuilder } from "../assembler.js";
import type { Engine } from "../engine.js";
import { F32 } from "../values.js";
import { f32x4 } from "../vectors.js";
import { addressOf } from "./operands.js";
import { vectorFunction, vectorsFunction } from "./program.js";
import { maxRow, rowAt, rowScratch, scalarFunction, sumRow, sumTree, walkRow } from "./rows.js";
import { runRows, withMemory } from "./run.js";

interface LossRows {
  readonly rows: number;
  readonly size: number;
  readonly ignoreIndex: number;
}

const parameters = {
  row0: "i32",
  row1: "i32",
  logits: "i32",
  /** Bytes from one row of logits to the next. */
  stride: "i32",
  labels: "i32",
  losses: "i32",
  lse: "i32",
  grad: "i32",
  dLogits: "i32",
  size: "i32",
  ignoreIndex: "i32",
  /** The class of the first column of the logits. */
  first: "i32",
  /** For each row, the largest elements of its blocks, then their sums. */
  results: "i32",
  blocks: "i32",
  scratch: "i32",
} as const;
const order = Object.keys(parameters) as (keyof typeof parameters)[];

function define(module: ModuleBuilder, fused: boolean): void {
  // `logSumExp` of reference/loss.ts in two steps. One block of every row: its largest element and sum(exp(x - largest));
  // the logit of the label, where it is among them, waits in `losses`.
  module.export(
    "addBlock",
    parameters,
    (f, { row0, row1, logits, stride, labels, losses, size, first, results, blocks, scratch }) => {
      const exp = vectorsFunction(f, expNonPositive, fused);
      const bytes = f.let(size.shl(2));
      const index = f.let(first.divU(SUM_BLOCK));
      f.for(row0, row1, 1, (row) => {
        const from = rowAt(f, logits, row, stride);
        const column = f.let(labels.add(row.shl(2)).i32().sub(first));
        f.if(column.ltU(size), () => f.storeF32(losses.add(row.shl(2)), from.add(column.shl(2)).f32()));
        const largest = f.let(maxRow(f, from, bytes, scratch).max(LOWEST));
        const lanes = f.let(largest.splat());
        const [sum] = sumRow(f, [from], [], bytes, scratch, 1, (quarters) =>
          exp(quarters.map(({ load }) => f32x4.sub(load(from), lanes))).map((e) => [e]),
        );
        const to = f.let(results.add(row.mul(blocks).shl(1).add(index).shl(2)));
        f.storeF32(to, largest);
        f.storeF32(to.add(blocks.shl(2)), sum);
      });
    },
  );
  // Then the blocks of every row together; the sums are overwritten.
  module.export("finish", parameters, (f, { row0, row1, labels, losses, lse, ignoreIndex, results, blocks }) => {
    const exp = scalarFunction(f, vectorFunction(f, expNonPositive, fused));
    const logOf = scalarFunction(f, vectorFunction(f, log, fused));
    const bytes = f.let(blocks.shl(2));
    f.for(row0, row1, 1, (row) => {
      const most = f.let(results.add(row.mul(bytes).shl(1)));
      const sums = f.let(most.add(bytes));
      const largest = f.f32(LOWEST);
      f.for(0, bytes, 4, (at) => f.set(largest, largest.max(most.add(at).f32())));
      f.for(0, bytes, 4, (at) => {
        const share = exp(most.add(at).f32().sub(largest));
        f.storeF32(sums.add(at), sums.add(at).f32().mul(share));
      });
      const result = f.let(largest.add(logOf(sumTree(f, sums, blocks))));
      const at = f.let(row.shl(2));
      f.storeF32(lse.add(at), result);
      const loss = f.let(losses.add(at));
      f.if(
        labels.add(at).i32().eq(ignoreIndex),
        () => f.storeF32(loss, F32.const(0)),
        () => f.storeF32(loss, result.sub(loss.f32())),
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

/** Arguments of one of the kernels, by name; addresses and strides in bytes, absent ones 0. */
type Arguments = Partial<Record<Exclude<keyof typeof parameters, "row0" | "row1" | "scratch">, number>>;

function run(engine: Engine, kernel: "addBlock" | "finish" | "backward", rows: number, args: Arguments): void {
  const { size = 0, blocks = 0 } = args;
  runRows(engine, family(engine)[kernel], {
    rows,
    args: order.map((name) => (args as Record<string, number>)[name] ?? 0),
    scratchBytes: rowScratch(size),
    cost: rows * (kernel === "finish" ? 20 * blocks : size),
  });
}

export function checkLabels(engine: Engine, labels: Operand, { size, ignoreIndex }: Omit<LossRows, "rows">): void {
  const start = addressOf(labels) >>> 2;
  checkIndices("crossEntropy", engine.memory.i32.subarray(start, start + labels.size), size, ignoreIndex);
}

/** Rows of one forward pass: addresses in bytes, and the number of classes of all their blocks together. */
export interface ForwardRows extends LossRows {
  labels: number;
  losses: number;
  lse: number;
}

/** Losses of rows of which `logitsOf` gives the logits of a block of classes: where they are, and from row to row. */
export function forward(
  engine: Engine,
  { rows, size, ignoreIndex, labels, losses, lse }: ForwardRows,
  logitsOf: (first: number, count: number) => { logits: number; stride: number },
): void {
  // One block even for no classes.
  const blocks = Math.max(1, Math.ceil(size / SUM_BLOCK));
  withMemory(engine, 8 * blocks * rows, (results) => {
    const common = { labels, losses, lse, ignoreIndex, results, blocks };
    for (let first = 0; first < blocks * SUM_BLOCK; first += SUM_BLOCK) {
      const count = Math.min(SUM_BLOCK, size - first);
      run(engine, "addBlock", rows, { ...common, ...logitsOf(first, count), first, size: count });
    }
    run(engine, "finish", rows, common);
  });
}

export function crossEntropy(
  engine: Engine,
  logits: Operand,
  labels: Operand,
  losses: Operand,
  lse: Operand,
  shape: LossRows,
): void {
  checkLabels(engine, labels, shape);
  const rows = { ...shape, labels: addressOf(labels), losses: addressOf(losses), lse: addressOf(lse) };
  const from = addressOf(logits);
  forward(engine, rows, (first) => ({ logits: from + 4 * first, stride: 4 * shape.size }));
}

export function crossEntropyBackward(
  engine: Engine,
  logits: Operand,
  labels: Operand,
  lse: Operand,
  grad: Operand,
  dLogits: Operand,
  { rows, size, ignoreIndex }: LossRows,
): void {
  const [own, total, g, from, to] = [labels, lse, grad, logits, dLogits].map(addressOf);
  backward(engine, rows, { labels: own, lse: total, grad: g, logits: from, dLogits: to, size, ignoreIndex });
}

/** The gradient of `size` columns of logits, of which the first is class `first`; may be in place. */
export const backward = (engine: Engine, rows: number, args: Arguments): void => run(engine, "backward", rows, args);
