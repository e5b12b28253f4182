/** What an optimizer is given: options of the user's, and a state that may have been in a file. */

import { ConfigError, show } from "../core/errors.js";
import { checkOptions, isFraction, refuseOption } from "../core/options.js";

/** A state may be of a file: is it made of what it should be made of? */
export function checkState(where: string, { groups, steps, tensors }: Record<string, any>): void {
  const refuse = (expected: string, got: unknown): never => {
    throw new ConfigError(`${where}: needs ${expected}, got ${show(got)}.`, { where });
  };
  const isObject = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value);
  if (!Array.isArray(groups)) refuse("a list of groups", groups);
  for (const group of groups) {
    if (!isObject(group?.options)) refuse("options for each group", group?.options);
    if (!Array.isArray(group.params)) refuse("the names of each group's parameters", group.params);
  }
  if (!isObject(steps)) refuse("steps by parameter", steps);
  for (const [name, step] of Object.entries(steps))
    if (!(Number.isSafeInteger(step) && (step as number) >= 0)) refuse(`a whole number of steps for ${name}`, step);
  if (!isObject(tensors)) refuse("tensors by name", tensors);
}

/** Refuses options that the optimizer does not have, numbers below 0, and values of another type than its own. */
export function checkHyperparameters(where: string, options: object, defaults: object): void {
  checkOptions(where, options, Object.keys(defaults));
  for (const [name, value] of Object.entries(options)) {
    const refuse = (expected: string) => refuseOption(where, name, expected, value);
    const fallback = (defaults as Record<string, unknown>)[name];
    if (typeof fallback === "number" && !(typeof value === "number" && value >= 0)) refuse("a number from 0 up");
    if (typeof fallback === "boolean" && typeof value !== "boolean") refuse("true or false");
    if (name === "betas" && !(Array.isArray(value) && value.length === 2 && value.every(isFraction)))
      refuse("two numbers from 0 up to but without 1");
  }
}
