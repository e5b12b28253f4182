/** Arguments of the attention kernels: strides in bytes, in one order for both passes. */

import type { AttentionLayout, HeadLayout, Operand } from "../../kernels.js";
import type { FunctionBuilder } from "../assembler.js";
import type { I32 } from "../values.js";
import { addressOf } from "./operands.js";

const headParameters = (name: string) => ({
  [name]: "i32" as const,
  [`${name}Batch`]: "i32" as const,
  [`${name}Head`]: "i32" as const,
  [`${name}Row`]: "i32" as const,
});

/** Parameters of both passes: the range, sizes, then q, k, v and out with their strides. */
export const commonParameters = {
  start: "i32",
  end: "i32",
  heads: "i32",
  kvHeads: "i32",
  queries: "i32",
  keys: "i32",
  dim: "i32",
  causal: "i32",
  scale: "f32",
  ...headParameters("q"),
  ...headParameters("k"),
  ...headParameters("v"),
  ...headParameters("out"),
  lse: "i32",
} as Record<string, "i32" | "f32">;

export function commonArguments(
  layout: AttentionLayout,
  operands: { q: Operand; k: Operand; v: Operand; out: Operand; lse: Operand },
): number[] {
  const { heads, kvHeads, queries, keys, dim, causal, scale } = layout;
  const head = (operand: Operand, at: HeadLayout) => [
    addressOf(operand) + 4 * at.offset,
    4 * at.batch,
    4 * at.head,
    4 * at.row,
  ];
  return [
    0,
    0,
    heads,
    kvHeads,
    queries,
    keys,
    dim,
    Number(causal),
    scale,
    ...head(operands.q, layout.q),
    ...head(operands.k, layout.k),
    ...head(operands.v, layout.v),
    ...head(operands.out, layout.out),
    addressOf(operands.lse),
  ];
}

/** The address of row 0 of a head of operand `name`; `base` may be another tensor of the same layout. */
export const headAt = (
  f: FunctionBuilder,
  p: Record<string, I32>,
  name: string,
  batch: I32,
  head: I32,
  base: I32 = p[name],
): I32 => f.let(base.add(batch.mul(p[`${name}Batch`])).add(head.mul(p[`${name}Head`])));

/** Floats per row of a block whose rows are whole vectors. */
export const paddedDim = (dim: number): number => (dim + 3) & ~3;
