/** Options of readers and steps: their names and kinds in one table each. */

import { ConfigError, listOf, show } from "../core/errors.js";
import { checkOptions } from "../core/options.js";
import type { SourceOptions } from "./source.js";

const isText = (value: unknown): boolean => typeof value === "string";

/** How messages call a kind, and what is of it. A text is no list, though JavaScript would take its letters. */
const KINDS = {
  flag: ["true or false", (value) => typeof value === "boolean"],
  text: ["a text", isText],
  texts: ["a list of texts", (value) => Array.isArray(value) && value.every(isText)],
  count: [
    "an integer from 0",
    (value) => value === Number.POSITIVE_INFINITY || (Number.isSafeInteger(value) && (value as number) >= 0),
  ],
  id: ["an int32", (value) => value === (Number(value) | 0)],
  /** Checked where it is used. */
  other: ["", () => true],
} satisfies Record<string, [what: string, test: (value: unknown) => boolean]>;

/** A kind, or the values that there are to choose from, for each option. */
type Kinds<O> = { readonly [K in keyof O]-?: keyof typeof KINDS | readonly O[K][] };

/** Throws ConfigError on an option that `where` does not have, or that is of another kind than its own. */
export function checkKinds<O extends object>(where: string, options: O, kinds: Kinds<O>): void {
  checkOptions(where, options, Object.keys(kinds));
  for (const name in kinds) {
    const value = options[name];
    const kind: keyof typeof KINDS | readonly unknown[] = kinds[name];
    const [what, test]: (typeof KINDS)["text"] =
      typeof kind === "string" ? KINDS[kind] : [listOf(kind.map(String), "or"), (choice) => kind.includes(choice)];
    if (value === undefined || test(value)) continue;
    throw new ConfigError(`${where}: ${name} needs ${what}, got ${show(value)}.`, { where });
  }
}

/** Throws ConfigError unless a step was given a function. */
export function checkFunction(where: string, fn: unknown): void {
  if (typeof fn === "function") return;
  throw new ConfigError(`${where}: needs a function of a row, got ${show(fn)}.`, { where });
}

/** What sources of bytes have. */
export const BYTES_KINDS = { name: "text", maxDecompressedBytes: "count", signal: "other" } as const;

/** Checks the options of a source of rows: `own` are those that it has besides the ones of every source. */
export function checkSourceOptions<O extends SourceOptions>(
  where: string,
  options: O,
  own: Kinds<Omit<O, keyof SourceOptions>>,
): void {
  const shared: Kinds<SourceOptions> = {
    schema: "other",
    onViolation: ["error", "skip", "null"],
    extraColumns: ["error", "drop"],
    ...BYTES_KINDS,
  };
  checkKinds<object>(where, options, { ...shared, ...own });
}
