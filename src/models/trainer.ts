/** Training steps of a language model. */

import { breathe } from "../core/breathe.js";
import { ConfigError, kindOf, show } from "../core/errors.js";
import { checkOptions } from "../core/options.js";
import { rehearse } from "../nn/rehearse.js";
import { stack } from "../ops/index.js";
import { checkHyperparameters } from "../optim/check.js";
import { type AdamOptions, AdamW, clipCoefficient, gradNorm, type Optimizer } from "../optim/index.js";
import { checkOwner } from "../optim/owner.js";
import { tidy } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { BatchGradients } from "./batch-gradients.js";
import type { TokenIds } from "./ids.js";
import type { LanguageModel } from "./language-model.js";

/** Rows of ids, and labels of the same shape (-100: ignored) where they differ from the ids. */
export interface Batch {
  ids: TokenIds;
  labels?: TokenIds;
  /** [B, T] of flat arrays. */
  shape?: readonly number[];
}

/** How a training step is made. */
export interface TrainStepOptions {
  /** One AdamW that the model keeps, unless given; it begins anew when the model has other parameters (`to`). */
  optimizer?: Optimizer<{ lr: number }>;
  /** Becomes the rate of all groups of the optimizer, for this step and those after it. */
  learningRate?: number;
  /** Largest norm of all gradients together; gradients are not clipped unless given. */
  clipNorm?: number;
  /** Of the AdamW that the model keeps, from this step on; an optimizer that is given has its own. */
  weightDecay?: number;
  betas?: readonly [number, number];
  eps?: number;
}

/** What a training step tells. */
export interface StepResult {
  /** Mean loss in nats per label that counts; NaN where none does. */
  loss: number;
  /** Norm of all gradients together, before clipping. */
  gradNorm: number;
}

const stepOptionNames = ["optimizer", "learningRate", "clipNorm", "weightDecay", "betas", "eps"];

/** What is given of the options of AdamW. */
const adamwOptions = ({ weightDecay, betas, eps }: TrainStepOptions): Partial<AdamOptions> =>
  Object.fromEntries(Object.entries({ weightDecay, betas, eps }).filter(([, value]) => value !== undefined));

/** Refuses what would spoil the weights, or be ignored, before anything is computed. */
function checkStep(batch: Batch, options: TrainStepOptions): void {
  const refuse = (expected: string, got: unknown): never => {
    throw new ConfigError(`trainStep: needs ${expected}, got ${show(got)}.`, { where: "trainStep" });
  };
  checkOptions("trainStep", options, stepOptionNames);
  if (typeof batch !== "object" || batch === null || batch.ids === undefined) {
    throw new ConfigError(`trainStep: needs a batch { ids, labels? }, got ${kindOf(batch)}.`, {
      where: "trainStep",
      hint: "For example trainStep({ ids: [[1, 2, 3]] }).",
    });
  }
  checkOptions("trainStep: batch", batch, ["ids", "labels", "shape"]);
  const { optimizer, learningRate = 0, clipNorm = 1 } = options;
  if (!(Number.isFinite(learningRate) && learningRate >= 0))
    refuse("a finite number from 0 up for learningRate", learningRate);
  if (!(typeof clipNorm === "number" && clipNorm > 0)) refuse("a number above 0 for clipNorm", clipNorm);
  if (optimizer !== undefined && typeof optimizer?.step !== "function")
    refuse("an optimizer of tenon/optim for optimizer", optimizer);
  for (const name of Object.keys(optimizer ? adamwOptions(options) : {})) {
    throw new ConfigError(`trainStep: needs ${name} in the optimizer itself, got it beside ${kindOf(optimizer)}.`, {
      where: "trainStep",
      hint: `For example new AdamW(model.namedParameters(), { ${name} }).`,
    });
  }
}

/** What a model keeps from one `trainStep` to the next. */
export class Trainer {
  private readonly gradients: BatchGradients;
  private optimizer: AdamW | undefined;
  /** Has the device prepared for a step? */
  private prepared = false;

  constructor(private readonly model: LanguageModel) {
    this.gradients = new BatchGradients(model);
    model.disposeWith(this);
  }

  async step(batch: Batch, options: TrainStepOptions): Promise<StepResult> {
    checkStep(batch, options);
    const { model, gradients } = this;
    const { learningRate, clipNorm } = options;
    if (options.optimizer) checkOwner("trainStep", model, options.optimizer);
    const optimizer = options.optimizer ?? this.ownOptimizer(adamwOptions(options));
    if (learningRate !== undefined) optimizer.lr = learningRate;
    model.train();
    const { ids, labels, shape } = batch;
    const lossBatch = { ids, labels, shape, reduction: "mean" } as const;
    const clipping = () => {
      const norm = gradNorm(model.parameters());
      return { norm, scale: clipNorm === undefined ? undefined : clipCoefficient(norm, clipNorm) };
    };
    if (!this.prepared) {
      await rehearse(model, () => {
        gradients.backward(lossBatch);
        clipping();
      });
    }
    this.prepared = true;
    const figures = tidy((): Tensor => {
      model.zeroGrad();
      const loss = gradients.backward(lossBatch);
      const { norm, scale } = clipping();
      optimizer.step(undefined, { scale });
      return stack([loss, norm]);
    });
    const data = figures.data();
    figures.dispose();
    const [loss, norm] = await data; // the one time that the step waits for the device
    await breathe(); // on the CPU nothing else lets others have their turn
    return { loss, gradNorm: norm };
  }

  private ownOptimizer(given: Partial<AdamOptions>): AdamW {
    const { model, optimizer: last } = this;
    const held = last?.groups[0].params ?? [];
    const own = [...model.parameters()];
    if (!last || held.length !== own.length || held.some(({ tensor }, i) => tensor !== own[i])) {
      this.optimizer = new AdamW(model.namedParameters(), last?.groups[0].options);
      last?.dispose();
    }
    const optimizer = this.optimizer!;
    const { options } = optimizer.groups[0];
    checkHyperparameters("trainStep", given, options);
    Object.assign(options, given);
    return optimizer;
  }

  dispose(): void {
    this.optimizer?.dispose();
  }
}
