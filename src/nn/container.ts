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

/** Runs its modules in order; they are named 0, 1, 2, … */
export class Sequential extends Module {
  private readonly items: Module[];

  constructor(...modules: Module[]) {
    super();
    this.items = checked("Sequential", modules);
  }

  override visitParts(visit: PartVisitor): void {
    visitParts(this.items, visit);
  }

  get length(): number {
    return this.items.length;
  }

  /** The module at a position; negative positions count from the end. */
  at(position: number): Module | undefined {
    return this.items.at(position);
  }

  forward(x: Tensor): Tensor {
    return this.items.reduce((value, module) => module.forward(value) as Tensor, x);
  }
}

/** A list of modules under the names 0, 1, 2, …; the owner decides how they run. */
export class ModuleList<M extends Module = Module> extends Module {
  private readonly items: M[];

  constructor(modules: Iterable<M> = []) {
    super();
    this.items = checked("ModuleList", [...modules]);
  }

  override visitParts(visit: PartVisitor): void {
    visitParts(this.items, visit);
  }

  get length(): number {
    return this.items.length;
  }

  /** The module at a position; negative positions count from the end. */
  at(position: number): M | undefined {
    return this.items.at(position);
  }

  append(module: M): this {
    this.items.push(...checked("ModuleList", [module]));
    return this;
  }

  [Symbol.iterator](): Iterator<M> {
    return this.items[Symbol.iterator]();
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
