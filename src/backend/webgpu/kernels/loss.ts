/** Cross entropy of rows of logits against integer labels: a workgroup takes a row, whatever the vocabulary. */

import type { Operand } from "../../kernels.js";
import type { Gpu } from "../gpu.js";
import { floatFunctions } from "../shader.js";
import { checkIndices } from "./indexing.js";
import { ofRow, runRows } from "./rows.js";
import { maxAcross, sumAcross, sumOfExponentials } from "./softmax.js";

interface Rows {
  readonly rows: number;
  readonly size: number;
  readonly ignoreIndex: number;
}

/** lse = m + log(sum(exp(x - m))); loss = lse - x[label], 0 where the label is ignored. */
export function crossEntropy(
  gpu: Gpu,
  logits: Operand,
  labels: Operand,
  losses: Operand,
  lse: Operand,
  { rows, size, ignoreIndex }: Rows,
): void {
  checkIndices(gpu, "crossEntropy", labels, size, ignoreIndex);
  runRows(gpu, "crossEntropy", { rows, size }, [logits, labels, losses, lse], [ignoreIndex], () => ({
    name: "crossEntropy",
    buffers: [
      { name: "values", type: "f32" },
      { name: "labels", type: "i32" },
      { name: "losses", type: "f32", writes: true },
      { name: "lse", type: "f32", writes: true },
    ],
    params: { ignored: "i32" },
    across: [maxAcross, sumAcross],
    functions: floatFunctions,
    loads: { x: ofRow("values") },
    code: (passes) => `${sumOfExponentials(passes)}
  if (!is_first) { return; }
  let label = labels[row];
  let sum = select(most + log(total), -infinity(), is_lowest(most));
  lse[row] = sum;
  var loss = 0.0;
  if (label != p.ignored && bitcast<u32>(label) < p.size) { loss = sum - values[start + u32(label)]; }
  losses[row] = loss;`,
  }));
}

/** dx = (exp(x - lse) - [i = label]) * g; 0 in rows whose label is ignored. */
export function crossEntropyBackward(
  gpu: Gpu,
  logits: Operand,
  labels: Operand,
  lse: Operand,
  grad: Operand,
  dLogits: Operand,
  { rows, size, ignoreIndex }: Rows,
): void {
  runRows(gpu, "crossEntropyBackward", { rows, size }, [logits, labels, lse, grad, dLogits], [ignoreIndex], () => ({
    name: "crossEntropyBackward",
    buffers: [
      { name: "values", type: "f32" },
      { name: "labels", type: "i32" },
      { name: "lse", type: "f32" },
      { name: "grads", type: "f32" },
      { name: "out", type: "f32", writes: true },
    ],
    params: { ignored: "i32" },
    functions: floatFunctions,
    loads: { x: ofRow("values") },
    code: ({ write }) => `
  let label = labels[row];
  let ignored = label == p.ignored;
  let shift = lse[row];
  let scale = grads[row];
${write("out[start + i] = select((exp_non_positive(x - shift) - select(0.0, 1.0, i32(i) == label)) * scale, 0.0, ignored);")}`,
  }));
}
