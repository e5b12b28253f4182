/** Dropout as a module. */

import { checkDropout } from "../core/options.js";
import { checkGenerator, type Generator } from "../core/random.js";
import { dropout } from "../ops/index.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkModule, Module } from "./module.js";

/** While training, zeroes elements with probability p and scales the others by 1 / (1 - p) (Srivastava et al. 2014). */
export class Dropout extends Module {
  /** Whose stream `dropout` is drawn from; the default generator unless set. A run sets its own. */
  declare generator?: Generator;

  constructor(readonly p = 0.5) {
    super();
    checkDropout("Dropout", p);
  }

  forward(x: Tensor): Tensor {
    return this.training ? dropout(x, { p: this.p, generator: this.generator }) : x;
  }

  protected override describe(): string {
    return String(this.p);
  }
}

/** Makes every dropout of a model draw from this generator. */
export function setGenerator(model: Module, generator: Generator | undefined): void {
  checkModule("setGenerator", model);
  checkGenerator("setGenerator", generator);
  for (const module of model.modules()) if (module instanceof Dropout) module.generator = generator;
}
