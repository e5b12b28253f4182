/** Gradients of a language model's loss, one batch after the other. */

import { backendOf } from "../backend/devices.js";
import { sameShape } from "../core/shape.js";
import { copy_, div } from "../ops/index.js";
import { canRepeat, Repeated } from "../tensor/repeated.js";
import { keep, tidy } from "../tensor/scope.js";
import { Parameter, Tensor } from "../tensor/tensor.js";
import type { LanguageModel } from "./language-model.js";
import type { Batch } from "./trainer.js";

/** A batch, and what becomes of the losses of all its labels. */
export interface LossBatch extends Batch {
  readonly reduction: "mean" | "sum";
  /** The loss is divided by it, where it is given. */
  readonly divisor?: number;
}

/** Computes `.grad`s; where batches of one shape follow each other, a device may repeat all of it. */
export class BatchGradients {
  private repeated: Repeated | undefined;
  /** What a repeated computation reads: ids, and labels where they differ. */
  private inputs: readonly Tensor[] = [];
  /** Those with gradients. */
  private trained: readonly Parameter[] = [];

  constructor(private readonly model: LanguageModel) {
    model.disposeWith(this);
  }

  /** Adds the gradients of the loss to the `.grad`s. Gives the loss, without history. */
  backward(batch: LossBatch): Tensor {
    const { model } = this;
    const modules = [...model.modules()];
    // Parameters, and settings such as the probability of dropout.
    const held: unknown[] = [];
    for (const module of modules) module.visitParts((value) => held.push(value));
    const parameters = [...new Set(held.filter((value) => value instanceof Parameter))];
    const may = canRepeat(backendOf(model.device)) && model.computesOnly(modules);
    const adds = parameters.some(({ grad }) => grad);
    return tidy(() => (may && !adds ? this.again(batch, held, parameters) : this.compute(batch)));
  }

  private compute({ ids, labels, shape, reduction, divisor }: LossBatch): Tensor {
    const loss = this.model.loss(ids, labels, { reduction, shape });
    const whole = divisor === undefined ? loss : div(loss, divisor);
    whole.backward();
    return whole.detach();
  }

  private again(batch: LossBatch, held: readonly unknown[], parameters: readonly Parameter[]): Tensor {
    const repeated = this.take(this.model.lossInputs(batch.ids, batch.labels, batch.shape));
    const [ids, labels] = this.inputs;
    const { reduction, divisor } = batch;
    const facts = [ids, labels, reduction, divisor, ...held, ...parameters.map(({ requiresGrad }) => requiresGrad)];
    const [loss, ...grads] = repeated.run(facts, () => {
      const loss = this.compute({ ids, labels, reduction, divisor });
      this.trained = parameters.filter(({ grad }) => grad);
      return [loss, ...this.trained.map(takeGrad)];
    });
    for (const [i, parameter] of this.trained.entries()) parameter.grad = grads[i];
    return loss;
  }

  /** Brings a batch to where the last one was, if that had the same shape. */
  private take(given: readonly Tensor[]): Repeated {
    const { inputs } = this;
    const fits = ({ shape, backend }: Tensor, i: number) =>
      backend === inputs[i].backend && sameShape(shape, inputs[i].shape);
    if (!this.repeated || given.length !== inputs.length || !given.every(fits)) {
      this.dispose();
      this.inputs = given.map(({ backend, shape, dtype }) => keep(Tensor.empty(backend, shape, dtype)));
      this.repeated = new Repeated(given[0].backend);
    }
    for (const [i, tensor] of given.entries()) copy_(this.inputs[i], tensor);
    return this.repeated;
  }

  dispose(): void {
    this.repeated?.dispose();
    this.repeated = undefined;
    for (const tensor of this.inputs) tensor.dispose();
    this.inputs = [];
  }
}

function takeGrad(parameter: Parameter): Tensor {
  const grad = parameter.grad!;
  parameter.grad = undefined;
  return grad;
}
