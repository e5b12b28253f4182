/** Reading the settings of components. */

import { FormatError, listOf, nearest, show } from "../core/errors.js";
import type { Component } from "./definition.js";

/** For a component whose type nobody knows. */
export function unknownType(component: string, type: unknown, known: string[]): FormatError {
  const close = typeof type === "string" ? nearest(type, known) : undefined;
  return new FormatError(
    `tokenizer.json ${component}: needs a type out of ${listOf(known, "or")}, got ${show(type)}.`,
    { where: `tokenizer.json ${component}`, type, hint: close && `Did you mean ${close}?` },
  );
}

/** A setting that is a text; `component` is told as in "normalizer (Prepend)". */
export function textOf(settings: Component, name: string, component: string, fallback?: string): string {
  const value = settings[name] ?? fallback;
  if (typeof value === "string") return value;
  throw wrongSetting(component, `a text ${name}`, value);
}

/** For a component with a setting that is not what it needs. */
export function wrongSetting(component: string, rule: string, got: unknown): FormatError {
  const where = `tokenizer.json ${component}`;
  return new FormatError(`${where}: needs ${rule}, got ${show(got)}.`, { where });
}

const SCHEMES = ["always", "never", "first"];

/** When `Metaspace` puts its mark before a text; older files say it with `add_prefix_space`. */
export function prependScheme(settings: Component): string {
  if (settings.add_prefix_space === false) return "never";
  const { prepend_scheme = "always" } = settings;
  if (SCHEMES.includes(prepend_scheme as string)) return prepend_scheme as string;
  throw unknownType("(Metaspace) prepend_scheme", prepend_scheme, SCHEMES);
}
