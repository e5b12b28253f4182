/** Showing tensors: values where they can be read at once, shape and dtype elsewhere; long dims are abridged. */

import { decode, isFloat } from "../core/dtype.js";
import { showShape } from "../core/errors.js";
import { setDescriber, type Tensor } from "./tensor.js";

const EDGE = 3;
const THRESHOLD = 1000;

function show(tensor: Tensor): string {
  const tail = `dtype: ${tensor.dtype}, device: ${tensor.disposed ? "none" : tensor.device}${tensor.requiresGrad ? ", requiresGrad" : ""}`;
  const head = `tensor(${showShape(tensor.shape)}, ${tail})`;
  if (tensor.disposed) return `${head} disposed`;
  const view = tensor.view();
  if (view === undefined) return head;
  const abridge = tensor.size > THRESHOLD;
  const format = (i: number): string => {
    const value = decode(tensor.dtype, view[i]);
    if (tensor.dtype === "bool") return value ? "true" : "false";
    if (!isFloat(tensor.dtype) || !Number.isFinite(value)) return String(value);
    const size = Math.abs(value);
    return size !== 0 && (size < 1e-4 || size >= 1e6) ? value.toExponential(4) : value.toFixed(4);
  };
  const positions = (n: number): number[] =>
    abridge && n > 2 * EDGE ? [0, 1, 2, -1, n - 3, n - 2, n - 1] : Array.from({ length: n }, (_, i) => i);
  const build = (dim: number, offset: number, indent: string): string => {
    if (dim === tensor.shape.length) return format(offset);
    const stride = tensor.shape.slice(dim + 1).reduce((a, b) => a * b, 1);
    const parts = positions(tensor.shape[dim]).map((i) =>
      i < 0 ? "…" : build(dim + 1, offset + i * stride, `${indent} `),
    );
    const last = dim === tensor.shape.length - 1;
    return `[${parts.join(last ? ", " : `,\n${indent} `)}]`;
  };
  return `${head} ${build(0, 0, "")}`;
}

setDescriber(show);
