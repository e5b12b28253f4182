/** Reading the settings of components. */

import { FormatError, listOf, nearest } from "../core/errors.js";
import type { Component } from "./definition.js";

/** For a component whose type nobody knows. */
export function unknownType(component: string, type: unknown, known: string[]): FormatError {
  const close = typeof type === "string" ? nearest(type, known) : undefined;
  return new FormatError(
    `tokenizer.json ${component}: needs a type out of ${listOf(known, "or")}, got ${JSON.stringify(type) ?? "none"}.`,
    { where: `tokenizer.json ${component}`, type, hint: close && `Did you mean ${close}?` },
  );
}

/** When `Metaspace` puts its mark before a text; older files say it with `add_prefix_space`. */
export function prependScheme(settings: Component): string {
  if (settings.add_prefix_space === false) return "never";
  return (settings.prepend_scheme as string | undefined) ?? "always";
}
