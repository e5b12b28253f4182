/** In-place updates: one elementwise program that reads a parameter, its gradient and its moments, and writes them. */

import { abs, type Expr, input, lt, mul, program, scalar, select } from "../core/expr.js";
import { dispatch } from "../tensor/dispatch.js";
import { type Op, registerOp } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";

export interface UpdateDefinition<Name extends string, Scalar extends string> {
  readonly name: string;
  readonly doc: string;
  /** Tensors of one shape; `grad` among them is multiplied by the optional scale before anything else. */
  readonly inputs: readonly Name[];
  /** Numbers given at each call; computed in float64 and rounded once, here. */
  readonly scalars: readonly Scalar[];
  /** The new values of the inputs that change. */
  readonly next: (
    inputs: Readonly<Record<Name, Expr>>,
    scalars: Readonly<Record<Scalar, Expr>>,
  ) => Partial<Record<Name, Expr>>;
}

/** Runs an update. `scale` is a 0-d tensor on the device: the gradient's clip coefficient, never read back. */
export type Update<Name extends string, Scalar extends string> = (
  inputs: Readonly<Record<Name, Tensor>>,
  scalars: Readonly<Record<Scalar, number>>,
  scale?: Tensor,
) => void;

/** Moments smaller than the smallest normal float32 become 0: subnormal arithmetic is slow, and not equal everywhere. */
export const flush = (x: Expr): Expr => select(lt(abs(x), 2 ** -126), 0, x);

/** Defines an update as an op that goes through the door and mutates its inputs. */
export function defineUpdate<Name extends string, Scalar extends string>(
  definition: UpdateDefinition<Name, Scalar>,
): Update<Name, Scalar> {
  const { name, doc, inputs, scalars, next } = definition;
  const scaleInput = inputs.length;

  const build = (scaled: boolean) => {
    const nodes = Object.fromEntries(
      inputs.map((key, i) => {
        const node = input(i);
        return [key, key === "grad" && scaled ? mul(node, input(scaleInput)) : node];
      }),
    ) as Record<Name, Expr>;
    const numbers = Object.fromEntries(scalars.map((key, i) => [key, scalar(i)])) as Record<Scalar, Expr>;
    const values = next(nodes, numbers);
    const changed = inputs.flatMap((key, i) => (values[key] ? [i] : []));
    return { changed, program: program(...changed.map((i) => values[inputs[i]]!)) };
  };
  const plain = build(false);
  const scaled = build(true);

  const op: Op = registerOp({
    name,
    doc,
    inputs: [
      ...inputs.map((key) => ({ name: key, kind: "float" }) as const),
      { name: "scale", kind: "float", optional: true },
    ],
    attrs: Object.fromEntries(scalars.map((key) => [key, { type: "number" }] as const)),
    infer: () => [],
    mutates: plain.changed,
    run: (kernels, given, _, attrs) => {
      const variant = given[scaleInput] ? scaled : plain;
      const operands = given[scaleInput] ? given : given.slice(0, scaleInput);
      const numbers = scalars.map((key) => (attrs as Record<string, number>)[key]);
      kernels.elementwise(
        variant.program,
        operands,
        variant.changed.map((i) => given[i]),
        numbers,
      );
    },
  });
  return (tensors, numbers, scale) => {
    dispatch(op, [...inputs.map((key) => tensors[key]), scale], numbers);
  };
}
