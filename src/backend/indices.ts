/** Refusal of indices outside their range: the same words on every backend. */

import { IndexError } from "../core/errors.js";

/** Throws for index `got`, found at `position` of the index tensor, where 0 … size - 1 are allowed. */
export function badIndex(op: string, size: number, got: number, position: number): never {
  const range = size > 0 ? `index from 0 to ${size - 1}` : "no index, since the dim is empty";
  throw new IndexError(`${op}: needs ${range}, got ${got} at position ${position}.`, {
    where: op,
    size,
    got,
    position,
  });
}

/** Checks all indices before a kernel writes anything; `except` (an ignored label) is always allowed. */
export function checkIndices(op: string, indices: Int32Array, size: number, except?: number): void {
  for (let position = 0; position < indices.length; position++) {
    const index = indices[position];
    if ((index < 0 || index >= size) && index !== except) badIndex(op, size, index, position);
  }
}
