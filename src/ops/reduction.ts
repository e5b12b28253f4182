/** What losses have in common: PyTorch's reductions, and the check of their options. */

import { checkOptions, checkWord, refuseOption } from "../core/options.js";
import type { Tensor } from "../tensor/tensor.js";
import { div, ne } from "./elementwise.js";
import { mean, sum } from "./reduce.js";

/** What becomes of the losses of a batch: their mean, their sum, or all of them. */
export type Reduction = "mean" | "sum" | "none";

/** Options that all losses take. */
export interface LossOptions {
  reduction?: Reduction;
}

/** One number of all losses, or all of them. */
export const reduced = (loss: Tensor, reduction: Reduction = "mean"): Tensor =>
  reduction === "none" ? loss : reduction === "sum" ? sum(loss) : mean(loss);

/** Checks the names of options and their values. */
export function checkLoss(
  op: string,
  options: LossOptions,
  names: readonly string[] = [],
  also: readonly string[] = [],
): void {
  checkOptions(op, options, ["reduction", ...names]);
  const {
    reduction = "mean",
    ignoreIndex = 0,
    labelSmoothing = 0,
    delta = 1,
  } = options as LossOptions & Partial<Record<"ignoreIndex" | "labelSmoothing" | "delta", unknown>>;
  if (!Number.isSafeInteger(ignoreIndex)) refuseOption(op, "ignoreIndex", "a whole number", ignoreIndex);
  if (!(typeof labelSmoothing === "number" && labelSmoothing >= 0 && labelSmoothing <= 1))
    refuseOption(op, "labelSmoothing", "a number from 0 to 1", labelSmoothing);
  if (!(Number.isFinite(delta) && (delta as number) > 0)) refuseOption(op, "delta", "a finite number above 0", delta);
  checkWord(op, "reduction", reduction, ["mean", "sum", "none", ...also]);
}

/** Which labels count, bytes too: the ignored one may be -100. */
export const counted = (labels: Tensor, ignoreIndex: number): Tensor => ne(labels.to({ dtype: "int32" }), ignoreIndex);

/** The same where only some rows count; the others have the loss 0. */
export function reducedOver(losses: Tensor, counts: Tensor, reduction: Reduction = "mean"): Tensor {
  if (reduction === "none") return losses;
  const total = sum(losses);
  return reduction === "sum" ? total : div(total, sum(counts.to({ dtype: "float32" })));
}
