/** Options that readers and stages have in common, and those that take one of some words. */

import { ConfigError, listOf, show } from "../core/errors.js";
import { checkOptions } from "../core/options.js";

/** Throws ConfigError on an option of `where` that is none of its choices. */
export function checkChoices<O extends object>(
  where: string,
  options: O,
  choices: { readonly [K in keyof O]?: readonly O[K][] },
): void {
  for (const name in choices) {
    const [value, allowed] = [options[name], choices[name]!];
    if (value === undefined || allowed.includes(value)) continue;
    throw new ConfigError(`${where}: ${name} needs ${listOf(allowed.map(String), "or")}, got ${show(value)}.`, {
      where,
    });
  }
}

const SOURCE_OPTIONS = ["schema", "onViolation", "extraColumns", "name", "maxDecompressedBytes", "signal"];

/** Checks the options of a source of rows: `own` are those that it has besides the ones of every source. */
export function checkSourceOptions<O extends { onViolation?: string; extraColumns?: string }>(
  where: string,
  options: O,
  own: readonly (keyof O & string)[] = [],
): void {
  checkOptions(where, options, [...SOURCE_OPTIONS, ...own]);
  checkChoices<{ onViolation?: string; extraColumns?: string }>(where, options, {
    onViolation: ["error", "skip", "null"],
    extraColumns: ["error", "drop"],
  });
}
