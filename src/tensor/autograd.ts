/**
 * Reverse-mode differentiation. The dispatch door records a node for each op whose inputs need gradients; `backward`
 * walks the nodes in reverse order of recording, so gradients are always summed in one order. Ops state only their
 * local rule: broadcasting, accumulation and freeing happen here.
 */

import { GradientError, kindOf, ShapeError, showShape } from "../core/errors.js";
import { checkOptions } from "../core/options.js";
import { sameShape } from "../core/shape.js";
import { accumulate, disposeAll, fitted, type GradInput, returned, unshared } from "./gradients.js";
import { checkOnePerInput } from "./op.js";
import { checkFunction, refusePromise, type Scoped, tidy } from "./scope.js";
import { Tensor } from "./tensor.js";

let enabled = true;

export const gradEnabled = (): boolean => enabled;

/** Runs a function without recording gradients. Synchronous. */
export function noGrad<T>(fn: () => T): T {
  checkFunction("noGrad", fn);
  const before = enabled;
  enabled = false;
  try {
    const result = fn();
    refusePromise("noGrad", result);
    return result;
  } finally {
    enabled = before;
  }
}

/** Runs a function that records gradients, also within `noGrad`: how a gradient rule differentiates a composition. */
export function withGrad<T>(fn: () => T): T {
  const before = enabled;
  enabled = true;
  try {
    return fn();
  } finally {
    enabled = before;
  }
}

/** Where the gradient of one input goes: to the node that made it, or to a leaf. */
type Edge = { readonly node: GradNode; readonly output: number } | { readonly leaf: Tensor } | undefined;

/** The gradient rule of an op, called with one gradient per output (absent where none arrived). */
export type Pullback = (grads: readonly (Tensor | undefined)[]) => readonly (Tensor | undefined)[];

let recorded = 0;

/** One recorded operation. */
export class GradNode {
  readonly id = recorded++;
  readonly edges: readonly Edge[];
  private saved: readonly Tensor[] | undefined;
  private readonly versions: readonly number[];
  private readonly inputSpecs: readonly (GradInput | undefined)[];

  constructor(
    readonly name: string,
    inputs: readonly (Tensor | undefined)[],
    saved: readonly Tensor[],
    readonly outputCount: number,
    private readonly pullback: Pullback,
  ) {
    this.edges = inputs.map((input) =>
      input?.requiresGrad
        ? input.node
          ? { node: input.node, output: input.outputIndex }
          : { leaf: input }
        : undefined,
    );
    this.inputSpecs = inputs.map(
      (input) => input && { shape: input.shape, dtype: input.dtype, backend: input.backend },
    );
    this.saved = saved;
    this.versions = saved.map((tensor) => tensor.storage.version);
  }

  /** Gradients of the inputs, in their shapes; each a tensor of its own, though storage may be shared. */
  run(grads: readonly (Tensor | undefined)[]): (Tensor | undefined)[] {
    if (this.saved === undefined) {
      throw new GradientError(`backward: the graph of ${this.name} was freed by an earlier backward().`, {
        where: "backward",
        hint: "Pass { retainGraph: true } to the first call, or compute the loss again.",
      });
    }
    this.saved.forEach((tensor, i) => {
      if (tensor.storage.version !== this.versions[i]) {
        throw new GradientError(`backward: a tensor that ${this.name} saved was changed in place afterwards.`, {
          where: "backward",
          hint: "Change tensors before the forward pass or after backward().",
        });
      }
    });
    const result = this.pullback(grads);
    checkOnePerInput(this.name, "backward", result, this.edges.length);
    return this.edges.map((edge, i) => edge && returned(this.name, i, result[i], this.inputSpecs[i]!));
  }

  /** Frees what was saved. */
  release(): void {
    for (const tensor of this.saved ?? []) tensor.dispose();
    this.saved = undefined;
  }

  /** Visits what this graph saved, this node's and all below. */
  reachableSaved(visit: (saved: Scoped) => void): void {
    for (const node of reachable(this)) for (const tensor of node.saved ?? []) visit(tensor);
  }
}

/** A node and all it depends on, latest first. */
function reachable(root: GradNode): GradNode[] {
  const seen = new Set<GradNode>([root]);
  for (const node of seen) for (const edge of node.edges) if (edge && "node" in edge) seen.add(edge.node);
  return [...seen].sort((a, b) => b.id - a.id);
}

/** The engine: pushes a gradient from `root` down to where `arrive` wants it. */
function propagate(
  root: Tensor,
  gradient: Tensor,
  retainGraph: boolean,
  arrive: (target: Tensor | { node: GradNode; output: number }, grad: Tensor) => void,
): void {
  if (root.node === undefined) {
    arrive(root, gradient);
    return;
  }
  const pending = new Map<GradNode, (Tensor | undefined)[]>();
  const slots = (node: GradNode) => {
    let list = pending.get(node);
    if (list === undefined) pending.set(node, (list = new Array(node.outputCount).fill(undefined)));
    return list;
  };
  slots(root.node)[root.outputIndex] = gradient.alias();
  try {
    for (const node of reachable(root.node)) {
      const grads = pending.get(node) ?? []; // none where no gradient arrives
      grads.forEach((grad, output) => {
        if (grad) arrive({ node, output }, grad);
      });
      const inputGrads = grads.length > 0 ? tidy(() => node.run(grads)) : [];
      inputGrads.forEach((grad, i) => {
        const edge = node.edges[i];
        if (!grad || !edge) return;
        if ("leaf" in edge) arrive(edge.leaf, grad);
        else {
          const list = slots(edge.node);
          list[edge.output] = accumulate(list[edge.output], grad);
        }
        grad.dispose();
      });
      disposeAll(grads);
      pending.delete(node);
      if (!retainGraph) node.release();
    }
  } finally {
    for (const grads of pending.values()) disposeAll(grads);
  }
}

function startingGradient(root: Tensor, gradient: Tensor | undefined, where: string): Tensor {
  if (gradient) {
    if (gradient.backend !== root.backend) {
      throw new GradientError(
        `${where}: needs a gradient on ${root.device}, got ${gradient.device ?? kindOf(gradient)}.`,
        {
          where,
        },
      );
    }
    if (sameShape(gradient.shape, root.shape)) return fitted(where, gradient, root);
    throw new ShapeError(
      `${where}: needs a gradient of the shape of its tensor, got ${showShape(gradient.shape)} and ${showShape(root.shape)}.`,
      { where, shapes: [gradient.shape, root.shape] },
    );
  }
  if (root.size !== 1) {
    throw new GradientError(`${where}: needs a scalar, got shape ${showShape(root.shape)}.`, {
      where,
      hint: "Reduce the tensor with sum() or mean(), or pass { gradient }.",
    });
  }
  const one = Tensor.empty(root.backend, root.shape, root.dtype);
  root.backend.kernels.fill(one, 1);
  return one;
}

function checkHistory(root: Tensor, where: string): void {
  if (!(root instanceof Tensor)) {
    throw new GradientError(`${where}: needs a tensor, got ${kindOf(root)}.`, {
      where,
      hint: "Call the function that makes the loss, without await, and give its result.",
    });
  }
  if (root.requiresGrad) return;
  throw new GradientError(`${where}: the tensor has no history that leads to a tensor with requiresGrad.`, {
    where,
    hint: "Was it made under noGrad() or detach(), or were no inputs made with requiresGrad: true?",
  });
}

/** Options of `backward` and `grad`. */
export interface BackwardOptions {
  /** d(something)/d(this tensor), of its shape; 1 for scalars unless given. */
  gradient?: Tensor;
  /** Keep the graph for another backward pass. */
  retainGraph?: boolean;
}

const backwardOptions = ["gradient", "retainGraph"];

/** Adds d(root)/d(leaf) to the `.grad` of every leaf below that requires it, and frees the graph. */
export function backward(root: Tensor, options: BackwardOptions = {}): void {
  checkHistory(root, "backward");
  if (options instanceof Tensor) {
    throw new GradientError("backward: needs its gradient by name, got a Tensor alone.", {
      where: "backward",
      hint: "Write backward({ gradient }).",
    });
  }
  checkOptions("backward", options, backwardOptions);
  const { gradient, retainGraph = false } = options;
  noGrad(() => {
    const start = startingGradient(root, gradient, "backward");
    const leaves = new Set<Tensor>();
    try {
      propagate(root, start, retainGraph, (target, grad) => {
        if (!(target instanceof Tensor)) return;
        target.grad = accumulate(target.grad, grad);
        leaves.add(target);
      });
    } finally {
      start.dispose();
      for (const leaf of leaves) leaf.grad = unshared(leaf.grad!);
    }
  });
}

/**
 * d(loss)/d(input) for each input, leaf or not, without touching any `.grad`; frees the graph. Zeros where the loss does
 * not depend on an input; a GradientError where an input requires no gradient.
 */
export function grad(loss: Tensor, inputs: readonly Tensor[], options: BackwardOptions = {}): Tensor[] {
  checkHistory(loss, "grad");
  checkOptions("grad", options, backwardOptions);
  const { gradient, retainGraph = false } = options;
  if (!Array.isArray(inputs)) {
    throw new GradientError(`grad: needs a list of inputs, got ${kindOf(inputs)}.`, {
      where: "grad",
      hint: "For example grad(loss, [x]).",
    });
  }
  inputs.forEach((input: Tensor | undefined, i) => {
    if (input?.requiresGrad) return;
    throw new GradientError(`grad: needs inputs that require a gradient, input ${i} does not.`, {
      where: "grad",
      hint: "Make it with requiresGrad: true before the loss is computed.",
    });
  });
  return noGrad(() => {
    const results = new Array<Tensor | undefined>(inputs.length).fill(undefined);
    const start = startingGradient(loss, gradient, "grad");
    try {
      propagate(loss, start, retainGraph, (target, arrived) => {
        inputs.forEach((input, i) => {
          const hit =
            target instanceof Tensor
              ? target === input
              : target.node === input.node && target.output === input.outputIndex;
          if (hit) results[i] = accumulate(results[i], arrived);
        });
      });
    } catch (error) {
      disposeAll(results);
      throw error;
    } finally {
      start.dispose();
    }
    return inputs.map((input, i) => {
      const arrived = results[i];
      if (arrived) return unshared(arrived);
      const zero = Tensor.empty(input.backend, input.shape, input.dtype);
      input.backend.kernels.fill(zero, 0);
      return zero;
    });
  });
}

declare module "./tensor.js" {
  interface Tensor {
    /** Adds d(this)/d(leaf) to the `.grad` of every leaf below; see `backward`. */
    backward(options?: BackwardOptions): void;
  }
}

Tensor.prototype.backward = function (options) {
  backward(this, options);
};
