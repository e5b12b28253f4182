/** Dropout (Srivastava et al. 2014): which elements stay is a function of seed, stream, call and index alone. */

import { checkDropout, checkOptions } from "../core/options.js";
import { checkGenerator, type Generator, type RandomCall } from "../core/random.js";
import { getDefaultGenerator } from "../tensor/create.js";
import { dispatchOne } from "../tensor/dispatch.js";
import { type Op, registerOp } from "../tensor/op.js";
import { live } from "../tensor/repeated.js";
import type { Tensor } from "../tensor/tensor.js";

interface DropoutAttrs {
  [name: string]: RandomCall | number;
  call: RandomCall;
  threshold: number;
  scale: number;
}

const dropoutOp: Op = registerOp<DropoutAttrs>({
  name: "dropout",
  doc: "zero with probability p, else scaled by 1 / (1 - p)",
  inputs: [{ name: "x", kind: "float" }],
  attrs: { call: { type: "object" }, threshold: { type: "number" }, scale: { type: "number" } },
  infer: ([x]) => [x],
  run: (kernels, [x], [out], { call, threshold, scale }) => kernels.dropout(x, out, call, threshold, scale),
  backward: ({ grad, attrs }) => [dispatchOne(dropoutOp, [grad], attrs)],
});

/** Zeroes elements with probability p and scales the others by 1 / (1 - p); x itself where p is 0. */
export function dropout(x: Tensor, options: { p?: number; generator?: Generator; stream?: string } = {}): Tensor {
  checkOptions("dropout", options, ["p", "generator", "stream"]);
  const { p = 0.5, generator = getDefaultGenerator(), stream = "dropout" } = options;
  checkDropout("dropout", p);
  checkGenerator("dropout", generator);
  if (p === 0) return x;
  const threshold = Math.round((1 - p) * 4294967296);
  // Where a device repeats this and the backward pass, both read what was drawn for that time.
  const call = {} as RandomCall;
  live([], () => void Object.assign(call, generator.next(stream)));
  return dispatchOne(dropoutOp, [x], { call, threshold, scale: Math.fround(1 / (1 - p)) });
}
