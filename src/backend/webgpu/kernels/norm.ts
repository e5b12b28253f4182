/** Layer norm and RMS norm of rows, and their gradients: a workgroup takes a row; weights' gradients sum over rows. */

import type { Operand } from "../../kernels.js";
import { pieceOf } from "../bindings.js";
import type { Gpu } from "../gpu.js";
import type { Piece } from "../pool.js";
import { acrossColumns, COLUMNS, columnsEntry, ownColumnEntry } from "./columns.js";
import { aheadOf, gathering } from "./loops.js";
import { CHUNK, fold } from "./reduce.js";
import { ofAll, ofRow, type Passes, rowPrologue, runRows } from "./rows.js";
import { sumAcross } from "./softmax.js";

interface Rows {
  readonly rows: number;
  readonly size: number;
}

const read = (name: string) => ({ name, type: "f32" });
const written = (name: string) => ({ name, type: "f32", writes: true });
const present = (operands: readonly (Operand | undefined)[]): Operand[] =>
  operands.filter((operand): operand is Operand => operand !== undefined);

/**
 * mean = sum(x) / size; rstd = 1 / sqrt(sum((x - mean)^2) / size + eps); y = ((x - mean) * rstd) * w + b. The norm of a
 * single row, on a card, waits for a product that takes it along.
 */
export function layerNorm(
  gpu: Gpu,
  input: Operand,
  weight: Operand | undefined,
  bias: Operand | undefined,
  output: Operand,
  mean: Operand,
  rstd: Operand,
  { rows, size, eps }: Rows & { eps: number },
): void {
  const key = `layerNorm ${!!weight} ${!!bias}`;
  const value = `((x - mean) * rstd)${weight ? " * w" : ""}${bias ? " + b" : ""}`;
  // The names are no product's, since both may stand in one text.
  const source = (write: (value: string) => string, statistics = true) => ({
    name: "layerNorm",
    buffers: [
      read("values"),
      ...(weight ? [read("scale")] : []),
      ...(bias ? [read("shift")] : []),
      written("normed"),
      ...(statistics ? [written("means"), written("rstds")] : []),
    ],
    params: { eps: "f32" } as const,
    across: [sumAcross],
    loads: { x: ofRow("values"), ...(weight && { w: ofAll("scale") }), ...(bias && { b: ofAll("shift") }) },
    code: (passes: Passes) => `
  var total = 0.0;
${passes.gather("total += select(0.0, x, inside);")}
  let mean = sum_all(lane, total) / f32(p.size);
  var squares = 0.0;
${passes.gather("let d = select(0.0, x - mean, inside); squares += d * d;")}
  let rstd = 1.0 / sqrt(sum_all(lane, squares) / f32(p.size) + p.eps);
${passes.write(write(value))}
${statistics ? "  if (is_first) { means[row] = mean; rstds[row] = rstd; }" : ""}`,
  });
  const operands = present([input, weight, bias, output, mean, rstd]);
  const pieces = [mean, rstd].map(pieceOf);
  /** Statistics that were given back since, as those of a forward pass alone, need no buffers. */
  const prologue = () => {
    const statistics = !pieces.every(({ released }) => released);
    const write = (y: string) => `let y = ${y}; first_row[i] = y; if (group == 0u) { normed[start + i] = y; }`;
    return rowPrologue(`${key} ${statistics}`, size, () => source(write, statistics));
  };
  runRows(gpu, key, { rows, size }, operands, [eps], () => source((y) => `normed[start + i] = ${y};`), {
    result: output,
    prologue,
  });
}

/** rstd = 1 / sqrt(sum(x * x) / size + eps); y = (x * rstd) * w. */
export function rmsNorm(
  gpu: Gpu,
  input: Operand,
  weight: Operand | undefined,
  output: Operand,
  rstd: Operand,
  { rows, size, eps }: Rows & { eps: number },
): void {
  const operands = present([input, weight, output, rstd]);
  runRows(gpu, `rmsNorm ${!!weight}`, { rows, size }, operands, [eps], () => ({
    name: "rmsNorm",
    buffers: [read("values"), ...(weight ? [read("weight")] : []), written("out"), written("rstds")],
    params: { eps: "f32" },
    across: [sumAcross],
    loads: { x: ofRow("values"), ...(weight && { w: ofAll("weight") }) },
    code: ({ gather, write }) => `
  var squares = 0.0;
${gather("squares += select(0.0, x * x, inside);")}
  let rstd = 1.0 / sqrt(sum_all(lane, squares) / f32(p.size) + p.eps);
${write(`out[start + i] = (x * rstd)${weight ? " * w" : ""};`)}
  if (is_first) { rstds[row] = rstd; }`,
  }));
}

export function layerNormBackward(
  gpu: Gpu,
  grad: Operand,
  input: Operand,
  weight: Operand | undefined,
  mean: Operand,
  rstd: Operand,
  dInput: Operand,
  dWeight: Operand | undefined,
  dBias: Operand | undefined,
  rows: Rows,
): void {
  inputGradient(gpu, grad, input, weight, mean, rstd, dInput, rows);
  weightGradients(gpu, grad, input, mean, rstd, dWeight, dBias, rows);
}

export function rmsNormBackward(
  gpu: Gpu,
  grad: Operand,
  input: Operand,
  weight: Operand | undefined,
  rstd: Operand,
  dInput: Operand,
  dWeight: Operand | undefined,
  rows: Rows,
): void {
  inputGradient(gpu, grad, input, weight, undefined, rstd, dInput, rows);
  weightGradients(gpu, grad, input, undefined, rstd, dWeight, undefined, rows);
}

/** With gw = g * w: dx = ((gw - sum(gw) / size) - xhat * sum(gw * xhat) / size) * rstd; RMS norm has no first sum. */
function inputGradient(
  gpu: Gpu,
  grad: Operand,
  input: Operand,
  weight: Operand | undefined,
  mean: Operand | undefined,
  rstd: Operand,
  dInput: Operand,
  { rows, size }: Rows,
): void {
  const centred = mean !== undefined;
  const step = `let xhat = ${centred ? "(x - mean)" : "x"} * rstd; let gw = g${weight ? " * w" : ""};`;
  const operands = present([grad, input, weight, mean, rstd, dInput]);
  runRows(gpu, `norm input gradient ${!!weight} ${centred}`, { rows, size }, operands, [], () => ({
    name: centred ? "layerNormBackward" : "rmsNormBackward",
    buffers: [
      read("grads"),
      read("values"),
      ...(weight ? [read("weight")] : []),
      ...(mean ? [read("means")] : []),
      read("rstds"),
      written("out"),
    ],
    across: [sumAcross],
    loads: { g: ofRow("grads"), x: ofRow("values"), ...(weight && { w: ofAll("weight") }) },
    code: ({ gather, write }) => `
${centred ? "  let mean = means[row];" : ""}
  let rstd = rstds[row];
  var first = 0.0;
  var second = 0.0;
${gather(`${step} first += select(0.0, gw, inside); second += select(0.0, gw * xhat, inside);`)}
  let c1 = ${centred ? "sum_all(lane, first) / f32(p.size)" : "0.0"};
  let c2 = sum_all(lane, second) / f32(p.size);
${write(`${step} out[start + i] = ((gw - c1) - xhat * c2) * rstd;`)}`,
  }));
}

/** dw = sum over rows of g * xhat and db = sum over rows of g, together; long columns by chunks, whose sums are added. */
function weightGradients(
  gpu: Gpu,
  grad: Operand,
  input: Operand,
  mean: Operand | undefined,
  rstd: Operand,
  dWeight: Operand | undefined,
  dBias: Operand | undefined,
  { rows, size }: Rows,
): void {
  const wanted = present([dWeight, dBias]);
  if (wanted.length === 0) return;
  // On a software adapter a thread has a whole column.
  const alone = gpu.software;
  const store = (name: string) => `  let ${name}_all = ${alone ? name : `sum_column(lane, ${name})`};
  if (slice == 0u && i < p.inner) { ${name}_sums[(group / bands) * p.inner + i] = ${name}_all; }`;
  const loads = {
    g: (row: string) => `grads[${row} * p.inner + i]`,
    x: (row: string) => `values[${row} * p.inner + i]`,
    mean: (row: string) => `means[${row}]`,
    rstd: (row: string) => `rstds[${row}]`,
  };
  const xhat = `${mean ? "(x - mean)" : "x"} * rstd`;
  const work = `${dWeight ? `weight += select(0.0, g * (${xhat}), inside); ` : ""}bias += select(0.0, g, inside);`;
  const ahead = aheadOf(gpu, Math.min(rows, CHUNK) / 16);
  const kernel = gpu.kernel(`norm weight gradients ${!!mean} ${!!dWeight} ${!!dBias} ${ahead}`, () => ({
    name: mean ? "layerNormBackward" : "rmsNormBackward",
    buffers: [
      read("grads"),
      ...(dWeight ? [read("values"), ...(mean ? [read("means")] : []), read("rstds")] : []),
      ...(dWeight ? [written("weight_sums")] : []),
      ...(dBias ? [written("bias_sums")] : []),
    ],
    params: { rows: "u32", inner: "u32", chunk: "u32" },
    code: `${alone ? ownColumnEntry : acrossColumns("sum_column", "f32", (a, b) => `${a} + ${b}`) + columnsEntry}
  var weight = 0.0;
  var bias = 0.0;
  let first = (group / bands) * p.chunk;
  let end = select(0u, min(first + p.chunk, p.rows), i < p.inner);
${gathering({ first: "first + slice", end: "end", by: alone ? 1 : 16, ahead }, loads, work)}
${dWeight ? store("weight") : ""}
${dBias ? store("bias") : ""}
}`,
  }));
  const chunks = Math.max(1, Math.ceil(rows / CHUNK));
  const sums = wanted.map((target) => (chunks === 1 ? target : gpu.temporary(chunks * size * 4)));
  const operands = [grad, ...(dWeight ? present([input, mean, rstd]) : []), ...sums];
  gpu.run(kernel, operands, [rows, size, CHUNK], chunks * Math.ceil(size / COLUMNS));
  if (chunks === 1) return;
  wanted.forEach((target, i) => {
    fold(gpu, "sum", "f32", sums[i], target, { outer: 1, size: chunks, inner: size });
    gpu.pool.release(sums[i] as Piece);
  });
}
