/** Computing what a model says without training it. */

import { noGrad } from "../tensor/autograd.js";
import { tidy } from "../tensor/scope.js";
import type { Module } from "./module.js";

/**
 * What `compute`, which is synchronous, gives in evaluation mode, without gradients and in a scope of its own. The mode
 * lasts no longer than the call: what waits between two of them may train the model, or let it write something else.
 * Who calls often gives the model's modules, so that they are looked for once.
 */
export function inference<T>(model: Module, compute: () => T, modules: Iterable<Module> = model.modules()): T {
  const training = [...modules].filter((module) => module.training);
  for (const module of training) module.training = false;
  try {
    return noGrad(() => tidy(compute));
  } finally {
    for (const module of training) module.training = true;
  }
}
