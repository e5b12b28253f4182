/** The sum of the squares of many tensors (all gradients of a model), in one launch per handful of them. */

import type { Operand } from "../../kernels.js";
import { pieceOf, rangesOf } from "../bindings.js";
import type { Gpu } from "../gpu.js";
import { entry, type KernelSource, type ParamType, upTo } from "../shader.js";
import { fill } from "./copy.js";
import { aheadOf, gathering } from "./loops.js";
import { CHUNK, fold, threadsFor } from "./reduce.js";
import { sumAcross } from "./softmax.js";

/** Workgroup c of a tensor takes its elements c * CHUNK … ; then the sums of all of them are added in one fixed tree. */
export function sumOfSquares(gpu: Gpu, inputs: readonly Operand[], output: Operand): void {
  const all = inputs.filter(({ size }) => size > 0);
  const groupsOf = ({ size }: Operand) => Math.ceil(size / CHUNK);
  const total = all.reduce((sum, input) => sum + groupsOf(input), 0);
  if (total === 0) {
    fill(gpu, output, 0);
    return;
  }
  const sums = gpu.temporary(total * 4);
  const each = gpu.abilities.bindings - 1;
  const threads = threadsFor(gpu, CHUNK);
  const bindingsOf = (input: Operand) => rangesOf(pieceOf(input), gpu.pool.range);
  let done = 0;
  for (let at = 0, end = 0; at < all.length; at = end) {
    let bound = 0;
    do bound += bindingsOf(all[end++]);
    while (end < all.length && bound + bindingsOf(all[end]) <= each);
    const batch = all.slice(at, end);
    const kernel = gpu.kernel(`sumOfSquares ${batch.length}`, () =>
      source(batch.length, threads, aheadOf(gpu, CHUNK / threads)),
    );
    let groups = 0;
    const ends = batch.map((input) => (groups += groupsOf(input)));
    gpu.run(kernel, [...batch, sums], [done, groups, ...batch.flatMap(({ size }, i) => [size, ends[i]])], groups);
    done += groups;
  }
  fold(gpu, "sum", "f32", sums, output, { outer: 1, size: total, inner: 1 });
  gpu.pool.release(sums);
}

function source(count: number, threads: number, ahead: number): KernelSource {
  const all = upTo(count);
  const params: Record<string, ParamType> = { first: "u32", groups: "u32" };
  for (const i of all) Object.assign(params, { [`size${i}`]: "u32", [`end${i}`]: "u32" });
  const parts = all.map((i) => {
    const start = `(group - ${i === 0 ? "0u" : `p.end${i - 1}`}) * ${CHUNK}u`;
    return `if (group < p.end${i}) {
    let first = ${start};
    let end = min(first + ${CHUNK}u, p.size${i});
${gathering(
  { first: "first + lane", end: "end", by: threads, ahead },
  { x: (at) => `x${i}[${at}]` },
  "total += select(0.0, x * x, inside);",
)}
  }`;
  });
  return {
    name: "sumOfSquares",
    buffers: [...all.map((i) => ({ name: `x${i}`, type: "f32" })), { name: "sums", type: "f32", writes: true }],
    params,
    threads,
    across: [sumAcross],
    code: `
${entry(threads)}
  if (group >= p.groups) { return; }
  var total = 0.0;
  ${parts.join(" else ")}
  let sum = sum_all(lane, total);
  if (lane == 0u) { sums[p.first + group] = sum; }
}`,
  };
}
