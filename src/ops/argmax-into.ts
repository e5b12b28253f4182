/** The likeliest of a row of logits, where a decoder's next pass reads it: no copy, and no check that it is one of them. */

import { misfit, showShape } from "../core/errors.js";
import { sizeOf, splitAt } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import { registerOp } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";

const argmaxIntoOp = registerOp({
  name: "argmaxInto",
  doc: "position of the first largest element of the last dim, into a tensor that is there",
  inputs: ["x", "out"],
  mutates: [1],
  infer: ([x, out]) => {
    const size = x.shape.at(-1);
    if (x.dtype === "float32" && size && out.dtype === "int32" && sizeOf(out.shape) * size === sizeOf(x.shape))
      return [];
    throw misfit(
      "argmaxInto",
      `needs float32 x [..., N] and int32 out of one number for each N, got ${showShape(x.shape)} and ${showShape(out.shape)}.`,
    );
  },
  run: (kernels, [x, out]) => kernels.argReduce("argmax", x, out, splitAt(x.shape, x.shape.length - 1)),
});

/** `argmax` of the last dim into int32 `out`, of any shape: what a decoder finds goes where the next pass reads it. */
export const argmaxInto = (x: Tensor, out: Tensor): void => void dispatch(argmaxIntoOp, [x, out]);
