/** Whose parameters an optimizer updates. */

import { ConfigError } from "../core/errors.js";
import type { Module } from "../nn/module.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Group } from "./optimizer.js";

/** Checked before, so that a step costs nothing. */
const known = new WeakMap<object, Module>();

/** Refuses to train a model with an optimizer that has none of its parameters: nothing would be learnt. */
export function checkOwner(where: string, model: Module, optimizer: { groups?: readonly Group<unknown>[] }): void {
  // Optimizers of one's own need no groups.
  if (!Array.isArray(optimizer.groups)) return;
  // A model that was moved since has disposed of the parameters that it had.
  if (known.get(optimizer) === model && !optimizer.groups[0]?.params[0]?.tensor.disposed) return;
  const own = new Set<Tensor>(model.parameters());
  const held = optimizer.groups.flatMap(({ params }) => params);
  if (held.some(({ tensor }) => own.has(tensor))) {
    known.set(optimizer, model);
    return;
  }
  const names = held.slice(0, 3).map(({ name }) => name);
  const few = `${names.join(", ")}${held.length > names.length ? ", …" : ""}`;
  throw new ConfigError(
    `${where}: needs an optimizer of the model's parameters, got ${optimizer.constructor.name} (${few}) and ${model.constructor.name}, which holds none of these tensors.`,
    { where, hint: "Make it anew: new AdamW(model.namedParameters())." },
  );
}
