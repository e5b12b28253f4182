/** Layer norm and RMS norm of rows, and their gradients: a workgroup takes a row; weights' gradients sum over rows. */

import type { Operand } from "../backend.js";
import type { Gpu } from "./gpu.js";
import { fold, reduce } from "./reduce.js";
import { entry } from "./shader.js";
import { overRow, rowEntry, sumAcross } from "./softmax.js";

interface Rows {
  readonly rows: number;
  readonly size: number;
}

const read = (name: string) => ({ name, type: "f32" });
const written = (name: string) => ({ name, type: "f32", writes: true });
const present = (operands: readonly (Operand | undefined)[]): Operand[] =>
  operands.filter((operand): operand is Operand => operand !== undefined);

/** mean = sum(x) / size; rstd = 1 / sqrt(sum((x - mean)^2) / size + eps); y = ((x - mean) * rstd) * w + b. */
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
  const value = `((values[at] - mean) * rstd)${weight ? " * weight[i]" : ""}${bias ? " + bias[i]" : ""}`;
  const kernel = gpu.kernel(`layerNorm ${!!weight} ${!!bias}`, () => ({
    name: "layerNorm",
    buffers: [
      read("values"),
      ...(weight ? [read("weight")] : []),
      ...(bias ? [read("bias")] : []),
      written("out"),
      written("means"),
      written("rstds"),
    ],
    params: { rows: "u32", size: "u32", eps: "f32" },
    code: `${sumAcross}
${rowEntry}
  var total = 0.0;
${overRow("total += values[at];")}
  let mean = sum_all(lane, total) / f32(p.size);
  var squares = 0.0;
${overRow("let d = values[at] - mean; squares += d * d;")}
  let rstd = 1.0 / sqrt(sum_all(lane, squares) / f32(p.size) + p.eps);
${overRow(`out[at] = ${value};`)}
  if (lane == 0u) { means[group] = mean; rstds[group] = rstd; }
}`,
  }));
  gpu.run(kernel, present([input, weight, bias, output, mean, rstd]), [rows, size, eps], rows);
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
  const kernel = gpu.kernel(`rmsNorm ${!!weight}`, () => ({
    name: "rmsNorm",
    buffers: [read("values"), ...(weight ? [read("weight")] : []), written("out"), written("rstds")],
    params: { rows: "u32", size: "u32", eps: "f32" },
    code: `${sumAcross}
${rowEntry}
  var squares = 0.0;
${overRow("squares += values[at] * values[at];")}
  let rstd = 1.0 / sqrt(sum_all(lane, squares) / f32(p.size) + p.eps);
${overRow(`out[at] = (values[at] * rstd)${weight ? " * weight[i]" : ""};`)}
  if (lane == 0u) { rstds[group] = rstd; }
}`,
  }));
  gpu.run(kernel, present([input, weight, output, rstd]), [rows, size, eps], rows);
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
  if (dWeight) weightGradient(gpu, grad, input, mean, rstd, dWeight, rows);
  if (dBias) reduce(gpu, "sum", grad, dBias, { outer: 1, size: rows.rows, inner: rows.size });
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
  if (dWeight) weightGradient(gpu, grad, input, undefined, rstd, dWeight, rows);
}

/** xhat of an element; without means it is that of RMS norm. */
const normalized = (centred: boolean, row: string) =>
  `(values[at]${centred ? ` - means[${row}]` : ""}) * rstds[${row}]`;

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
  const step = `let xhat = ${normalized(centred, "group")}; let gw = grads[at]${weight ? " * weight[i]" : ""};`;
  const kernel = gpu.kernel(`norm input gradient ${!!weight} ${centred}`, () => ({
    name: centred ? "layerNormBackward" : "rmsNormBackward",
    buffers: [
      read("grads"),
      read("values"),
      ...(weight ? [read("weight")] : []),
      ...(mean ? [read("means")] : []),
      read("rstds"),
      written("out"),
    ],
    params: { rows: "u32", size: "u32" },
    code: `${sumAcross}
${rowEntry}
  var first = 0.0;
  var second = 0.0;
${overRow(`${step} first += gw; second += gw * xhat;`)}
  let c1 = ${centred ? "sum_all(lane, first) / f32(p.size)" : "0.0"};
  let c2 = sum_all(lane, second) / f32(p.size);
${overRow(`${step} out[at] = ((gw - c1) - xhat * c2) * rstds[group];`)}
}`,
  }));
  gpu.run(kernel, present([grad, input, weight, mean, rstd, dInput]), [rows, size], rows);
}

/** Rows that one thread adds up for its column. */
const ROW_CHUNK = 64;

/** dw = sum over rows of g * xhat: partial sums of 64 rows for each column, then their sum. */
function weightGradient(
  gpu: Gpu,
  grad: Operand,
  input: Operand,
  mean: Operand | undefined,
  rstd: Operand,
  dWeight: Operand,
  { rows, size }: Rows,
): void {
  const kernel = gpu.kernel(`norm weight gradient ${!!mean}`, () => ({
    name: mean ? "layerNormBackward" : "rmsNormBackward",
    buffers: [read("grads"), read("values"), ...(mean ? [read("means")] : []), read("rstds"), written("sums")],
    params: { total: "u32", rows: "u32", size: "u32" },
    code: `${entry(64)}
  if (thread >= p.total) { return; }
  let i = thread % p.size;
  let first = (thread / p.size) * ${ROW_CHUNK}u;
  var total = 0.0;
  for (var row = first; row < min(first + ${ROW_CHUNK}u, p.rows); row++) {
    let at = row * p.size + i;
    total += grads[at] * (${normalized(mean !== undefined, "row")});
  }
  sums[thread] = total;
}`,
  }));
  const chunks = Math.max(1, Math.ceil(rows / ROW_CHUNK));
  const sums = chunks === 1 ? undefined : gpu.temporary(chunks * size * 4);
  const total = chunks * size;
  gpu.run(kernel, [...present([grad, input, mean, rstd]), sums ?? dWeight], [total, rows, size], Math.ceil(total / 64));
  if (!sums) return;
  fold(gpu, "sum", "f32", sums, dWeight, { outer: 1, size: chunks, inner: size });
  gpu.pool.release(sums);
}
