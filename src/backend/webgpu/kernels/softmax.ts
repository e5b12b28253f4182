/** Softmax and log-softmax of rows: a workgroup takes a row, and nothing is stored in between. */

import type { Operand } from "../../backend.js";
import type { Gpu } from "../gpu.js";
import { type Across, entry, floatFunctions, type KernelSource, THREADS } from "../shader.js";

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

/** A loop over the elements of the row: `i` is the element, `at` its place. */
export const overRow = (body: string): string =>
  `  for (var i = first_element; i < p.size; i += row_threads) { let at = start + i; ${body} }`;

/** Rows up to this length are one thread's work on a software adapter, where threads are cheap and barriers are not. */
const SHORT_ROW = 2048;

/**
 * Runs a kernel over rows. Its code uses `row`, `overRow` and functions that combine the values of a row's threads;
 * where `is_first` holds it writes what there is once for each row. A row has a workgroup, or a thread of its own.
 */
export function runRows(
  gpu: Gpu,
  key: string,
  { rows, size }: { readonly rows: number; readonly size: number },
  operands: readonly Operand[],
  numbers: readonly number[],
  describe: () => RowSource,
): void {
  const alone = gpu.software && size <= SHORT_ROW;
  const kernel = gpu.kernel(`${key} ${alone}`, () => {
    const { functions = "", across = [], code, ...source } = describe();
    const single = across.map(({ name, type }) => `fn ${name}(lane: u32, own: ${type}) -> ${type} { return own; }\n`);
    return {
      ...source,
      params: { rows: "u32", size: "u32", ...source.params },
      across: alone ? [] : across,
      code: `${functions}${alone ? single.join("") : ""}
${entry(alone ? ROWS_TOGETHER : THREADS)}
  let row = ${alone ? "thread" : "group"};
  let first_element = ${alone ? "0u" : "lane"};
  let row_threads = ${alone ? "1u" : `${THREADS}u`};
  let is_first = ${alone ? "true" : "lane == 0u"};
  if (row >= p.rows) { return; }
  let start = row * p.size;
${code}
}`,
    };
  });
  gpu.run(kernel, operands, [rows, size, ...numbers], alone ? Math.ceil(rows / ROWS_TOGETHER) : rows);
}

/** Rows of a workgroup whose threads have a row each. */
const ROWS_TOGETHER = 16;

/** A kernel over rows, without its head. */
type RowSource = Omit<KernelSource, "params"> & {
  readonly params?: KernelSource["params"];
  readonly functions?: string;
};

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
    code: `
  var most = -infinity();
${overRow("most = largest(most, values[at]);")}
  most = max_all(lane, most);
  var total = 0.0;
${overRow("total += exp_non_positive(values[at] - most);")}
  total = sum_all(lane, total);
${overRow(
  log ? "out[at] = (values[at] - most) - log(total);" : "out[at] = exp_non_positive(values[at] - most) / total;",
)}`,
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
    code: `
  var total = 0.0;
${overRow(`total += grads[at]${log ? "" : " * values[at]"};`)}
  total = sum_all(lane, total);
${overRow(
  log ? "out[at] = grads[at] - exp_non_positive(values[at]) * total;" : "out[at] = values[at] * (grads[at] - total);",
)}`,
  }));
}
