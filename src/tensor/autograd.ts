/**
 * Reverse-mode differentiation. The dispatch door records a node for each op whose inputs need gradients; `backward`
 * walks the nodes in reverse order of recording, so gradients are always summed in one order. Ops state only their
 * local rule: broadcasting, accumulation and freeing happen here.
 */

import type { Backend } from "../backend/backend.js";
import type { DType } from "../core/dtype.js";
import { GradientError, ShapeError, showShape } from "../core/errors.js";
import * as expr from "../core/expr.js";
import { type Shape, sameShape } from "../core/shape.js";
import { keep, type Scoped, tidy } from "./scope.js";
import { Tensor } from "./tensor.js";

let enabled = true;

export const gradEnabled = (): boolean => enabled;

/** Runs a function without recording gradients. Synchronous. */
export function noGrad<T>(fn: () => T): T {
  const before = enabled;
  enabled = false;
  try {
    const result = fn();
    if (result instanceof Promise) {
      result.catch(() => undefined);
      throw new GradientError("noGrad: needs a synchronous function, got one that returns a promise.", {
        where: "noGrad",
      });
    }
    return result;
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
  private readonly inputShapes: readonly Shape[];

  constructor(
    readonly name: string,
    inputs: readonly (Tensor | undefined)[],
    saved: readonly Tensor[],
    private readonly outputs: readonly { shape: Shape; dtype: DType; backend: Backend }[],
    private readonly pullback: Pullback,
  ) {
    this.edges = inputs.map((input) =>
      input?.requiresGrad
        ? input.node
          ? { node: input.node, output: input.outputIndex }
          : { leaf: input }
        : undefined,
    );
    this.inputShapes = inputs.map((input) => input?.shape ?? []);
    this.saved = saved;
    this.versions = saved.map((tensor) => tensor.storage.version);
  }

  get outputCount(): number {
    return this.outputs.length;
  }

  /** Gradients of the inputs, in their shapes. */
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
          hint: "Change tensors under noGrad() before the forward pass or after backward().",
        });
      }
    });
    const result = this.pullback(grads);
    return this.edges.map((edge, i) => {
      const grad = result[i];
      return edge && grad ? sumToShape(grad, this.inputShapes[i]) : undefined;
    });
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

const addProgram = expr.program(expr.add(expr.input(0), expr.input(1)));

/** Sums over the dims that broadcasting repeated. The result may be the given tensor. */
function sumToShape(grad: Tensor, shape: Shape): Tensor {
  if (sameShape(grad.shape, shape)) return grad;
  let current = grad;
  const reduce = (outer: number, size: number, inner: number, next: Shape) => {
    const out = Tensor.empty(current.backend, next, current.dtype);
    current.backend.kernels.reduce("sum", current, out, { outer, size, inner });
    if (current !== grad) current.dispose();
    current = out;
  };
  const lead = grad.shape.length - shape.length;
  if (lead > 0) {
    const rest = grad.shape.slice(lead);
    reduce(
      1,
      grad.shape.slice(0, lead).reduce((a, b) => a * b, 1),
      rest.reduce((a, b) => a * b, 1),
      rest,
    );
  }
  for (let dim = shape.length - 1; dim >= 0; dim--) {
    const now = current.shape;
    if (shape[dim] !== 1 || now[dim] === 1) continue;
    const product = (part: Shape) => part.reduce((a, b) => a * b, 1);
    reduce(
      product(now.slice(0, dim)),
      now[dim],
      product(now.slice(dim + 1)),
      now.map((n, i) => (i === dim ? 1 : n)),
    );
  }
  return current;
}

/** The sum of two gradients; takes over `sum`, in place when nobody else reads it. */
function accumulate(sum: Tensor | undefined, more: Tensor): Tensor {
  if (sum === undefined) return more.alias();
  const into = sum.storage.exclusive ? sum : Tensor.empty(sum.backend, sum.shape, sum.dtype);
  sum.backend.kernels.elementwise(addProgram, [sum, more], [into], []);
  if (into === sum) sum.storage.version++;
  else sum.dispose();
  return into;
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
  for (const node of reachable(root.node)) {
    const grads = pending.get(node);
    if (grads === undefined) continue;
    pending.delete(node);
    grads.forEach((grad, output) => {
      if (grad) arrive({ node, output }, grad);
    });
    const inputGrads = tidy(() => node.run(grads));
    inputGrads.forEach((grad, i) => {
      const edge = node.edges[i];
      if (!grad || !edge) return;
      if ("leaf" in edge) arrive(edge.leaf, grad);
      else {
        const list = slots(edge.node);
        list[edge.output] = accumulate(list[edge.output], grad);
      }
    });
    for (const grad of new Set([...inputGrads, ...grads])) grad?.dispose();
    if (!retainGraph) node.release();
  }
}

function startingGradient(root: Tensor, gradient: Tensor | undefined, where: string): Tensor {
  if (gradient) {
    if (sameShape(gradient.shape, root.shape)) return gradient.alias();
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
  if (root.requiresGrad) return;
  throw new GradientError(`${where}: the tensor has no history that leads to a tensor with requiresGrad.`, {
    where,
    hint: "Was it made under noGrad() or detach(), or were no inputs made with requiresGrad: true?",
  });
}

export interface BackwardOptions {
  /** d(something)/d(this tensor), of its shape; 1 for scalars unless given. */
  gradient?: Tensor;
  /** Keep the graph for another backward pass. */
  retainGraph?: boolean;
}

/** Adds d(root)/d(leaf) to the `.grad` of every leaf below that requires it, and frees the graph. */
export function backward(root: Tensor, { gradient, retainGraph = false }: BackwardOptions = {}): void {
  checkHistory(root, "backward");
  noGrad(() => {
    const start = startingGradient(root, gradient, "backward");
    propagate(root, start, retainGraph, (target, grad) => {
      if (target instanceof Tensor) target.grad = keep(accumulate(target.grad, grad));
    });
    start.dispose();
  });
}

/** d(loss)/d(input) for each input, leaf or not, without touching any `.grad`. Zeros where the loss does not depend on it. */
export function grad(
  loss: Tensor,
  inputs: readonly Tensor[],
  { gradient, retainGraph = false }: BackwardOptions = {},
): Tensor[] {
  checkHistory(loss, "grad");
  return noGrad(() => {
    const results = new Array<Tensor | undefined>(inputs.length).fill(undefined);
    const start = startingGradient(loss, gradient, "grad");
    propagate(loss, start, retainGraph, (target, arrived) => {
      inputs.forEach((input, i) => {
        const hit =
          target instanceof Tensor
            ? target === input
            : target.node === input.node && target.output === input.outputIndex;
        if (hit) results[i] = accumulate(results[i], arrived);
      });
    });
    start.dispose();
    return inputs.map((input, i) => {
      const result = results[i] ?? Tensor.empty(input.backend, input.shape, input.dtype);
      if (results[i] === undefined) input.backend.kernels.fill(result, 0);
      return result;
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
