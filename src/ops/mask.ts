/** Masks over the last two dims. */

import { arange } from "../tensor/create.js";
import type { Tensor } from "../tensor/tensor.js";
import { ge } from "./elementwise.js";

/** [rows, columns] of bool: is column - row at most `diagonal`? */
export function lowerMask(x: Tensor, diagonal: number): Tensor {
  const [rows, columns] = x.shape.slice(-2);
  const { device } = x;
  const column = arange(0, rows, 1, { device }).alias([rows, 1]);
  return ge(column, arange(-diagonal, columns - diagonal, 1, { device }));
}
