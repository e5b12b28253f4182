/** Triangles of matrices. */

import { misfit, showShape } from "../core/errors.js";
import { checkOptions } from "../core/options.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkTensors, named } from "./define.js";
import { where } from "./elementwise.js";
import { lowerMask } from "./mask.js";

const triangle =
  (op: string, upper: boolean) =>
  (x: Tensor, options: { diagonal?: number } = {}): Tensor => {
    checkOptions(op, options, ["diagonal"]);
    checkTensors(op, { x });
    const { diagonal = 0 } = options;
    if (x.ndim < 2) throw misfit(op, `needs at least 2 dims, got ${showShape(x.shape)}.`);
    if (!Number.isInteger(diagonal)) throw misfit(op, `needs a whole number for diagonal, got ${diagonal}.`);
    const zero = x.dtype !== "bool" && 0; // false beside truth values
    return named(op, () => {
      const [rows, columns] = x.shape.slice(-2);
      const mask = lowerMask(rows, columns, upper ? diagonal - 1 : diagonal, x.device);
      return upper ? where(mask, zero, x) : where(mask, x, zero);
    });
  };

/** The part on and below a diagonal of each matrix; 0 elsewhere. */
export const tril = triangle("tril", false);

/** The part on and above a diagonal of each matrix; 0 elsewhere. */
export const triu = triangle("triu", true);
