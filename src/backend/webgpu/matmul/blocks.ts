/**
 * The factors of a product, read from memory by blocks of 4 x 4. What lies beyond an edge is read too, inside the buffer:
 * with a branch around it, each read would be waited for before the next is sent. Rows and columns beyond an edge end in
 * results that nobody writes; steps beyond the last must count as zero.
 */

import { upTo } from "../shader.js";
import { leftOf, type Product, rightOf } from "./product.js";

/** Texts about the blocks of one factor. */
export interface Blocks {
  /** The type of a vector of a block, as it was read. */
  readonly raw: string;
  /** Vector i of the block at `outer`, a row of a or a column of b, and at `step` of k. */
  read(i: number, outer: string, step: string): string;
  /** A matrix of four vectors that were read, whose columns are the block's steps of k. */
  bySteps(vectors: readonly string[]): string;
  /** One whose columns are the rows (columns) of the factor; not widened to float32. */
  byLines(vectors: readonly string[]): string;
}

export function blocksOf(product: Product, of: "left" | "right"): Blocks {
  const left = of === "left";
  const matrix = left ? leftOf(product) : rightOf(product);
  const wide = left ? product.wideA : product.wideB;
  // `along`: neighbours in memory are neighbours in the outer dim; else they are steps of k.
  const along = left ? product.transposeA : !product.transposeB;
  const [base, extent] = left ? ["a", "p.m"] : ["b", "p.n"];
  const element = wide ? "" : matrix.raw;
  const vector = element === "f32" ? "vec4f" : `vec4<${element}>`;
  const widened = (value: string) => {
    if (wide) return matrix.widen(value);
    return element === "f32" ? value : `vec4f(${value})`;
  };
  return {
    raw: wide ? matrix.raw : vector,
    read(i, outer, step) {
      const first = along
        ? `${base} + (${step} + ${i}u) * ${extent} + ${outer}`
        : `${base} + (${outer} + ${i}u) * p.k + ${step}`;
      if (wide) return matrix.read(`(${first}) / 4u`);
      return `${vector}(${upTo(4)
        .map((j) => matrix.read(`${first} + ${j}u`))
        .join(", ")})`;
    },
    bySteps(vectors) {
      const block = `mat4x4f(${vectors.map(widened).join(", ")})`;
      return along ? block : `transpose(${block})`;
    },
    byLines(vectors) {
      const block = `mat4x4<f16>(${vectors.join(", ")})`;
      return along ? `transpose(${block})` : block;
    },
  };
}
