/** Options that callers give: a misspelt one is an error, never a default. */

import { ConfigError, listOf, nearest, show } from "../core/errors.js";

/** Throws ConfigError on an option of `where` that is not among the `known` ones. */
export function checkOptions<O extends object>(
  where: string,
  options: O,
  known: readonly (keyof O & string)[],
  choices: { readonly [K in keyof O]?: readonly O[K][] } = {},
): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new ConfigError(`${where}: needs an object of options, got ${show(options)}.`, { where });
  }
  for (const [key, value] of Object.entries(options)) {
    if (!(known as readonly string[]).includes(key)) {
      const near = nearest(key, known);
      throw new ConfigError(`${where}: unknown option "${key}".`, {
        where,
        hint: near ? `Did you mean "${near}"?` : `Known: ${known.join(", ")}.`,
      });
    }
    const allowed = choices[key as keyof O];
    if (value !== undefined && allowed && !allowed.includes(value)) {
      throw new ConfigError(
        `${where}: ${key} needs ${listOf(allowed.map(String), "or")}, got ${JSON.stringify(value)}.`,
        {
          where,
        },
      );
    }
  }
}

const SOURCE_KEYS = ["schema", "onViolation", "extraColumns", "name", "maxDecompressedBytes", "signal"] as const;

/** The same for a source of rows: `own` are the options that it has besides those of every source. */
export function checkSourceOptions<O extends { schema?: unknown; onViolation?: string; extraColumns?: string }>(
  where: string,
  options: O,
  own: readonly (keyof O & string)[] = [],
): void {
  checkOptions<{ [key: string]: unknown }>(where, options as { [key: string]: unknown }, [...SOURCE_KEYS, ...own], {
    onViolation: ["error", "skip", "null"],
    extraColumns: ["error", "drop"],
  });
}
