/** Kernels by columns: sixteen threads share each, or one thread has it where threads are few. */

import { entry } from "../shader.js";

/** Columns of a workgroup of 256 threads; sixteen threads share each. */
export const COLUMNS = 16;

/** The head of a kernel by columns: column `i`, of which this thread takes rows slice, slice + 16, … */
export const columnsEntry = `${entry(256)}
  let bands = (p.inner + ${COLUMNS - 1}u) / ${COLUMNS}u;
  let i = (group % bands) * ${COLUMNS}u + lane % ${COLUMNS}u;
  let slice = lane / ${COLUMNS}u;`;

/** The same with one thread to a column. */
export const ownColumnEntry = `${entry(COLUMNS)}
  let bands = (p.inner + ${COLUMNS - 1}u) / ${COLUMNS}u;
  let i = (group % bands) * ${COLUMNS}u + lane;
  let slice = 0u;`;

/** A function that combines the values of a column's sixteen threads, in order; the first of them gets the result. */
export const acrossColumns = (name: string, type: string, combine: (a: string, b: string) => string): string => `
var<workgroup> ${name}_all: array<${type}, 256>;
fn ${name}(lane: u32, own: ${type}) -> ${type} {
  ${name}_all[lane] = own;
  workgroupBarrier();
  var total = own;
  if (lane < ${COLUMNS}u) {
    for (var s = 1u; s < 16u; s++) { total = ${combine("total", `${name}_all[s * ${COLUMNS}u + lane]`)}; }
  }
  workgroupBarrier();
  return total;
}
`;
