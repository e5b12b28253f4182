/** What objects are made of: values by name, also in arrays and plain objects. */

/** Is given a value, the path to it, and what holds it under which key. */
export type PartVisitor = (value: unknown, path: string, owner: Record<string, unknown>, key: string) => void;

/** Visits what an object holds, in order of assignment, and what is in its arrays and plain objects; nothing else is entered. */
export function visitParts(object: object, visit: PartVisitor, prefix = "", owners: readonly object[] = []): void {
  const owner = object as Record<string, unknown>;
  for (const key of Object.keys(owner)) {
    const value = owner[key];
    const path = join(prefix, key);
    visit(value, path, owner, key);
    if (isCollection(value) && !owners.includes(value)) visitParts(value, visit, path, [...owners, value]);
  }
}

function isCollection(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return Array.isArray(value) || prototype === Object.prototype || prototype === null;
}

/** A name below a path. */
export const join = (prefix: string, name: string): string => (prefix === "" ? name : `${prefix}.${name}`);
