/** Matrix products. Every output element is one chain over k, whatever the shapes, batch or path (see kernels.ts). */

import type { MatmulLayout } from "../backend/kernels.js";
import { misfit, ShapeError, showShape } from "../core/errors.js";
import { broadcastShapes, broadcastStrides, type Shape, sameShape, sizeOf } from "../core/shape.js";
import { dispatch, dispatchOne } from "../tensor/dispatch.js";
import { registerOp } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkTensors, factor, named } from "./define.js";
import { mul } from "./elementwise.js";
import { reshape } from "./movement.js";
import { sum } from "./reduce.js";

interface MatmulAttrs {
  [name: string]: boolean;
  transposeA: boolean;
  transposeB: boolean;
}

function refuseInner(a: Shape, b: Shape, rule: string, k: number, kb: number): never {
  throw new ShapeError(`matmul: needs ${rule}, got ${showShape(a)} and ${showShape(b)}.`, {
    where: "matmul",
    shapes: [a, b],
    hint: `The inner sizes differ (${k} and ${kb}).`,
  });
}

/** The shape of a product of two stacks of matrices. */
function productShape(a: Shape, b: Shape, { transposeA, transposeB }: MatmulAttrs): Shape {
  const [ra, ca] = a.slice(-2);
  const [rb, cb] = b.slice(-2);
  const [m, k] = transposeA ? [ca, ra] : [ra, ca];
  const [kb, n] = transposeB ? [cb, rb] : [rb, cb];
  if (k !== kb) {
    refuseInner(a, b, `a ${transposeA ? "[k, m]" : "[m, k]"} and b ${transposeB ? "[n, k]" : "[k, n]"}`, k, kb);
  }
  return [...broadcastShapes("matmul", a.slice(0, -2), b.slice(0, -2)), m, n];
}

/** Its sizes, and which matrices are multiplied. */
function layoutOf(a: Shape, b: Shape, out: Shape, { transposeA, transposeB }: MatmulAttrs): MatmulLayout {
  const [m, n] = out.slice(-2);
  const [k] = transposeA ? a.slice(-2) : a.slice(-1);
  const lead = out.slice(0, -2);
  const [batchA, batchB] = [a, b].map((shape) => matricesOf(shape.slice(0, -2), lead));
  return { m, n, k, transposeA, transposeB, batchA, batchB };
}

/** For each matrix of the broadcast stack, which matrix of the operand it is. */
function matricesOf(own: Shape, lead: Shape): number[] {
  const found = new Array<number>(sizeOf(lead));
  if (sameShape(own, lead)) {
    for (let i = 0; i < found.length; i++) found[i] = i;
    return found;
  }
  const strides = broadcastStrides(own, lead);
  const at = lead.map(() => 0);
  let matrix = 0;
  for (let i = 0; i < found.length; i++) {
    found[i] = matrix;
    for (let d = lead.length - 1; d >= 0; d--) {
      matrix += strides[d];
      if (++at[d] < lead[d]) break;
      matrix -= strides[d] * lead[d];
      at[d] = 0;
    }
  }
  return found;
}

const matmulOp = registerOp<MatmulAttrs>({
  name: "matmul",
  doc: "products of stacks of matrices, which may be read transposed",
  inputs: [factor("a"), factor("b")],
  attrs: { transposeA: { type: "boolean", default: false }, transposeB: { type: "boolean", default: false } },
  infer: ([a, b], attrs) => [{ shape: productShape(a.shape, b.shape, attrs), dtype: "float32" }],
  run: (kernels, [a, b], [out], attrs) => kernels.matmul(a, b, out, layoutOf(a.shape, b.shape, out.shape, attrs)),
  saves: { inputs: [0, 1] },
  backward: ({ grad, inputs: [a, b], attrs: { transposeA, transposeB }, needs }) => [
    needs(0) ? (transposeA ? product(b, grad, transposeB, true) : product(grad, b, false, !transposeB)) : undefined,
    needs(1) ? (transposeB ? product(grad, a, true, transposeA) : product(a, grad, !transposeA, false)) : undefined,
  ],
});

const product = (a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor =>
  dispatchOne(matmulOp, [a, b], { transposeA, transposeB });

/**
 * The matrix product. [m, k] x [k, n]; leading dims are stacks and broadcast; a vector counts as a row (left) or column
 * (right) and its dim is dropped from the result. Either may be float16 or bfloat16: sums and results are float32.
 */
export function matmul(a: Tensor, b: Tensor): Tensor {
  checkTensors("matmul", { a, b });
  if (a.ndim === 0 || b.ndim === 0) {
    throw new ShapeError(`matmul: needs at least 1 dim each, got ${showShape(a.shape)} and ${showShape(b.shape)}.`, {
      where: "matmul",
      hint: "Use mul() for scalars.",
    });
  }
  const [k, kb] = [a.shape[a.ndim - 1], b.shape[Math.max(0, b.ndim - 2)]];
  if (k !== kb) refuseInner(a.shape, b.shape, "a [m, k] and b [k, n]", k, kb);
  const left = a.ndim === 1 ? reshape(a, [1, -1]) : a;
  const right = b.ndim === 1 ? reshape(b, [-1, 1]) : b;
  // One matrix on the right: the stack on the left is one tall matrix.
  const tall = right.ndim === 2 && left.ndim > 2 && left.shape[left.ndim - 1] === right.shape[0];
  const result = tall
    ? reshape(product(reshape(left, [sizeOf(left.shape.slice(0, -1)), right.shape[0]]), right, false, false), [
        ...left.shape.slice(0, -1),
        right.shape[1],
      ])
    : product(left, right, false, false);
  if (a.ndim > 1 && b.ndim > 1) return result;
  const dropped = [...result.shape];
  if (b.ndim === 1) dropped.pop();
  if (a.ndim === 1) dropped.splice(b.ndim === 1 ? dropped.length - 1 : dropped.length - 2, 1);
  return reshape(result, dropped);
}

/** a_i b_j of two vectors. */
export function outer(a: Tensor, b: Tensor): Tensor {
  checkTensors("outer", { a, b });
  if (a.ndim !== 1 || b.ndim !== 1) {
    throw misfit("outer", `needs two vectors, got ${showShape(a.shape)} and ${showShape(b.shape)}.`);
  }
  return named("outer", () => mul(reshape(a, [-1, 1]), reshape(b, [1, -1])));
}

interface LinearAttrs {
  [name: string]: boolean;
  inOut: boolean;
}

/** The gradients of a linear map's weight and bias together: a device may make both in one launch. */
const linearGradientsOp = registerOp<LinearAttrs>({
  name: "linearGradients",
  doc: "gradients of the weight and the bias of a linear map",
  inputs: [factor("x"), { name: "grad", kind: "float" }],
  attrs: { inOut: { type: "boolean" } },
  infer: ([{ shape: x }, { shape: grad }], { inOut }) => [
    { shape: inOut ? [x[1], grad[1]] : [grad[1], x[1]], dtype: "float32" },
    { shape: [grad[1]], dtype: "float32" },
  ],
  run: (kernels, [x, grad], [dWeight, dBias], { inOut }) => {
    const [rows, size] = grad.shape;
    const [a, b] = inOut ? [x, grad] : [grad, x];
    const [m, n] = dWeight.shape;
    const layout = { m, n, k: rows, transposeA: true, transposeB: false, batchA: [0], batchB: [0] };
    if (kernels.matmulAndSums) {
      kernels.matmulAndSums(a, b, dWeight, dBias, layout, inOut ? "b" : "a");
      return;
    }
    kernels.matmul(a, b, dWeight, layout);
    kernels.reduce("sum", grad, dBias, { outer: 1, size: rows, inner: size });
  },
});

const linearOp = registerOp<LinearAttrs>({
  name: "linear",
  doc: "x W^T + b over the last dim",
  inputs: [factor("x"), factor("weight"), { name: "bias", kind: "float", optional: true, stored: "widened" }],
  attrs: { inOut: { type: "boolean", default: false } },
  infer: ([x, weight, bias], { inOut }) => {
    const [out, features] = inOut ? [weight.shape[1], weight.shape[0]] : weight.shape;
    const ok = weight.shape.length === 2 && x.shape.length > 0 && x.shape[x.shape.length - 1] === features;
    if (!ok || (bias && (bias.shape.length !== 1 || bias.shape[0] !== out))) {
      const tail = bias ? ` and ${showShape(bias.shape)}` : "";
      throw new ShapeError(
        `linear: needs x [..., in], weight ${inOut ? "[in, out]" : "[out, in]"}${bias ? " and bias [out]" : ""}, got ${showShape(x.shape)}, ${showShape(weight.shape)}${tail}.`,
        { where: "linear", shapes: [x.shape, weight.shape] },
      );
    }
    return [{ shape: [...x.shape.slice(0, -1), out], dtype: "float32" }];
  },
  run: (kernels, [x, weight, bias], [out], { inOut }) => {
    const k = x.shape[x.shape.length - 1];
    const n = out.shape[out.shape.length - 1];
    const m = sizeOf(x.shape.slice(0, -1));
    kernels.matmul(x, weight, out, { m, n, k, transposeA: false, transposeB: !inOut, batchA: [0], batchB: [0], bias });
  },
  saves: { inputs: [0, 1] },
  backward: ({ grad, inputs: [x, weight], attrs: { inOut }, shapes, needs }) => {
    const rows = sizeOf(x.shape.slice(0, -1));
    const g = reshape(grad, [rows, grad.shape[grad.ndim - 1]]);
    const flat = reshape(x, [rows, x.shape[x.ndim - 1]]);
    const dX = needs(0) ? reshape(product(g, weight, false, inOut), shapes[0]) : undefined;
    if (needs(1) && needs(2)) return [dX, ...dispatch(linearGradientsOp, [flat, g], { inOut })];
    return [
      dX,
      needs(1) ? (inOut ? product(flat, g, true, false) : product(g, flat, true, false)) : undefined,
      needs(2) ? sum(g, { dim: 0 }) : undefined,
    ];
  },
});

/**
 * x W^T + b over the last dim of x; weight is [out, in], or [in, out] with `inOut` (GPT-2's files). x and the weight may
 * be float16 or bfloat16: sums and results are float32.
 */
export const linear = (x: Tensor, weight: Tensor, bias?: Tensor, options: { inOut?: boolean } = {}): Tensor =>
  dispatchOne(linearOp, [x, weight, bias], options);
