/** Getting a device ready before there is work for it. */

import type { Generator } from "../core/random.js";
import { getDefaultGenerator } from "../tensor/create.js";
import { observed } from "../tensor/dispatch.js";
import { tidy } from "../tensor/scope.js";
import { Dropout } from "./dropout.js";
import type { Module } from "./module.js";

/**
 * Lets a model's device prepare what `work` will need (pipelines of a graphics card, compiled beside each other), without
 * computing anything: `work`, which is synchronous, runs once with kernels that do nothing. Gradients are dropped and
 * random numbers are as if nothing had been drawn. Nothing happens on other devices, nor while ops are observed.
 */
export async function rehearse(model: Module, work: () => unknown): Promise<void> {
  const backend = [...model.parameters()][0]?.storage.backend;
  if (!backend?.rehearse || observed()) return;
  const generators = new Set<Generator>([getDefaultGenerator()]);
  for (const module of model.modules())
    if (module instanceof Dropout && module.generator) generators.add(module.generator);
  const states = [...generators].map((generator) => [generator, generator.getState()] as const);
  await backend.rehearse(() => {
    try {
      tidy(() => void work());
    } finally {
      model.zeroGrad();
      for (const [generator, state] of states) generator.setState(state);
    }
  });
}
