/** Lists in lists as flat numbers and a shape. */

import { kindOf, misfit, ShapeError } from "../core/errors.js";
import { MOST_DIMS } from "../core/shape.js";
import { Tensor } from "./tensor.js";

/** Numbers or booleans, nested to any depth, or a typed array. */
export type NestedData = number | boolean | readonly NestedData[] | ArrayLike<number>;

const isList = (value: unknown): value is ArrayLike<NestedData> =>
  Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));

/** The numbers of nested lists in order, and the shape they have; ragged lists are refused with their place. */
export function flatten(data: NestedData): { shape: number[]; flat: number[]; boolean: boolean } {
  const shape: number[] = [];
  for (let level: unknown = data; isList(level); level = level[0]) {
    // A list may hold itself.
    if (shape.push(level.length) > MOST_DIMS) throw misfit("tensor", `needs at most ${MOST_DIMS} dims, got more.`);
  }
  const flat: number[] = [];
  const at: number[] = [];
  const place = (depth: number) =>
    `data${at
      .slice(0, depth)
      .map((i) => `[${i}]`)
      .join("")}`;
  let boolean = true;
  const visit = (value: unknown, depth: number): void => {
    if (isList(value)) {
      if (value.length !== shape[depth]) {
        throw new ShapeError(
          `tensor: needs lists of equal length, got ${value.length} at ${place(depth)} and ${shape[depth] ?? "a number"} before it.`,
          { where: "tensor", hint: "Pad the rows to one length." },
        );
      }
      const last = depth === shape.length - 1;
      for (let i = 0; i < value.length; i++) {
        const item = value[i];
        if (last && typeof item === "number") {
          flat.push(item); // most of what comes
          boolean = false;
        } else {
          at[depth] = i;
          visit(item, depth + 1);
        }
      }
      return;
    }
    if (depth !== shape.length || (typeof value !== "number" && typeof value !== "boolean")) {
      throw new ShapeError(`tensor: needs numbers at depth ${shape.length}, got ${kindOf(value)} at ${place(depth)}.`, {
        where: "tensor",
        hint:
          value instanceof Tensor
            ? "It is a tensor already; join several with stack() or cat()."
            : "Flat values and their shape: fromData(values, shape).",
      });
    }
    if (typeof value !== "boolean") boolean = false;
    flat.push(Number(value));
  };
  visit(data, 0);
  return { shape, flat, boolean: boolean && flat.length > 0 };
}
