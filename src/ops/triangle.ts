/** Triangles of matrices. */

import { ShapeError, showShape } from "../core/errors.js";
import type { Tensor } from "../tensor/tensor.js";
import { where } from "./elementwise.js";
import { lowerMask } from "./mask.js";

function checkMatrix(op: string, x: Tensor): void {
  if (x.ndim < 2) throw new ShapeError(`${op}: needs at least 2 dims, got ${showShape(x.shape)}.`, { where: op });
}

/** The part on and below a diagonal of each matrix; 0 elsewhere. */
export function tril(x: Tensor, { diagonal = 0 }: { diagonal?: number } = {}): Tensor {
  checkMatrix("tril", x);
  return where(lowerMask(x, diagonal), x, 0);
}

/** The part on and above a diagonal of each matrix; 0 elsewhere. */
export function triu(x: Tensor, { diagonal = 0 }: { diagonal?: number } = {}): Tensor {
  checkMatrix("triu", x);
  return where(lowerMask(x, diagonal - 1), 0, x);
}
