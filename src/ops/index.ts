/** All ops, as functions; those in `methods.ts` become methods of Tensor here. */

import "../tensor/print.js";
import { Tensor } from "../tensor/tensor.js";
import "../tensor/transfer.js";
import * as methods from "./methods.js";

export * from "./attention.js";
export * from "./convolution.js";
export * from "./cross-entropy.js";
export { defineOp, type OpFunction, type TensorLike } from "./define.js";
export { einsum } from "./einsum.js";
export * from "./loss.js";
export * from "./methods.js";
export * from "./recurrent.js";
export type { LossOptions, Reduction } from "./reduction.js";

/** Take lists of tensors, so they are functions only. */
const functionsOnly = ["cat", "stack"] as const;

/** Functions as methods: without their first parameter. */
type Methods<Family> = {
  [Name in keyof Family]: Family[Name] extends (self: any, ...rest: infer Rest) => infer Result
    ? (...rest: Rest) => Result
    : never;
};

declare module "../tensor/tensor.js" {
  interface Tensor extends Methods<Omit<typeof methods, (typeof functionsOnly)[number]>> {}
}

for (const [name, fn] of Object.entries(methods)) {
  if (typeof fn !== "function" || (functionsOnly as readonly string[]).includes(name)) continue;
  Object.defineProperty(Tensor.prototype, name, {
    value(this: Tensor, ...rest: unknown[]) {
      return (fn as (...args: unknown[]) => unknown)(this, ...rest);
    },
    writable: true,
    configurable: true,
  });
}
