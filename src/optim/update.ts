/**
 * In-place updates: one elementwise program that reads a parameter, its gradient and its moments, and writes them; for
 * all parameters of a model in one call, so that a device may do them together.
 */

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

/** One parameter's share of a step. */
export interface UpdateStep<Name extends string, Scalar extends string> {
  readonly tensors: Readonly<Record<Name, Tensor>>;
  readonly scalars: Readonly<Record<Scalar, number>>;
}

/**
 * Runs an update on any number of parameters at once. `scale` is a 0-d tensor on the device: the gradient's clip
 * coefficient, never read back.
 */
export type Update<Name extends string, Scalar extends string> = (
  steps: readonly UpdateStep<Name, Scalar>[],
  scale?: Tensor,
) => void;

/** Moments smaller than the smallest normal float32 become 0: subnormal arithmetic is slow, and not equal everywhere. */
export const flush = (x: Expr): Expr => select(lt(abs(x), 2 ** -126), 0, x);

/**
 * Defines an update as an op that goes through the door and mutates its inputs: those of the first parameter, those of
 * the second, …, then the scale where there is one.
 */
export function defineUpdate<Name extends string, Scalar extends string>(
  definition: UpdateDefinition<Name, Scalar>,
): Update<Name, Scalar> {
  const { name, doc, inputs, scalars, next } = definition;
  const width = inputs.length;

  const build = (scaled: boolean) => {
    const nodes = Object.fromEntries(
      inputs.map((key, i) => {
        const node = input(i);
        return [key, key === "grad" && scaled ? mul(node, input(width)) : node];
      }),
    ) as Record<Name, Expr>;
    const numbers = Object.fromEntries(scalars.map((key, i) => [key, scalar(i)])) as Record<Scalar, Expr>;
    const values = next(nodes, numbers);
    const changed = inputs.flatMap((key, i) => (values[key] ? [i] : []));
    return { changed, program: program(...changed.map((i) => values[inputs[i]]!)) };
  };
  const plain = build(false);
  const scaled = build(true);
  const { changed } = plain;

  const op: Op = registerOp({
    name,
    doc,
    inputs: [{ name: "tensors", kind: "float", variadic: true }],
    attrs: { scalars: { type: "object" } },
    infer: () => [],
    mutates: (count) =>
      Array.from({ length: Math.floor(count / width) }, (_, s) => changed.map((i) => s * width + i)).flat(),
    run: (kernels, given, _, attrs) => {
      const numbers = attrs.scalars as readonly (readonly number[])[];
      const calls = numbers.map((own, s) => {
        const tensors = given.slice(s * width, (s + 1) * width);
        return { inputs: tensors, outputs: changed.map((i) => tensors[i]), scalars: own };
      });
      const shared = given.slice(numbers.length * width);
      const { program } = shared.length > 0 ? scaled : plain;
      if (kernels.elementwiseMany) kernels.elementwiseMany(program, calls, shared);
      else
        for (const call of calls) kernels.elementwise(program, [...call.inputs, ...shared], call.outputs, call.scalars);
    },
  });
  return (steps, scale) => {
    if (steps.length === 0) return;
    const tensors = steps.flatMap((step) => inputs.map((key) => step.tensors[key]));
    const numbers = steps.map((step) => scalars.map((key) => step.scalars[key]));
    dispatch(op, scale ? [...tensors, scale] : tensors, { scalars: numbers });
  };
}
