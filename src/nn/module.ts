/**
 * Module: parameters and other modules under names, and a `forward`. Assign them to properties in the constructor and
 * they are found, also in arrays and plain objects, which name them `layers.0`, `heads.left`, …
 */

import type { DeviceName } from "../backend/backend.js";
import { checkDType, type DType, isFloat } from "../core/dtype.js";
import { ConfigError, DTypeError, kindOf, nearest, RegistryError, show, TenonError } from "../core/errors.js";
import { checkOptions } from "../core/options.js";
import { noGrad } from "../tensor/autograd.js";
import { inModule, refuseInput } from "../tensor/dispatch.js";
import { keep, tidy } from "../tensor/scope.js";
import { Parameter, Tensor } from "../tensor/tensor.js";
import type { InitialCalls } from "./init.js";
import { join, type PartVisitor, visitParts } from "./parts.js";
import { assign, checkValue, type LoadReport, refuseKeys, type StateValue } from "./state.js";

/** The module whose `forward` runs, and its path as the tree is now. */
let running: { module: Module; path: () => string } | undefined;

/** Parameters and other modules under names, and a `forward`: what networks are made of. */
export abstract class Module {
  /** Set by `train()` and `eval()`; dropout reads it. */
  training = true;
  /** Names of properties that hold tensors which are saved but not trained. */
  declare private bufferNames: Set<string>;
  /** The method of its class, wrapped. */
  declare private ownForward: unknown;

  constructor() {
    // Wrapped once for each instance: errors and observers then know the path of the module that runs.
    const { forward } = this;
    const hidden = (value: unknown) => ({ value, writable: true, configurable: true });
    const wrapped = (...args: unknown[]) => this.runNamed(() => (forward ?? this.noForward).apply(this, args));
    Object.defineProperties(this, {
      forward: hidden(wrapped),
      ownForward: hidden(wrapped),
      bufferNames: hidden(new Set()),
    });
  }

  abstract forward(...args: any[]): any;

  /** Gives the parameters of this module, not those of its children, their initial values. */
  resetParameters(_calls: InitialCalls): void {}

  private noForward(): never {
    const where = this.constructor.name;
    throw new TenonError(`${where}: has no method forward.`, { where, hint: "Write forward(x) { … } in the class." });
  }

  private runNamed<T>(run: () => T): T {
    const outer = running;
    let known: string | undefined;
    const path = () => (known ??= outer ? join(outer.path(), this.nameBelow(outer.module)) : "");
    running = { module: this, path };
    try {
      return inModule(path, run);
    } finally {
      running = outer;
    }
  }

  /** Is its `forward` that of one of these classes, and not of one derived from them or put in its place? */
  runsAs(classes: ReadonlySet<unknown>): boolean {
    return this.forward === this.ownForward && classes.has(this.constructor);
  }

  /** The name of this module below `root`; its class where it does not belong to `root`. */
  private nameBelow(root: Module): string {
    for (const [path, module] of root.namedModules()) if (module === this) return path;
    return this.constructor.name;
  }

  /** Registers a tensor that is saved with the module but not trained. */
  registerBuffer(name: string, value: Tensor): void {
    if (!(value instanceof Tensor)) refuseInput("registerBuffer", name, value);
    (this as Record<string, unknown>)[name] = keep(value);
    this.bufferNames.add(name);
  }

  /** Visits all that is directly its own: tensors and modules, settings, and what it keeps in arrays and plain objects. */
  visitParts(visit: PartVisitor): void {
    visitParts(this, visit);
  }

  /** The modules directly below, in order of assignment. */
  namedChildren(): Iterable<[string, Module]> {
    const found: [string, Module][] = [];
    this.visitParts((value, path) => value instanceof Module && found.push([path, value]));
    return found;
  }

  /** This module ("") and all below, each once, parents first. */
  *namedModules(prefix = "", seen = new Set<Module>()): Iterable<[string, Module]> {
    if (seen.has(this)) return;
    seen.add(this);
    yield [prefix, this];
    for (const [name, child] of this.namedChildren()) yield* child.namedModules(join(prefix, name), seen);
  }

  /** Each module once, parents first. Training asks at every step, so no names are made for it. */
  modules(): Iterable<Module> {
    return this.gather(new Set());
  }

  private gather(found: Set<Module>): Set<Module> {
    if (found.has(this)) return found;
    found.add(this);
    this.visitParts((value) => value instanceof Module && value.gather(found));
    return found;
  }

  *children(): Iterable<Module> {
    for (const [, child] of this.namedChildren()) yield child;
  }

  /** The module at a path below and what holds it: a shared one under each of its names. */
  private placeOf(path: string): { module: Module; owner: Record<string, unknown>; key: string } | undefined {
    let found: ReturnType<Module["placeOf"]>;
    this.visitParts((value, name, owner, key) => {
      if (found || !(value instanceof Module)) return;
      if (name === path) found = { module: value, owner, key };
      else if (path.startsWith(`${name}.`)) found = value.placeOf(path.slice(name.length + 1));
    });
    return found;
  }

  private noModule(where: string, path: string): never {
    const names = [...this.namedModules()].map(([name]) => name);
    const near = nearest(path, names);
    throw new RegistryError(`${where}: there is no module ${show(path)}.`, {
      where,
      hint: near ? `Did you mean "${near}"?` : "namedModules() names them all.",
    });
  }

  /** The module at a path, e.g. `layers.3.mlp`; an unknown path is a RegistryError that suggests the nearest. */
  getSubmodule(path: string): Module {
    return path === "" ? this : (this.placeOf(path)?.module ?? this.noModule("getSubmodule", path));
  }

  /** Puts another module in the place of the one at a path: an adapter around it, a quantised form of it. */
  setSubmodule(path: string, module: Module): void {
    checkModule("setSubmodule", module, `a module for ${path}`);
    const { owner, key } = this.placeOf(path) ?? this.noModule("setSubmodule", path);
    owner[key] = module;
  }

  /** Every name and tensor that satisfies the test, shared tensors under each of their names. */
  private tensors(test: (owner: Module, name: string, value: Tensor) => boolean): [string, Tensor][] {
    const found: [string, Tensor][] = [];
    for (const [prefix, module] of this.namedModules()) {
      module.visitParts((value, path) => {
        if (value instanceof Tensor && test(module, path, value)) found.push([join(prefix, path), value]);
      });
    }
    return found;
  }

  /** Parameters with their names, each once (tied ones under their first name), in order of assignment. */
  *namedParameters(): Iterable<[string, Parameter]> {
    const seen = new Set<Tensor>();
    for (const [name, value] of this.tensors((_, __, tensor) => tensor instanceof Parameter)) {
      if (!seen.has(value)) yield [name, value as Parameter];
      seen.add(value);
    }
  }

  parameters(): Iterable<Parameter> {
    const found = new Set<Parameter>();
    for (const module of this.modules()) module.visitParts((value) => value instanceof Parameter && found.add(value));
    return found;
  }

  /** What is saved: parameters and buffers, tied ones under their first name. The tensors themselves, not copies. */
  stateDict(): Record<string, Tensor> {
    const names = new Map<Tensor, string>();
    for (const [name, value] of this.savedTensors()) if (!names.has(value)) names.set(value, name);
    return Object.fromEntries([...names].map(([value, name]) => [name, value]));
  }

  private savedTensors(): Iterable<[string, Tensor]> {
    return this.tensors((owner, name, value) => value instanceof Parameter || owner.bufferNames.has(name));
  }

  /**
   * Copies values in, converting dtype and device. A tied parameter may come under any of its names. Unless
   * `strict: false`, a missing or unknown name is a ConfigError; a wrong shape always is a ShapeError. Nothing is
   * written before all names and shapes are checked. `where` names the source in errors: a file.
   */
  loadStateDict(
    state: Readonly<Record<string, StateValue>>,
    options: { strict?: boolean; where?: string } = {},
  ): LoadReport {
    checkOptions("loadStateDict", options, ["strict", "where"]);
    const { strict = true, where = "loadStateDict" } = options;
    if (typeof state !== "object" || state === null) {
      throw new ConfigError(`${where}: needs tensors by name, got ${kindOf(state)}.`, { where });
    }
    const own = new Map(this.savedTensors());
    const pairs = [...own].filter(([name]) => Object.hasOwn(state, name));
    const given = new Set(pairs.map(([, tensor]) => tensor));
    const missing = [...own].filter(([, tensor]) => !given.has(tensor)).map(([name]) => name);
    const unexpected = Object.keys(state).filter((name) => !own.has(name));
    const hint = options.where === undefined ? undefined : "They are tensors of another model, or not all of them.";
    if (strict) refuseKeys(where, { missing, unexpected }, own.keys(), hint);
    for (const [name, tensor] of pairs) checkValue(`${where}: ${name}`, tensor, state[name]);
    for (const [name, tensor] of pairs) assign(`${where}: ${name}`, tensor, state[name]);
    return { missing, unexpected };
  }

  /** Training behaviour on (or off) here and below. */
  train(mode = true): this {
    for (const module of this.modules()) module.training = mode;
    return this;
  }

  /** Training behaviour off here and below. */
  eval(): this {
    return this.train(false);
  }

  /** Freezes (false) or frees (true) every parameter here and below. */
  requiresGrad_(value = true): this {
    for (const parameter of this.parameters()) parameter.requiresGrad = value;
    return this;
  }

  /** Drops the gradients of all parameters. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) {
      parameter.grad?.dispose();
      parameter.grad = undefined;
    }
  }

  /** Calls a function with this module and all below, each once, children first. */
  apply(fn: (module: Module) => void, seen = new Set<Module>()): this {
    if (seen.has(this)) return this;
    seen.add(this);
    for (const child of this.children()) child.apply(fn, seen);
    fn(this);
    return this;
  }

  /**
   * Moves parameters and buffers to a device, those of float dtypes to a float dtype. They become new tensors: make the
   * optimizer afterwards. Where one of them cannot be moved, for want of memory say, all stay as they are. What is on
   * webgpu cannot be moved from it, being read asynchronously only: see `saveWeights` and `loadWeights`.
   */
  to(target: { dtype?: DType; device?: DeviceName }): this {
    if (target?.dtype && !isFloat(checkDType(target.dtype, "to")))
      throw new DTypeError(`to: needs a float dtype for a module, got ${target.dtype}.`, { where: "to" });
    const places: { owner: Record<string, unknown>; key: string; value: Tensor }[] = [];
    for (const module of this.modules()) {
      module.visitParts((value, path, owner, key) => {
        if (value instanceof Parameter || (value instanceof Tensor && module.bufferNames.has(path)))
          places.push({ owner, key, value });
      });
    }
    const convert = (value: Tensor) => {
      // Positions and masks stay integers and truth values, as in PyTorch.
      const copy = value.to(isFloat(value.dtype) ? target : { ...target, dtype: undefined });
      return copy === value ? value.alias() : copy;
    };
    const values = new Set(places.map(({ value }) => value));
    const moved = noGrad(() => tidy(() => new Map([...values].map((value) => [value, convert(value)]))));
    for (const [value, copy] of moved)
      moved.set(value, value instanceof Parameter ? new Parameter(copy, value.requiresGrad) : keep(copy));
    for (const { owner, key, value } of places) owner[key] = moved.get(value)!;
    for (const old of moved.keys()) {
      old.grad?.dispose();
      old.dispose();
    }
    return this;
  }

  /** Frees all parameters, buffers and gradients. */
  dispose(): void {
    this.zeroGrad();
    for (const [, tensor] of this.savedTensors()) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Options worth showing when the module is printed. */
  protected describe(): string {
    return "";
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }

  /** The tree of modules, one per line; those that `above` holds already are told as `…`. */
  toString(above: readonly Module[] = []): string {
    const path = [...above, this];
    const lines = [...this.namedChildren()].map(
      ([name, child]) => `  (${name}): ${path.includes(child) ? "…" : child.toString(path).replace(/\n/g, "\n  ")}`,
    );
    const head = `${this.constructor.name}(${this.describe()}`;
    return lines.length ? `${head}\n${lines.join("\n")}\n)` : `${head})`;
  }
}

/** Throws unless it is a module: one that is built, and not its class or its parameters. */
export function checkModule(where: string, module: unknown, expected = "a module"): void {
  if (module instanceof Module) return;
  throw new ConfigError(`${where}: needs ${expected}, got ${kindOf(module)}.`, { where });
}
