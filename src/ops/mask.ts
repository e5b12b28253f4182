/** Masks over the last two dims. */

import type { DeviceName } from "../backend/backend.js";
import { arange } from "../tensor/create.js";
import type { Tensor } from "../tensor/tensor.js";
import { ge } from "./elementwise.js";

/** [rows, columns] of bool: is column - row at most `diagonal`? */
export function lowerMask(rows: number, columns: number, diagonal: number, device: DeviceName): Tensor {
  const column = arange(0, rows, 1, { device }).alias([rows, 1]);
  return ge(column, arange(-diagonal, columns - diagonal, 1, { device }));
}
