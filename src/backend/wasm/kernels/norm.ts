/** Layer norm, RMS norm and their gradients: the order of reference/norm.ts. */

import type { Operand } from "../../kernels.js";
import type { FunctionBuilder, ModuleBuilder } from "../assembler.js";
import type { Engine } from "../engine.js";
import { F32, type I32, type V128 } from "../values.js";
import { f32x4 } from "../vectors.js";
import { columnScratch, defineColumns } from "./columns.js";
import { addressOf, addressOrZero } from "./operands.js";
import { eachQuarter, rowAt, rowScratch, sumRow, termsOf, walkRow } from "./rows.js";
import { runRows } from "./run.js";

interface NormRows {
  readonly rows: number;
  readonly size: number;
}

const forward = {
  row0: "i32",
  row1: "i32",
  x: "i32",
  weight: "i32",
  bias: "i32",
  y: "i32",
  mean: "i32",
  rstd: "i32",
  size: "i32",
  eps: "f32",
  scratch: "i32",
} as const;
const backward = {
  row0: "i32",
  row1: "i32",
  grad: "i32",
  x: "i32",
  weight: "i32",
  mean: "i32",
  rstd: "i32",
  dx: "i32",
  size: "i32",
  scratch: "i32",
} as const;

/** What layer norm does and RMS norm leaves out: taking the mean away, adding a bias. */
type Kind = "layer" | "rms";

function defineForward(module: ModuleBuilder, kind: Kind, hasWeight: boolean, hasBias: boolean): void {
  module.export("forward", forward, (f, { row0, row1, x, weight, bias, y, mean, rstd, size, eps, scratch }) => {
    const bytes = f.let(size.shl(2));
    const count = f.let(size.toF32());
    f.for(row0, row1, 1, (row) => {
      const from = rowAt(f, x, row, bytes);
      let centre = (value: V128) => value;
      if (kind === "layer") {
        const at = f.let(from);
        const [sum] = sumRow(
          f,
          [at],
          [],
          bytes,
          scratch,
          1,
          termsOf(({ load }) => [load(at)]),
        );
        const average = f.let(sum.div(count));
        f.storeF32(mean.add(row.shl(2)), average);
        const lanes = f.let(average.splat());
        centre = (value) => f.let(f32x4.sub(value, lanes));
      }
      const at = f.let(from);
      const [squares] = sumRow(
        f,
        [at],
        [],
        bytes,
        scratch,
        1,
        termsOf(({ load }) => {
          const value = centre(load(at));
          return [f32x4.mul(value, value)];
        }),
      );
      const inverse = f.let(F32.const(1).div(squares.div(count).add(eps).sqrt()));
      f.storeF32(rstd.add(row.shl(2)), inverse);
      const factor = f.let(inverse.splat());
      const to = rowAt(f, y, row, bytes);
      const [w, b] = [f.let(weight), f.let(bias)];
      walkRow(
        f,
        [from, to, w, b],
        [to],
        bytes,
        scratch,
        eachQuarter(({ load, store }) => {
          let value = f32x4.mul(centre(load(from)), factor);
          if (hasWeight) value = f32x4.mul(value, load(w));
          if (hasBias) value = f32x4.add(value, load(b));
          store(to, value);
        }),
      );
    });
  });
}

/** xhat of four elements: (x - mean) * rstd, or x * rstd. */
function normalized(f: FunctionBuilder, kind: Kind, x: V128, mean: V128, rstd: V128): V128 {
  return f.let(f32x4.mul(kind === "layer" ? f32x4.sub(x, mean) : x, rstd));
}

function defineBackward(module: ModuleBuilder, kind: Kind, hasWeight: boolean): void {
  module.export("backward", backward, (f, { row0, row1, grad, x, weight, mean, rstd, dx, size, scratch }) => {
    const bytes = f.let(size.shl(2));
    const count = f.let(size.toF32());
    f.for(row0, row1, 1, (row) => {
      const meanLanes = f.let(mean.add(row.shl(2)).splat());
      const factor = f.let(rstd.add(row.shl(2)).splat());
      const pointers = () => ({ g: rowAt(f, grad, row, bytes), from: rowAt(f, x, row, bytes), w: f.let(weight) });
      const weighted = (load: (row: I32) => V128, { g, w }: { g: I32; w: I32 }) =>
        hasWeight ? f.let(f32x4.mul(load(g), load(w))) : load(g);
      const first = pointers();
      const sums = sumRow(
        f,
        [first.g, first.from, first.w],
        [],
        bytes,
        scratch,
        kind === "layer" ? 2 : 1,
        termsOf(({ load }) => {
          const gw = weighted(load, first);
          const product = f32x4.mul(gw, normalized(f, kind, load(first.from), meanLanes, factor));
          return kind === "layer" ? [product, gw] : [product];
        }),
      );
      const [c2, c1] = sums.map((sum) => f.let(sum.div(count).splat()));
      const second = pointers();
      const to = rowAt(f, dx, row, bytes);
      walkRow(
        f,
        [second.g, second.from, second.w, to],
        [to],
        bytes,
        scratch,
        eachQuarter(({ load, store }) => {
          const gw = weighted(load, second);
          const xhat = normalized(f, kind, load(second.from), meanLanes, factor);
          const centred = kind === "layer" ? f32x4.sub(gw, c1) : gw;
          store(to, f32x4.mul(f32x4.sub(centred, f32x4.mul(xhat, c2)), factor));
        }),
      );
    });
  });
}

/** Sums over rows of g * xhat (gradient of the weight). */
function defineWeightGradient(module: ModuleBuilder, kind: Kind): void {
  defineColumns(module, "weightGradient", { grad: "i32", x: "i32", mean: "i32", rstd: "i32" }, (f, p) => {
    const meanLanes = f.v128();
    const factor = f.v128();
    return {
      enterRow(row) {
        f.set(meanLanes, p.mean.add(row.shl(2)).splat());
        f.set(factor, p.rstd.add(row.shl(2)).splat());
      },
      term: (offset) =>
        f32x4.mul(p.grad.add(offset).v128(), normalized(f, kind, p.x.add(offset).v128(), meanLanes, factor)),
    };
  });
}

function normForward(
  engine: Engine,
  kind: Kind,
  input: Operand,
  weight: Operand | undefined,
  bias: Operand | undefined,
  output: Operand,
  mean: Operand | undefined,
  rstd: Operand,
  { rows, size, eps }: NormRows & { eps: number },
): void {
  const { forward: kernel } = engine.family(`${kind} norm ${!!weight} ${!!bias}`, (module) =>
    defineForward(module, kind, !!weight, !!bias),
  );
  const operands = [input, weight, bias, output, mean, rstd].map(addressOrZero);
  runRows(engine, kernel, {
    rows,
    args: [0, 0, ...operands, size, eps, 0],
    scratchBytes: rowScratch(size),
    cost: rows * size * 0.6,
  });
}

function normBackward(
  engine: Engine,
  kind: Kind,
  grad: Operand,
  input: Operand,
  weight: Operand | undefined,
  mean: Operand | undefined,
  rstd: Operand,
  dInput: Operand,
  dWeight: Operand | undefined,
  { rows, size }: NormRows,
): void {
  const { backward: kernel } = engine.family(`${kind} norm backward ${!!weight}`, (module) =>
    defineBackward(module, kind, !!weight),
  );
  const operands = [grad, input, weight, mean, rstd, dInput].map(addressOrZero);
  runRows(engine, kernel, {
    rows,
    args: [0, 0, ...operands, size, 0],
    scratchBytes: rowScratch(size),
    cost: rows * size * 0.8,
  });
  if (!dWeight) return;
  const { weightGradient } = engine.family(`${kind} norm weight gradient`, (module) =>
    defineWeightGradient(module, kind),
  );
  runRows(engine, weightGradient, {
    rows: size,
    args: [0, 0, 1, rows, size, addressOf(dWeight), ...[grad, input, mean, rstd].map(addressOrZero), 0],
    scratchBytes: columnScratch(rows),
    cost: rows * size * 0.4,
    granule: 16,
  });
}

export function layerNorm(
  engine: Engine,
  input: Operand,
  weight: Operand | undefined,
  bias: Operand | undefined,
  output: Operand,
  mean: Operand,
  rstd: Operand,
  rows: NormRows & { eps: number },
): void {
  normForward(engine, "layer", input, weight, bias, output, mean, rstd, rows);
}

export function rmsNorm(
  engine: Engine,
  input: Operand,
  weight: Operand | undefined,
  output: Operand,
  rstd: Operand,
  rows: NormRows & { eps: number },
): void {
  normForward(engine, "rms", input, weight, undefined, output, undefined, rstd, rows);
}

export function layerNormBackward(
  engine: Engine,
  grad: Operand,
  input: Operand,
  weight: Operand | undefined,
  mean: Operand,
  rstd: Operand,
  dInput: Operand,
  dWeight: Operand | undefined,
  dBias: Operand | undefined,
  rows: NormRows,
): void {
  normBackward(engine, "layer", grad, input, weight, mean, rstd, dInput, dWeight, rows);
  if (dBias) sumColumns(engine, grad, dBias, 1, rows.rows, rows.size);
}

export function rmsNormBackward(
  engine: Engine,
  grad: Operand,
  input: Operand,
  weight: Operand | undefined,
  rstd: Operand,
  dInput: Operand,
  dWeight: Operand | undefined,
  rows: NormRows,
): void {
  normBackward(engine, "rms", grad, input, weight, undefined, rstd, dInput, dWeight, rows);
}

/** out[o, i] = the canonical sum over s of input[o, s, i]. */
export function sumColumns(
  engine: Engine,
  input: Operand,
  output: Operand,
  outer: number,
  size: number,
  inner: number,
): void {
  const { sumColumns: kernel } = engine.family("sum columns", (module) =>
    defineColumns(module, "sumColumns", { x: "i32" }, (_f, { x }) => ({
      enterRow() {},
      term: (offset) => x.add(offset).v128(),
    })),
  );
  runRows(engine, kernel, {
    rows: inner,
    args: [0, 0, outer, size, inner, addressOf(output), addressOf(input), 0],
    scratchBytes: columnScratch(size),
    cost: outer * size * inner * 0.25,
    granule: 16,
  });
}
