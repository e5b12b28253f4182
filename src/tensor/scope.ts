/**
 * Scopes free what was made inside them. Outside every scope a FinalizationRegistry is the net: storage goes back when
 * the garbage collector finds the tensor unreachable.
 */

import type { Storage } from "../backend/storage.js";
import { kindOf, TenonError } from "../core/errors.js";

/** What scopes need to know of a tensor (the class itself lies above). */
export interface Scoped {
  readonly storage: Storage;
  readonly disposed: boolean;
  kept: boolean;
  /** Is the collector's net under it? */
  netted: boolean;
  readonly node?: { reachableSaved(visit: (saved: Scoped) => void): void };
  dispose(): void;
}

let scope: Scoped[] | undefined;
const net = new FinalizationRegistry<Storage>((storage) => storage.release());

/** Called for each new tensor: the innermost scope owns it, or the collector does. */
export function adopt(tensor: Scoped): void {
  if (scope !== undefined) scope.push(tensor);
  else spreadNet(tensor);
}

function spreadNet(tensor: Scoped): void {
  if (tensor.netted) return;
  tensor.netted = true;
  net.register(tensor, tensor.storage, tensor);
}

/** A disposed tensor must not be released again by the collector. */
export function forget(tensor: Scoped): void {
  if (tensor.netted) net.unregister(tensor);
}

/** Throws unless it is given a function to run. */
export function checkFunction(where: string, fn: unknown): void {
  if (typeof fn === "function") return;
  throw new TenonError(`${where}: needs a function, got ${kindOf(fn)}.`, { where, hint: `Write ${where}(() => …).` });
}

/** Throws if a function that must be synchronous returned a promise: work after an `await` would outlive the scope. */
export function refusePromise(where: string, result: unknown): void {
  if (typeof (result as PromiseLike<unknown> | undefined)?.then !== "function") return;
  Promise.resolve(result).catch(() => undefined);
  throw new TenonError(`${where}: needs a synchronous function, got one that returns a promise.`, {
    where,
    hint: "Read values with data() or item() after it.",
  });
}

/** Hands a tensor to an owner outside all scopes: a module, an optimizer, a `.grad`. */
export function keep<T extends Scoped>(tensor: T): T {
  tensor.kept = true;
  return tensor;
}

/**
 * Runs a function and frees every tensor made inside that it does not return (in arrays, plain objects, maps and sets
 * too), nor needs for a later `backward()` of what it returns. Synchronous: throws on a promise.
 */
export function tidy<T>(fn: () => T): T {
  checkFunction("tidy", fn);
  const outer = scope;
  const own: Scoped[] = [];
  scope = own;
  try {
    const result = fn();
    refusePromise("tidy", result);
    scope = outer;
    release(own, survivors(result));
    return result;
  } catch (error) {
    scope = outer;
    release(own, new Set());
    throw error;
  }
}

/**
 * Runs a function that builds something. If it throws, all that it made is freed, what it handed to an owner too: the
 * owner never came to be.
 */
export function builtWhole<T>(build: () => T): T {
  const outer = scope;
  const own: Scoped[] = [];
  scope = own;
  try {
    const result = build();
    scope = outer;
    release(own, new Set(own));
    return result;
  } catch (error) {
    scope = outer;
    for (const tensor of own) tensor.dispose();
    throw error;
  }
}

function release(own: Scoped[], survivors: ReadonlySet<Scoped>): void {
  for (const tensor of own) {
    if (tensor.disposed) continue;
    if (tensor.kept) {
      spreadNet(tensor);
    } else if (survivors.has(tensor)) {
      adopt(tensor);
    } else {
      tensor.dispose();
    }
  }
}

/** The tensors in a result, and what their graphs saved. */
function survivors(result: unknown): Set<Scoped> {
  const found = new Set<Scoped>();
  const seen = new Set<object>();
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null || seen.has(value)) return;
    seen.add(value);
    if (isScoped(value)) {
      found.add(value);
      value.node?.reachableSaved((saved) => found.add(saved));
    } else {
      for (const part of parts(value)) visit(part);
    }
  };
  visit(result);
  return found;
}

/** What a plain container holds; other objects are opaque. */
function parts(value: object): Iterable<unknown> {
  if (Array.isArray(value) || value instanceof Set) return value;
  if (value instanceof Map) return value.values();
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null ? Object.values(value) : [];
}

const isScoped = (value: object): value is Scoped => "kept" in value && "netted" in value;
