/** Cross entropy of rows of logits against integer labels: a workgroup takes a row, whatever the vocabulary. */

import type { Operand } from "../../backend.js";
import type { Gpu } from "../gpu.js";
import { floatFunctions } from "../shader.js";
import { checkIndices } from "./indexing.js";
import { maxAcross, overRow, runRows, sumAcross } from "./softmax.js";

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
    code: `
  var most = -infinity();
${overRow("most = largest(most, values[at]);")}
  most = max_all(lane, most);
  var total = 0.0;
${overRow("total += exp_non_positive(values[at] - most);")}
  total = sum_all(lane, total);
  if (!is_first) { return; }
  let label = labels[row];
  lse[row] = most + log(total);
  var loss = 0.0;
  if (label != p.ignored && bitcast<u32>(label) < p.size) { loss = (most + log(total)) - values[start + u32(label)]; }
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
    code: `
  let label = labels[row];
  if (label == p.ignored) {
  ${overRow("out[at] = 0.0;")}
    return;
  }
  let shift = lse[row];
  let scale = grads[row];
${overRow("out[at] = (exp_non_positive(values[at] - shift) - select(0.0, 1.0, i32(i) == label)) * scale;")}`,
  }));
}
