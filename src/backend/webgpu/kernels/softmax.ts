/** Softmax and log-softmax of rows: nothing is stored in between. */

import type { Operand } from "../../kernels.js";
import type { Gpu } from "../gpu.js";
import { type Across, floatFunctions } from "../shader.js";
import { ofRow, type Passes, runRows } from "./rows.js";

interface Rows {
  readonly rows: number;
  readonly size: number;
  readonly log: boolean;
}

export const sumAcross: Across = { name: "sum_all", type: "f32", empty: "0.0", combine: (a, b) => `${a} + ${b}` };
/** Calls `largest` of `floatFunctions`. */
export const maxAcross: Across = {
  name: "max_all",
  type: "f32",
  empty: "-infinity()",
  combine: (a, b) => `largest(${a}, ${b})`,
};

/**
 * `most`, the largest x of the row, and `total`, the sum of exp(x - most), in one pass: each block of elements is shifted
 * by the largest so far, and what was summed before it is brought to that.
 */
export const sumOfExponentials = ({ gather }: Passes): string => `
  var most = -infinity();
  var next = most;
  var total = 0.0;
${gather(
  "next = largest(next, select(-infinity(), x, inside));",
  { once: "let shift = select(next, 0.0, is_lowest(next)); total *= exp_non_positive(most - shift); most = next;" },
  "total += select(0.0, exp_non_positive(x - shift), inside);",
)}
  most = max_all(lane, next);
  total = sum_all(lane, total * exp_non_positive(next - select(most, 0.0, is_lowest(most))));`;

export function softmax(gpu: Gpu, input: Operand, output: Operand, { rows, size, log }: Rows): void {
  if (rows * size === 0) return;
  runRows(gpu, `softmax ${log}`, { rows, size }, [input, output], [], () => ({
    name: log ? "logSoftmax" : "softmax",
    buffers: [
      { name: "values", type: "f32" },
      { name: "out", type: "f32", writes: true },
    ],
    across: [maxAcross, sumAcross],
    functions: floatFunctions,
    loads: { x: ofRow("values") },
    // A row of minus infinities has no softmax, and some compilers know no NaN but one of these bits.
    code: (passes) => `${sumOfExponentials(passes)}
  let divisor = select(total, bitcast<f32>(nan_bits), is_lowest(most));
${passes.write(log ? "out[start + i] = (x - most) - log(divisor);" : "out[start + i] = exp_non_positive(x - most) / divisor;")}`,
  }));
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
  runRows(gpu, `softmaxBackward ${log}`, { rows, size }, [output, grad, dInput], [], () => ({
    name: log ? "logSoftmaxBackward" : "softmaxBackward",
    buffers: [
      { name: "values", type: "f32" },
      { name: "grads", type: "f32" },
      { name: "out", type: "f32", writes: true },
    ],
    across: [sumAcross],
    functions: floatFunctions,
    loads: { y: ofRow("values"), g: ofRow("grads") },
    code: ({ gather, write }) => `
  var total = 0.0;
${gather(`total += select(0.0, g${log ? "" : " * y"}, inside);`)}
  total = sum_all(lane, total);
${write(log ? "out[start + i] = g - exp_non_positive(y) * total;" : "out[start + i] = y * (g - total);")}`,
  }));
}
