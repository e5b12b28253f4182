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

const isCollection = (value: unknown): value is object =>
  typeof value === "object" &&
  value !== null &&
  (Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype);

/** A name below a path. */
export const join = (prefix: string, name: string): string => (prefix === "" ? name : `${prefix}.${name}`);
