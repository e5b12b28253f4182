/** Triangles of matrices. */

import { misfit, showShape } from "../core/errors.js";
import { checkOptions } from "../core/options.js";
import type { Tensor } from "../tensor/tensor.js";
import { named } from "./define.js";
import { where } from "./elementwise.js";
import { lowerMask } from "./mask.js";

function readDiagonal(op: string, x: Tensor, options: { diagonal?: number }): number {
  checkOptions(op, options, ["diagonal"]);
  const { diagonal = 0 } = options;
  if (x.ndim < 2) throw misfit(op, `needs at least 2 dims, got ${showShape(x.shape)}.`);
  if (Number.isInteger(diagonal)) return diagonal;
  throw misfit(op, `needs a whole number for diagonal, got ${diagonal}.`);
}

/** 0, or false beside truth values. */
const zero = (x: Tensor): number | boolean => (x.dtype === "bool" ? false : 0);

/** The part on and below a diagonal of each matrix; 0 elsewhere. */
export function tril(x: Tensor, options: { diagonal?: number } = {}): Tensor {
  const diagonal = readDiagonal("tril", x, options);
  return named("tril", () => where(lowerMask(x, diagonal), x, zero(x)));
}

/** The part on and above a diagonal of each matrix; 0 elsewhere. */
export function triu(x: Tensor, options: { diagonal?: number } = {}): Tensor {
  const diagonal = readDiagonal("triu", x, options);
  return named("triu", () => where(lowerMask(x, diagonal - 1), zero(x), x));
}
