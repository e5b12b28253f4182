/** Cross entropy of rows of logits and its gradient: the order of reference/loss.ts. */

import { expNonPositive, log } from "../../../core/functions.js";
import type { Operand } from "../../backend.js";
import { checkIndices } from "../../indices.js";
import type { ModuleBuilder } from "../assembler.js";
import type { Engine } from "../engine.js";
import { F32 } from "../values.js";
import { f32x4 } from "../vectors.js";
import { addressOf } from "./operands.js";
import { vectorFunction, vectorsFunction } from "./program.js";
import { maxRow, rowAt, rowScratch, scalarFunction, sumRow, walkRow } from "./rows.js";
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
  scratch: "i32",
} as const;

function define(module: ModuleBuilder, fused: boolean): void {
  module.export("forward", parameters, (f, { row0, row1, logits, labels, losses, lse, size, ignoreIndex, scratch }) => {
    const exp = vectorsFunction(f, expNonPositive, fused);
    const logOf = scalarFunction(f, vectorFunction(f, log, fused));
    const bytes = f.let(size.shl(2));
    f.for(row0, row1, 1, (row) => {
      const start = rowAt(f, logits, row, bytes);
      const largest = maxRow(f, start, bytes, scratch);
      const lanes = f.let(largest.splat());
      const from = f.let(start);
      const [total] = sumRow(f, [from], [], bytes, scratch, 1, (quarters) =>
        exp(quarters.map(({ load }) => f32x4.sub(load(from), lanes))).map((e) => [e]),
      );
      const result = f.let(largest.add(logOf(total)));
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
    (f, { row0, row1, logits, labels, lse, grad, dLogits, size, ignoreIndex, scratch }) => {
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
            // Computed before the walk, which may write over the logits.
            const own = f.let(f32x4.lane(exp([f32x4.sub(from.add(label.shl(2)).splat(), shiftLanes)])[0], 0));
            const out = f.let(to);
            walkRow(f, [from, out], [out], bytes, scratch, (quarters) => {
              const es = exp(quarters.map(({ load }) => f32x4.sub(load(from), shiftLanes)));
              for (const [k, { store }] of quarters.entries()) store(out, f32x4.mul(es[k], factorLanes));
            });
            f.storeF32(to.add(label.shl(2)), own.sub(1).mul(factor));
          },
        );
      });
    },
  );
}

const family = (engine: Engine) => engine.family("cross entropy", (module) => define(module, engine.fused));

function check(engine: Engine, labels: Operand, { size, ignoreIndex }: Rows): void {
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
  check(engine, labels, shape);
  const { rows, size, ignoreIndex } = shape;
  const operands = [logits, labels, losses, lse].map(addressOf);
  runRows(engine, family(engine).forward, {
    rows,
    args: [0, 0, ...operands, 0, 0, size, ignoreIndex, 0],
    scratchBytes: rowScratch(size),
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
  const args = [0, 0, addressOf(logits), addressOf(labels), 0, addressOf(lse), addressOf(grad), addressOf(dLogits)];
  runRows(engine, family(engine).backward, {
    rows,
    args: [...args, size, ignoreIndex, 0],
    scratchBytes: rowScratch(size),
    cost: rows * size,
  });
}
