/** Values of categories by their numbers, and back. */

/** Records with values are plain JSON: what is made of a list of them is kept beside it. */
const known = new WeakMap<readonly string[], ReadonlyMap<string, number>>();

/** The place of a value in a list that no longer changes (the first of equal ones), or -1; a search only once per list. */
export function codeOf(values: readonly string[], value: unknown): number {
  let codes = known.get(values);
  if (!codes) {
    codes = new Map(values.map((each, code) => [each, code] as const).reverse());
    known.set(values, codes);
  }
  return codes.get(value as string) ?? -1;
}
