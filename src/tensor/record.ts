/** Recording: from a call that was made to the node that knows its gradient. */

import { isFloat } from "../core/dtype.js";
import { GradientError } from "../core/errors.js";
import { GradNode, grad, type Pullback, withGrad } from "./autograd.js";
import { derivativeGrads } from "./elementwise.js";
import { accumulate } from "./gradients.js";
import { type Attrs, compositionOutputs, type Op } from "./op.js";
import type { Tensor } from "./tensor.js";

type Inputs = readonly (Tensor | undefined)[];

/** Gives the outputs a node, where an input needs a gradient. */
export function record(op: Op, inputs: Inputs, outputs: readonly Tensor[], attrs: Attrs): void {
  if (!inputs.some((input) => input?.requiresGrad)) return;
  if (!outputs.some((output) => isFloat(output.dtype))) return;
  const needed = inputs.map((input) => input?.requiresGrad === true);
  const { derivative, backward, composition } = op.definition;
  const { saved, pullback } = derivative
    ? rowRule(op, inputs, outputs, attrs, needed)
    : backward
      ? statedRule(op, inputs, outputs, attrs, needed)
      : composition
        ? compositionRule(op, inputs, attrs, needed)
        : noRule(op);
  const node = new GradNode(op.name, inputs, saved, outputs.length, pullback);
  outputs.forEach((output, i) => {
    if (!isFloat(output.dtype)) return;
    output.node = node;
    output.outputIndex = i;
  });
}

/** What a node keeps, and the function that gives the gradients of its inputs. */
interface Rule {
  readonly saved: readonly Tensor[];
  readonly pullback: Pullback;
}

/** As in PyTorch: a gradient that nobody can tell is no zero. */
const noRule = ({ name }: Op): Rule => ({
  saved: [],
  pullback() {
    throw new GradientError(`${name}: has no gradient, its definition gives neither derivative nor backward.`, {
      where: name,
      hint: `Give one (derivative: () => [undefined] where it is zero), or run ${name} on x.detach().`,
    });
  },
});

function rowRule(op: Op, inputs: Inputs, [output]: readonly Tensor[], attrs: Attrs, needed: readonly boolean[]): Rule {
  const rule = derivativeGrads(op, inputs as readonly Tensor[], output, attrs);
  return { saved: rule.saved, pullback: ([grad]) => (grad ? rule.pullback(grad, needed) : []) };
}

function statedRule(
  { definition: { backward, saves } }: Op,
  inputs: Inputs,
  outputs: readonly Tensor[],
  attrs: Attrs,
  needed: readonly boolean[],
): Rule {
  const saved: Tensor[] = [];
  const hold = (tensors: Inputs, positions: readonly number[] = []) => {
    const held: Tensor[] = [];
    for (const i of positions) {
      const tensor = tensors[i];
      if (tensor) saved.push((held[i] = tensor.alias()));
    }
    return held;
  };
  const shapes = inputs.map((input) => input?.shape ?? []);
  const heldInputs = hold(inputs, saves?.inputs);
  const heldOutputs = hold(outputs, saves?.outputs);
  const needs = (i: number) => needed[i];
  const pullback: Pullback = (grads) =>
    backward!({ grads, grad: grads[0]!, inputs: heldInputs, outputs: heldOutputs, shapes, attrs, needs });
  return { saved, pullback };
}

/** A kernel computed the value and only the composition knows the gradient: it runs again, recorded. */
function compositionRule(op: Op, inputs: Inputs, attrs: Attrs, needed: readonly boolean[]): Rule {
  const held = inputs.map((input) => input?.alias());
  const pullback: Pullback = (grads) => {
    const leaves = held.map((input, i) => {
      const leaf = input?.alias();
      if (leaf && needed[i]) leaf.requiresGrad = true;
      return leaf;
    });
    const wanted = leaves.filter((_, i) => needed[i]) as Tensor[];
    const sums: (Tensor | undefined)[] = [];
    const outputs = withGrad(() => compositionOutputs(op, leaves as Tensor[], attrs));
    outputs.forEach((output, o) => {
      const gradient = grads[o];
      if (!gradient || !output.requiresGrad) return;
      for (const [i, more] of grad(output, wanted, { gradient, retainGraph: true }).entries())
        sums[i] = accumulate(sums[i], more);
    });
    return leaves.map((leaf) => (leaf?.requiresGrad ? sums[wanted.indexOf(leaf)] : undefined));
  };
  return { saved: held.filter((tensor) => tensor !== undefined), pullback };
}
