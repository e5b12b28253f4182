/**
 * Scopes free what was made inside them. Outside every scope a FinalizationRegistry is the net: storage goes back when
 * the garbage collector finds the tensor unreachable.
 */

import type { Storage } from "../backend/storage.js";
import { TenonError } from "../core/errors.js";

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

/** Hands a tensor to an owner outside all scopes: a module, an optimizer, a `.grad`. */
export function keep<T extends Scoped>(tensor: T): T {
  tensor.kept = true;
  return tensor;
}

/**
 * Runs a function and frees every tensor made inside that it does not return (in arrays and plain objects too), nor
 * needs for a later `backward()` of what it returns. Synchronous: throws on a promise, since work after an `await`
 * would outlive the scope.
 */
export function tidy<T>(fn: () => T): T {
  const outer = scope;
  const own: Scoped[] = [];
  scope = own;
  try {
    const result = fn();
    if (result instanceof Promise) {
      result.catch(() => undefined);
      throw new TenonError("tidy: needs a synchronous function, got one that returns a promise.", {
        where: "tidy",
        hint: "Read values with data() or item() after the tidy().",
      });
    }
    scope = outer;
    release(own, survivors(result));
    return result;
  } catch (error) {
    scope = outer;
    release(own, new Set());
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
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    if (isScoped(value)) {
      if (found.has(value)) return;
      found.add(value);
      value.node?.reachableSaved((saved) => found.add(saved));
    } else if (Array.isArray(value)) {
      value.forEach(visit);
    } else if (Object.getPrototypeOf(value) === Object.prototype) {
      Object.values(value).forEach(visit);
    }
  };
  visit(result);
  return found;
}

const isScoped = (value: object): value is Scoped => "storage" in Object.getPrototypeOf(value) || "kept" in value;
