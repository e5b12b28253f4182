/** Three ways to add an op from outside, through the public entry point alone. */
import { defineOp, expr, registerKernel } from "tenon";

const sigmoid = (x) => expr.div(1, expr.add(1, expr.exp(expr.neg(x))));

/** A row: a value and its derivative as expressions. Every device makes one kernel of each. */
export const swish = defineOp({
  name: "example.swish",
  doc: "x * sigmoid(x)",
  inputs: ["x"],
  promotion: "float",
  expr: ([x]) => expr.mul(x, sigmoid(x)),
  derivative: ([x], _, out) => [expr.add(out, expr.mul(sigmoid(x), expr.sub(1, out)))],
});

/** A composition: other ops, whose gradients come along. */
export const meanSquare = defineOp({
  name: "example.meanSquare",
  doc: "the mean of x^2",
  inputs: ["x"],
  composition: ([x]) => x.mul(x).mean(),
});

/** A kernel for each device, and the gradient beside it. */
export const total = defineOp({
  name: "example.total",
  doc: "the sum of all elements",
  inputs: ["x"],
  infer: ([x]) => [{ shape: [], dtype: x.dtype }],
  backward: ({ grad, shapes }) => [grad.expand(shapes[0])],
});
for (const device of ["reference", "cpu"])
  registerKernel("example.total", device, ([x], [output], _, kernels) =>
    kernels.reduce("sum", x, output, { outer: 1, size: x.size, inner: 1 }),
  );
