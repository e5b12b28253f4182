/**
 * Muon for the weight matrices inside a network, AdamW for everything else (Jordan et al. 2024), as one optimizer. Muon's
 * steps are scaled to the size of AdamW's (Moonshot 2025), so that one learning rate and one weight decay suit both.
 */

import { ConfigError } from "../core/errors.js";
import { Embedding, type Module, type StateValue } from "../nn/index.js";
import { AdamW, decayGroups, Muon, type OptimizerState, type StepOptions } from "../optim/index.js";
import type { Tensor } from "../tensor/tensor.js";
import type { TrainingOptions } from "./config.js";
import type { LoopOptimizer } from "./loop.js";

/** Its name in files. */
const TYPE = "MuonWithAdamW";

export class MuonWithAdamW implements LoopOptimizer {
  private readonly muon: Muon;
  private readonly adamw: AdamW | undefined;
  /** AdamW's learning rate as a multiple of Muon's; a schedule keeps it. */
  private readonly ratio: number;

  constructor(model: Module, options: TrainingOptions) {
    const { learningRate: lr, adamwLearningRate = lr, weightDecay, momentum, betas, eps } = options;
    const hidden = hiddenMatrices(model);
    if (hidden.length === 0) {
      throw new ConfigError('train: optimizer "muon" needs a weight matrix inside the network, got none.', {
        where: "train",
        hint: 'Embeddings, the head, biases and norms are for "adamw".',
      });
    }
    this.ratio = adamwLearningRate / lr;
    this.muon = new Muon(hidden, { lr, weightDecay, momentum, adjustLr: "matchRmsAdamw" });
    const taken = new Set<Tensor>(hidden.map(([, tensor]) => tensor));
    const others = [...model.namedParameters()].filter(([, tensor]) => !taken.has(tensor));
    const groups = decayGroups(others, weightDecay).filter(({ params }) => params.length > 0);
    if (groups.length > 0) this.adamw = new AdamW(groups, { lr: adamwLearningRate, betas, eps });
  }

  get lr(): number {
    return this.muon.lr;
  }

  set lr(value: number) {
    this.muon.lr = value;
    if (this.adamw) this.adamw.lr = value * this.ratio;
  }

  step(grads: undefined, options: StepOptions): void {
    this.muon.step(grads, options);
    this.adamw?.step(grads, options);
  }

  /** The states of both in one, Muon's groups first: no parameter belongs to both. */
  stateDict(): OptimizerState {
    const states = [this.muon, this.adamw].flatMap((part) => (part ? [part.stateDict()] : []));
    return {
      type: TYPE,
      groups: states.flatMap(({ groups }) => groups),
      steps: Object.assign({}, ...states.map(({ steps }) => steps)),
      tensors: Object.assign({}, ...states.map(({ tensors }) => tensors)),
    };
  }

  loadStateDict({ type, groups, steps, tensors }: OptimizerState<StateValue>): void {
    if (type !== TYPE) {
      const where = `${TYPE}: loadStateDict`;
      throw new ConfigError(`${where}: needs the state of ${TYPE}, got ${type}.`, { where });
    }
    const part = (type: string, own: typeof groups) => {
      const names = own.flatMap(({ params }) => params).filter((name) => Object.hasOwn(steps, name));
      return { type, groups: own, steps: Object.fromEntries(names.map((name) => [name, steps[name]])), tensors };
    };
    const first = this.muon.groups.length;
    this.muon.loadStateDict(part("Muon", groups.slice(0, first)));
    this.adamw?.loadStateDict(part("AdamW", groups.slice(first)));
  }

  dispose(): void {
    this.muon.dispose();
    this.adamw?.dispose();
  }
}

/** Matrices that are neither embeddings nor the head's, which a model names: a tensor or a module. */
function hiddenMatrices(model: Module): [string, Tensor][] {
  const { head } = model as { head?: Tensor | Module };
  const ends = [...model.modules()].filter((module) => module instanceof Embedding || module === head);
  const outside = new Set<unknown>([head, ...ends.flatMap((module) => [...module.parameters()])]);
  return [...model.namedParameters()].filter(([, tensor]) => tensor.ndim === 2 && !outside.has(tensor));
}
