/**
 * Muon (Jordan et al. 2024): momentum whose matrix is replaced by the nearest semi-orthogonal one, found by a few
 * Newton-Schulz iterations. For the weight matrices inside a network; give embeddings, heads, biases and norms to AdamW.
 */

import { ConfigError, misfit, showShape } from "../core/errors.js";
import { madd, mul, sub } from "../core/expr.js";
import { checkCounts, checkOptions, checkWord } from "../core/options.js";
import { add, div, matmul, maximum, sub as minus, sqrt, square, sum, mul as times, transpose } from "../ops/index.js";
import { tidy } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkHyperparameters } from "./check.js";
import { Optimizer, type ParameterGroup, type ParameterStep, type Parameters } from "./optimizer.js";
import { defineUpdate, flush } from "./update.js";

/** Options of Muon. */
export interface MuonOptions {
  lr: number;
  weightDecay: number;
  momentum: number;
  nesterov: boolean;
  /** Newton-Schulz iterations, and what keeps the norm they divide by from 0. */
  nsSteps: number;
  eps: number;
  /** `original`: lr * sqrt(max(1, rows / columns)); `matchRmsAdamw`: lr * 0.2 * sqrt(max(rows, columns)) (Moonshot 2025). */
  adjustLr: "original" | "matchRmsAdamw";
}

const momentumUpdate = defineUpdate({
  name: "muonMomentum",
  doc: "buffer + (g - buffer) * (1 - momentum)",
  inputs: ["grad", "momentumBuffer"],
  scalars: ["oneMinusMomentum"],
  next: ({ grad, momentumBuffer }, s) => ({
    momentumBuffer: flush(madd(sub(grad, momentumBuffer), s.oneMinusMomentum, momentumBuffer)),
  }),
});

const parameterUpdate = defineUpdate({
  name: "muonStep",
  doc: "p * (1 - lr * weightDecay) - adjusted lr * direction",
  inputs: ["parameter", "direction"],
  scalars: ["decay", "negativeLr"],
  next: ({ parameter, direction }, s) => ({ parameter: madd(direction, s.negativeLr, mul(parameter, s.decay)) }),
});

/** Coefficients of the quintic iteration: steep at 0, so that small singular values grow fast. */
const [A, B, C] = [3.4445, -4.775, 2.0315];

/** U V^T of the singular value decomposition, nearly: singular values end between about 0.7 and 1.2. */
export function orthogonalize(g: Tensor, options: { steps?: number; eps?: number } = {}): Tensor {
  checkOptions("orthogonalize", options, ["steps", "eps"]);
  const { steps = 5, eps = 1e-7 } = options;
  checkCounts("orthogonalize", { steps }, 0);
  if (g.ndim !== 2) throw misfit("orthogonalize", `needs a matrix, got ${showShape(g.shape)}.`);
  const tall = g.shape[0] > g.shape[1];
  let x = tall ? transpose(g) : g;
  x = div(x, maximum(sqrt(sum(square(x))), eps));
  for (let i = 0; i < steps; i++) {
    const gram = matmul(x, transpose(x));
    const polynomial = add(times(gram, B), times(matmul(gram, gram), C));
    x = add(times(x, A), matmul(polynomial, x));
  }
  return tall ? transpose(x) : x;
}

const defaults: MuonOptions = {
  lr: 1e-3,
  weightDecay: 0.1,
  momentum: 0.95,
  nesterov: true,
  nsSteps: 5,
  eps: 1e-7,
  adjustLr: "original",
};

/**
 * Muon. Options: lr 1e-3, weightDecay 0.1, momentum 0.95, nesterov true, nsSteps 5, eps 1e-7, adjustLr "original". A step
 * for which memory ends midway is not counted, but momentum and the matrices before have moved.
 */
export class Muon extends Optimizer<MuonOptions> {
  static override readonly name: string = "Muon";
  protected readonly moments = ["momentumBuffer"];

  constructor(params: Parameters | readonly ParameterGroup<MuonOptions>[], options: Partial<MuonOptions> = {}) {
    checkHyperparameters("Muon", options, defaults);
    super(params, { ...defaults, ...options });
    for (const { name, tensor } of this.groups.flatMap(({ params: own }) => own)) {
      if (tensor.ndim === 2) continue;
      throw new ConfigError(`Muon: needs matrices, got ${name} of shape ${showShape(tensor.shape)}.`, {
        where: "Muon",
        hint: "Give vectors and embeddings to AdamW, and call step() on both optimizers.",
      });
    }
  }

  protected override checkGroup(where: string, options: MuonOptions): void {
    super.checkGroup(where, options);
    checkCounts(where, { nsSteps: options.nsSteps }, 0);
    checkWord(where, "adjustLr", options.adjustLr, ["original", "matchRmsAdamw"]);
  }

  protected update(steps: readonly ParameterStep<MuonOptions>[], scale?: Tensor): void {
    momentumUpdate(
      steps.map(({ grad, state, options }) => ({
        tensors: { grad, momentumBuffer: state.tensors.momentumBuffer },
        scalars: { oneMinusMomentum: 1 - options.momentum },
      })),
      scale,
    );
    // One at a time: a direction takes as much memory as its parameter.
    for (const step of steps) tidy(() => move(step, scale));
  }
}

function move({ parameter, grad, state, options }: ParameterStep<MuonOptions>, scale?: Tensor): void {
  const { lr, weightDecay, momentum, nesterov, nsSteps: steps, eps, adjustLr } = options;
  const { momentumBuffer } = state.tensors;
  const g = scale ? times(grad, scale) : grad;
  const direction = orthogonalize(nesterov ? add(g, times(minus(momentumBuffer, g), momentum)) : momentumBuffer, {
    steps,
    eps,
  });
  const [rows, columns] = parameter.shape;
  const adjusted =
    adjustLr === "original"
      ? lr * Math.sqrt(Math.max(1, rows / columns))
      : lr * 0.2 * Math.sqrt(Math.max(rows, columns));
  const scalars = { decay: 1 - lr * weightDecay, negativeLr: -adjusted };
  parameterUpdate([{ tensors: { parameter, direction }, scalars }]);
}
