/** Activations as modules, for `Sequential`; the functions are ops of the same names. */

import { checkFinite, checkOptions, checkWord, refuseOption } from "../core/options.js";
import { gelu, leakyRelu, logSoftmax, relu, sigmoid, silu, softmax, softplus, tanh } from "../ops/index.js";
import type { Tensor } from "../tensor/tensor.js";
import { Module } from "./module.js";

/** max(x, 0). */
export class ReLU extends Module {
  forward(x: Tensor): Tensor {
    return relu(x);
  }
}

/** x where positive, else negativeSlope * x. */
export class LeakyReLU extends Module {
  constructor(readonly negativeSlope = 0.01) {
    super();
    checkFinite("LeakyReLU", { negativeSlope });
  }

  forward(x: Tensor): Tensor {
    return leakyRelu(x, { negativeSlope: this.negativeSlope });
  }
}

/** x times the normal distribution function of x; `tanh` is GPT-2's approximation. */
export class GELU extends Module {
  readonly approximate: "none" | "tanh";

  constructor(options: { approximate?: "none" | "tanh" } = {}) {
    super();
    checkOptions("GELU", options, ["approximate"]);
    this.approximate = options.approximate ?? "none";
    checkWord("GELU", "approximate", this.approximate, ["none", "tanh"]);
  }

  forward(x: Tensor): Tensor {
    return gelu(x, { approximate: this.approximate });
  }
}

/** x * sigmoid(x). */
export class SiLU extends Module {
  forward(x: Tensor): Tensor {
    return silu(x);
  }
}

/** 1 / (1 + e^-x). */
export class Sigmoid extends Module {
  forward(x: Tensor): Tensor {
    return sigmoid(x);
  }
}

/** The hyperbolic tangent. */
export class Tanh extends Module {
  forward(x: Tensor): Tensor {
    return tanh(x);
  }
}

/** log(1 + e^x). */
export class Softplus extends Module {
  forward(x: Tensor): Tensor {
    return softplus(x);
  }
}

function dimOf(where: string, options: { dim?: number }): number {
  checkOptions(where, options, ["dim"]);
  const { dim = -1 } = options;
  if (!Number.isSafeInteger(dim)) refuseOption(where, "dim", "a whole number", dim);
  return dim;
}

/** Softmax along a dim, the last unless given. */
export class Softmax extends Module {
  readonly dim: number;

  constructor(options: { dim?: number } = {}) {
    super();
    this.dim = dimOf("Softmax", options);
  }

  forward(x: Tensor): Tensor {
    return softmax(x, { dim: this.dim });
  }
}

/** The logarithm of softmax along a dim, the last unless given. */
export class LogSoftmax extends Module {
  readonly dim: number;

  constructor(options: { dim?: number } = {}) {
    super();
    this.dim = dimOf("LogSoftmax", options);
  }

  forward(x: Tensor): Tensor {
    return logSoftmax(x, { dim: this.dim });
  }
}
