/**
 * All ops, as functions. Those of one tensor's own are methods of Tensor too; attention, convolutions, pools, losses and
 * cells are not, as in PyTorch, and who does not import them does not load them.
 */

import "../tensor/print.js";
import { Tensor } from "../tensor/tensor.js";
import "../tensor/transfer.js";
import * as dropout from "./dropout.js";
import * as elementwise from "./elementwise.js";
import * as indexing from "./indexing.js";
import * as join from "./join.js";
import * as matmul from "./matmul.js";
import * as movement from "./movement.js";
import * as norm from "./norm.js";
import * as reduce from "./reduce.js";
import * as region from "./region.js";
import * as softmax from "./softmax.js";
import * as triangle from "./triangle.js";

export * from "./attention.js";
export * from "./convolution.js";
export * from "./cross-entropy.js";
export { defineOp, type OpFunction, type TensorLike } from "./define.js";
export * from "./dropout.js";
export { einsum } from "./einsum.js";
export * from "./elementwise.js";
export * from "./indexing.js";
export * from "./join.js";
export * from "./loss.js";
export * from "./matmul.js";
export * from "./movement.js";
export * from "./norm.js";
export * from "./recurrent.js";
export * from "./reduce.js";
export type { LossOptions, Reduction } from "./reduction.js";
export * from "./region.js";
export * from "./softmax.js";
export * from "./triangle.js";

const families = [dropout, elementwise, indexing, join, matmul, movement, norm, reduce, region, softmax, triangle];

/** Take lists of tensors, so they are functions only. */
const functionsOnly = ["cat", "stack"] as const;

/** Functions as methods: without their first parameter. */
type Methods<Family> = {
  [Name in keyof Family]: Family[Name] extends (self: any, ...rest: infer Rest) => infer Result
    ? (...rest: Rest) => Result
    : never;
};

declare module "../tensor/tensor.js" {
  interface Tensor
    extends Methods<typeof dropout>,
      Methods<typeof elementwise>,
      Methods<typeof indexing>,
      Methods<typeof matmul>,
      Methods<Omit<typeof join, (typeof functionsOnly)[number]>>,
      Methods<typeof movement>,
      Methods<typeof region>,
      Methods<typeof triangle>,
      Methods<typeof norm>,
      Methods<typeof reduce>,
      Methods<typeof softmax> {}
}

for (const family of families) {
  for (const [name, fn] of Object.entries(family)) {
    if (typeof fn !== "function" || (functionsOnly as readonly string[]).includes(name)) continue;
    Object.defineProperty(Tensor.prototype, name, {
      value(this: Tensor, ...rest: unknown[]) {
        return (fn as (...args: unknown[]) => unknown)(this, ...rest);
      },
      writable: true,
      configurable: true,
    });
  }
}
