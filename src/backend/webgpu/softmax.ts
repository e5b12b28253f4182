/** Softmax and log-softmax of rows: a workgroup takes a row, and nothing is stored in between. */

import type { Operand } from "../backend.js";
import type { Gpu } from "./gpu.js";
import { THREADS } from "./reduce.js";
import { type Across, entry, floatBits } from "./shader.js";

interface Rows {
  readonly rows: number;
  readonly size: number;
  readonly log: boolean;
}

/** The largest of two, NaN if either is; and the exponential of numbers up to 0, exact 0 far below. */
export const rowFunctions = `${floatBits}
fn largest(a: f32, b: f32) -> f32 { return select(max(a, b), a + b, is_nan(a) || is_nan(b)); }
fn exp_non_positive(x: f32) -> f32 { return select(exp(x), 0.0, x < -87.33); }
`;

export const sumAcross: Across = { name: "sum_all", type: "f32", empty: "0.0", combine: (a, b) => `${a} + ${b}` };
/** Calls `largest` of `rowFunctions`. */
export const maxAcross: Across = {
  name: "max_all",
  type: "f32",
  empty: "-infinity()",
  combine: (a, b) => `largest(${a}, ${b})`,
};

/** A loop over the elements of the workgroup's row: `i` is the element, `start + i` its place. */
export const overRow = (body: string): string =>
  `  for (var i = lane; i < p.size; i += ${THREADS}u) { let at = start + i; ${body} }`;

/** The head of a kernel that gives each row a workgroup. */
export const rowEntry = `${entry(THREADS)}
  if (group >= p.rows) { return; }
  let start = group * p.size;`;

export function softmax(gpu: Gpu, input: Operand, output: Operand, { rows, size, log }: Rows): void {
  if (rows * size === 0) return;
  const kernel = gpu.kernel(`softmax ${log}`, () => ({
    name: log ? "logSoftmax" : "softmax",
    buffers: [
      { name: "values", type: "f32" },
      { name: "out", type: "f32", writes: true },
    ],
    params: { rows: "u32", size: "u32" },
    across: [maxAcross, sumAcross],
    code: `${rowFunctions}
${rowEntry}
  var most = -infinity();
${overRow("most = largest(most, values[at]);")}
  most = max_all(lane, most);
  var total = 0.0;
${overRow("total += exp_non_positive(values[at] - most);")}
  total = sum_all(lane, total);
${overRow(
  log ? "out[at] = (values[at] - most) - log(total);" : "out[at] = exp_non_positive(values[at] - most) / total;",
)}
}`,
  }));
  gpu.run(kernel, [input, output], [rows, size], rows);
}

/** dx = y * (g - sum(g * y)), or with `log`: dx = g - exp(y) * sum(g). */
export function softmaxBackward(
  gpu: Gpu,
  output: Operand,
  grad: Operand,
  dInput: Operand,
  { rows, size, log }: Rows,
): void {
  if (rows * size === 0) return;
  const kernel = gpu.kernel(`softmaxBackward ${log}`, () => ({
    name: log ? "logSoftmaxBackward" : "softmaxBackward",
    buffers: [
      { name: "values", type: "f32" },
      { name: "grads", type: "f32" },
      { name: "out", type: "f32", writes: true },
    ],
    params: { rows: "u32", size: "u32" },
    across: [sumAcross],
    code: `${rowFunctions}
${rowEntry}
  var total = 0.0;
${overRow(`total += grads[at]${log ? "" : " * values[at]"};`)}
  total = sum_all(lane, total);
${overRow(
  log ? "out[at] = grads[at] - exp_non_positive(values[at]) * total;" : "out[at] = values[at] * (grads[at] - total);",
)}
}`,
  }));
  gpu.run(kernel, [output, grad, dInput], [rows, size], rows);
}
