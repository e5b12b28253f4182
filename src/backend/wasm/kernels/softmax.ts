/** Softmax, log-softmax and their gradients, row by row: the order of reference/softmax.ts. */

import { expNonPositive, log } from "../../../core/functions.js";
import type { Operand } from "../../kernels.js";
import type { ModuleBuilder } from "../assembler.js";
import type { Engine } from "../engine.js";
import { f32x4 } from "../vectors.js";
import { addressOf } from "./operands.js";
import { vectorFunction, vectorsFunction } from "./program.js";
import { eachQuarter, maxRow, rowAt, rowScratch, scalarFunction, sumRow, termsOf, walkRow } from "./rows.js";
import { runRows } from "./run.js";

interface SoftmaxRows {
  readonly rows: number;
  readonly size: number;
  readonly log: boolean;
}

const parameters = { row0: "i32", row1: "i32", x: "i32", y: "i32", z: "i32", size: "i32", scratch: "i32" } as const;

function define(module: ModuleBuilder, fused: boolean): void {
  module.export("softmax", parameters, (f, { row0, row1, x, y, size, scratch }) => {
    const exp = vectorsFunction(f, expNonPositive, fused);
    const bytes = f.let(size.shl(2));
    f.for(row0, row1, 1, (row) => {
      const from = rowAt(f, x, row, bytes);
      const to = rowAt(f, y, row, bytes);
      const largest = f.let(maxRow(f, from, bytes, scratch).splat());
      const out = f.let(to);
      const [total] = sumRow(f, [from, out], [out], bytes, scratch, 1, (quarters) => {
        const es = exp(quarters.map(({ load }) => f32x4.sub(load(from), largest)));
        return quarters.map(({ store }, k) => {
          store(out, es[k]);
          return [es[k]];
        });
      });
      const divisor = f.let(total.splat());
      walkRow(
        f,
        [to],
        [to],
        bytes,
        scratch,
        eachQuarter(({ load, store }) => store(to, f32x4.div(load(to), divisor))),
      );
    });
  });
  module.export("logSoftmax", parameters, (f, { row0, row1, x, y, size, scratch }) => {
    const exp = vectorsFunction(f, expNonPositive, fused);
    const logOf = scalarFunction(f, vectorFunction(f, log, fused));
    const bytes = f.let(size.shl(2));
    f.for(row0, row1, 1, (row) => {
      const from = rowAt(f, x, row, bytes);
      const to = rowAt(f, y, row, bytes);
      const largest = f.let(maxRow(f, from, bytes, scratch).splat());
      const out = f.let(to);
      const [total] = sumRow(f, [from, out], [out], bytes, scratch, 1, (quarters) => {
        const ds = quarters.map(({ load }) => f.let(f32x4.sub(load(from), largest)));
        for (const [k, { store }] of quarters.entries()) store(out, ds[k]);
        return exp(ds).map((e) => [e]);
      });
      const shift = f.let(logOf(total).splat());
      walkRow(
        f,
        [to],
        [to],
        bytes,
        scratch,
        eachQuarter(({ load, store }) => store(to, f32x4.sub(load(to), shift))),
      );
    });
  });
  module.export("softmaxBackward", parameters, (f, { row0, row1, x: y, y: g, z: dx, size, scratch }) => {
    const bytes = f.let(size.shl(2));
    f.for(row0, row1, 1, (row) => {
      const [yRow, gRow, to] = [y, g, dx].map((base) => rowAt(f, base, row, bytes));
      const [y1, g1] = [f.let(yRow), f.let(gRow)];
      const [sum] = sumRow(
        f,
        [y1, g1],
        [],
        bytes,
        scratch,
        1,
        termsOf(({ load }) => [f32x4.mul(load(g1), load(y1))]),
      );
      const total = f.let(sum.splat());
      walkRow(
        f,
        [yRow, gRow, to],
        [to],
        bytes,
        scratch,
        eachQuarter(({ load, store }) => store(to, f32x4.mul(load(yRow), f32x4.sub(load(gRow), total)))),
      );
    });
  });
  module.export("logSoftmaxBackward", parameters, (f, { row0, row1, x: y, y: g, z: dx, size, scratch }) => {
    const exp = vectorsFunction(f, expNonPositive, fused);
    const bytes = f.let(size.shl(2));
    f.for(row0, row1, 1, (row) => {
      const [yRow, gRow, to] = [y, g, dx].map((base) => rowAt(f, base, row, bytes));
      const g1 = f.let(gRow);
      const [sum] = sumRow(
        f,
        [g1],
        [],
        bytes,
        scratch,
        1,
        termsOf(({ load }) => [load(g1)]),
      );
      const total = f.let(sum.splat());
      walkRow(f, [yRow, gRow, to], [to], bytes, scratch, (quarters) => {
        const es = exp(quarters.map(({ load }) => load(yRow)));
        for (const [k, { load, store }] of quarters.entries()) {
          store(to, f32x4.sub(load(gRow), f32x4.mul(es[k], total)));
        }
      });
    });
  });
}

const family = (engine: Engine) => engine.family("softmax", (module) => define(module, engine.fused));

export function softmax(engine: Engine, input: Operand, output: Operand, { rows, size, log }: SoftmaxRows): void {
  if (size === 0) return;
  const kernels = family(engine);
  runRows(engine, log ? kernels.logSoftmax : kernels.softmax, {
    rows,
    args: [0, 0, addressOf(input), addressOf(output), 0, size, 0],
    scratchBytes: rowScratch(size),
    cost: rows * size * 1.2,
  });
}

export function softmaxBackward(
  engine: Engine,
  output: Operand,
  grad: Operand,
  dInput: Operand,
  { rows, size, log }: SoftmaxRows,
): void {
  const kernels = family(engine);
  runRows(engine, log ? kernels.logSoftmaxBackward : kernels.softmaxBackward, {
    rows,
    args: [0, 0, addressOf(output), addressOf(grad), addressOf(dInput), size, 0],
    scratchBytes: rowScratch(size),
    cost: rows * size * (log ? 1.2 : 0.5),
  });
}
