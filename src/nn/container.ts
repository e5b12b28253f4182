/** Modules made of modules. */

import { ConfigError, kindOf, TenonError } from "../core/errors.js";
import type { Tensor } from "../tensor/tensor.js";
import { Module } from "./module.js";
import { type PartVisitor, visitParts } from "./parts.js";

/** Refuses what is no module: a function, a list. */
function checked<M extends Module>(where: string, items: M[]): M[] {
  for (const [i, item] of items.entries()) {
    if (item instanceof Module) continue;
    const hint =
      where === "Sequential" && Array.isArray(item) ? "Spread a list: new Sequential(...modules)." : undefined;
    throw new ConfigError(`${where}: needs modules, got ${kindOf(item)} at ${i}.`, {
      where,
      hint: hint ?? "Put a function in a module: class Square extends Module { forward(x) { return x.square(); } }.",
    });
  }
  return items;
}

/** Modules under the names 0, 1, 2, …, before what a class derived from it holds besides. */
abstract class ListOfModules<M extends Module> extends Module {
  /** No property that is found: its name would come before theirs. */
  readonly #modules: M[];

  constructor(where: string, modules: M[]) {
    super();
    this.#modules = checked(where, modules);
  }

  override visitParts(visit: PartVisitor): void {
    visitParts(this.#modules, visit);
    super.visitParts(visit);
  }

  get length(): number {
    return this.#modules.length;
  }

  /** The module at a position; negative positions count from the end. */
  at(position: number): M | undefined {
    return this.#modules.at(position);
  }

  append(module: M): this {
    this.#modules.push(...checked(this.constructor.name, [module]));
    return this;
  }

  [Symbol.iterator](): Iterator<M> {
    return this.#modules[Symbol.iterator]();
  }
}

/** Runs its modules in order; they are named 0, 1, 2, … */
export class Sequential extends ListOfModules<Module> {
  constructor(...modules: Module[]) {
    super("Sequential", modules);
  }

  forward(x: Tensor): Tensor {
    let value = x;
    for (const module of this) value = module.forward(value) as Tensor;
    return value;
  }
}

/** A list of modules under the names 0, 1, 2, …; the owner decides how they run. */
export class ModuleList<M extends Module = Module> extends ListOfModules<M> {
  constructor(modules: Iterable<M> = []) {
    super("ModuleList", [...modules]);
  }

  /** A list has no rule of its own. */
  forward(): never {
    throw new TenonError("ModuleList: has no forward of its own.", {
      where: "ModuleList",
      hint: "Loop over its modules, or use Sequential.",
    });
  }
}

/** Gives back what it gets. */
export class Identity extends Module {
  forward<T>(x: T): T {
    return x;
  }
}
