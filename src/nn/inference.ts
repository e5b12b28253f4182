/** Computing what a model says without training it. */

import { noGrad } from "../tensor/autograd.js";
import { tidy } from "../tensor/scope.js";
import type { Module } from "./module.js";

/**
 * What `compute`, which is synchronous, gives in evaluation mode, without gradients and in a scope of its own. The mode
 * lasts no longer than the call: what waits between two of them may train the model, or let it write something else.
 */
export function inference<T>(model: Module, compute: () => T): T {
  const { training } = model;
  if (training) model.eval();
  try {
    return noGrad(() => tidy(compute));
  } finally {
    if (training) model.train();
  }
}
