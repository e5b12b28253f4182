/** The gradients of one step: those that `backward()` left, or those that are given. */

import {
  ConfigError,
  DisposedError,
  DTypeError,
  kindOf,
  nearest,
  ShapeError,
  show,
  showShape,
} from "../core/errors.js";
import { sameShape } from "../core/shape.js";
import { Tensor } from "../tensor/tensor.js";

/** A parameter under the name that its state is saved by. */
export interface NamedParameter {
  readonly name: string;
  readonly tensor: Tensor;
}

/** Gradients by the names of their parameters, or in their order. */
export type Gradients = Readonly<Record<string, Tensor>> | readonly (Tensor | undefined)[];

/** Each parameter's gradient, where it has one. Refuses gradients that fit no parameter, and parameters that are gone. */
export function gradientsOf(
  where: string,
  parameters: readonly NamedParameter[],
  grads: Gradients | undefined,
): Map<Tensor, Tensor | undefined> {
  if (grads !== undefined && (typeof grads !== "object" || grads === null || grads instanceof Tensor)) {
    throw new ConfigError(`${where}: step needs gradients by name or in order, got ${kindOf(grads)}.`, {
      where,
      hint: "Without an argument it takes those that backward() left in .grad.",
    });
  }
  if (Array.isArray(grads) && grads.length !== parameters.length) {
    throw new ConfigError(`${where}: step needs ${parameters.length} gradients in order, got ${grads.length}.`, {
      where,
    });
  }
  const byName = new Map<string, Tensor | undefined>(grads && !Array.isArray(grads) ? Object.entries(grads) : []);
  if (byName.size > 0) refuseUnknown(where, parameters, byName.keys());
  return new Map(
    parameters.map(({ name, tensor }, i) => {
      if (tensor.disposed) {
        throw new DisposedError(`${where}: step needs parameters that are alive, got ${name}, which was disposed.`, {
          where,
          hint: "Make the optimizer after module.to(), whose parameters are new tensors.",
        });
      }
      const grad = Array.isArray(grads) ? grads[i] : grads ? byName.get(name) : tensor.grad;
      if (grad && !(grad instanceof Tensor)) {
        throw new ConfigError(`${where}: step needs a tensor as gradient of ${name}, got ${kindOf(grad)}.`, { where });
      }
      // 16-bit floats are stored, not computed with.
      if (grad && tensor.dtype !== "float32") {
        throw new DTypeError(`${where}: step needs parameters of float32, got ${name} of ${tensor.dtype}.`, {
          where,
          hint: 'Train in float32: module.to({ dtype: "float32" }), then make the optimizer.',
        });
      }
      if (grad && !sameShape(grad.shape, tensor.shape)) {
        throw new ShapeError(
          `${where}: ${name} needs a gradient of its shape, got ${showShape(tensor.shape)} and ${showShape(grad.shape)}.`,
          { where, shapes: [tensor.shape, grad.shape] },
        );
      }
      return [tensor, grad];
    }),
  );
}

function refuseUnknown(where: string, parameters: readonly NamedParameter[], names: Iterable<string>): void {
  const known = new Set(parameters.map(({ name }) => name));
  for (const name of names) {
    if (known.has(name)) continue;
    const near = nearest(name, known);
    throw new ConfigError(`${where}: step has no parameter ${show(name)}.`, {
      where,
      hint: near ? `Did you mean "${near}"?` : "Names are those of the list that the optimizer was made of.",
    });
  }
}
