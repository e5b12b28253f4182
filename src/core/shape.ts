/** Shapes: sizes, strides, broadcasting, and checks that name the operation. Tensors are contiguous, last dim fastest. */

import { misfit, ShapeError, show, showShape } from "./errors.js";

export type Shape = readonly number[];

/** Number of elements. */
export function sizeOf(shape: Shape): number {
  let size = 1;
  for (let i = 0; i < shape.length; i++) size *= shape[i];
  return size;
}

export function sameShape(a: Shape, b: Shape): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Element strides of a contiguous tensor. */
export function contiguousStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  for (let i = shape.length - 1, step = 1; i >= 0; i--) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

/** The shape two operands broadcast to (NumPy's rule: align at the end, sizes equal or 1). */
export function broadcastShapes(op: string, a: Shape, b: Shape): Shape {
  if (sameShape(a, b)) return a;
  const rank = Math.max(a.length, b.length);
  const out = new Array<number>(rank);
  for (let i = 1; i <= rank; i++) {
    const x = a[a.length - i] ?? 1;
    const y = b[b.length - i] ?? 1;
    if (x !== y && x !== 1 && y !== 1) {
      throw new ShapeError(
        `${op}: needs shapes equal or 1 in each dim, aligned at the end, got ${showShape(a)} and ${showShape(b)}.`,
        {
          where: op,
          shapes: [a, b],
          hint: `They differ in dim -${i} (${x} and ${y}); use reshape, unsqueeze or expand.`,
        },
      );
    }
    out[rank - i] = x === 1 ? y : x;
  }
  return out;
}

/** Strides that read `shape` as if it were broadcast to `target`: 0 in every repeated dim. */
export function broadcastStrides(shape: Shape, target: Shape): number[] {
  const own = contiguousStrides(shape);
  const lead = target.length - shape.length;
  return target.map((_, i) => (i < lead || shape[i - lead] === 1 ? 0 : own[i - lead]));
}

/** A dim from 0 to rank - 1; negative dims count from the end. */
export function normalizeDim(op: string, dim: number, rank: number): number {
  const range = Math.max(rank, 1);
  if (Number.isInteger(dim) && dim >= -range && dim < range) return dim < 0 ? dim + range : dim;
  throw new ShapeError(`${op}: needs dim from ${-range} to ${range - 1} for a ${rank}-d tensor, got ${show(dim)}.`, {
    where: op,
    dim,
    rank,
    hint: "Negative dims count from the end.",
  });
}

/** Dims as a sorted list without repeats; `undefined` means all. */
export function normalizeDims(op: string, dim: number | readonly number[] | undefined, rank: number): number[] {
  if (dim === undefined) return Array.from({ length: rank }, (_, i) => i);
  const dims = (Array.isArray(dim) ? dim : [dim]).map((d) => normalizeDim(op, d, rank));
  const unique = [...new Set(dims)].sort((a, b) => a - b);
  if (unique.length !== dims.length) {
    throw new ShapeError(`${op}: needs each dim once, got ${showShape(dims)}.`, { where: op, dims });
  }
  return rank === 0 ? [] : unique;
}

/** As many as other libraries have; with thousands, what looks at dims one in the other would run out of stack. */
export const MOST_DIMS = 64;

/** Checks that a shape is made of whole numbers from 0 up, and of no more than 64. */
export function checkShape(op: string, shape: Shape): Shape {
  if (Array.isArray(shape) && shape.every((n) => Number.isSafeInteger(n) && n >= 0)) {
    if (shape.length <= MOST_DIMS) return shape;
    throw misfit(op, `needs at most ${MOST_DIMS} dims, got ${shape.length}.`);
  }
  throw new ShapeError(`${op}: needs a shape of whole numbers from 0 up, got ${show(shape)}.`, {
    where: op,
    shape,
    hint: Array.isArray(shape) ? undefined : "A shape is an array, such as [2, 3].",
  });
}

/** A copy of sizes or dims, which come as one array: `x.reshape([2, 3])`, not `x.reshape(2, 3)`. */
export function listed(op: string, sizes: readonly number[]): number[] {
  if (Array.isArray(sizes)) return [...sizes];
  throw new ShapeError(`${op}: needs an array of whole numbers, got ${show(sizes)}.`, {
    where: op,
    hint: `Give them as one array: ${op}([${typeof sizes === "number" ? sizes : 2}, …]).`,
  });
}

/** Replaces one -1 in a target shape by what the element count leaves. */
export function inferReshape(op: string, from: Shape, target: Shape): Shape {
  const size = sizeOf(from);
  const hole = target.indexOf(-1);
  const known = target.reduce((product, n, i) => (i === hole ? product : product * n), 1);
  const out = hole < 0 ? target : target.map((n, i) => (i === hole ? size / known : n));
  if (out.every((n) => Number.isSafeInteger(n) && n >= 0) && sizeOf(out) === size) return out;
  throw new ShapeError(`${op}: needs a shape of ${size} elements, got ${showShape(from)} and ${showShape(target)}.`, {
    where: op,
    shapes: [from, target],
    hint: "One size may be -1 and is then inferred.",
  });
}

/** How a dim splits a contiguous tensor: index = (o * size + s) * inner + i. */
export function splitAt(shape: Shape, dim: number): { outer: number; size: number; inner: number } {
  return { outer: sizeOf(shape.slice(0, dim)), size: shape[dim] ?? 1, inner: sizeOf(shape.slice(dim + 1)) };
}
