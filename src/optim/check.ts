/** What an optimizer is given: options of the user's, and a state that may have been in a file. */

import { ConfigError, kindOf, show } from "../core/errors.js";
import { checkOptions, isFraction, refuseOption } from "../core/options.js";

/** A state may be of a file: is it made of what it should be made of? */
export function checkState(where: string, { groups, steps, tensors }: Record<string, any>): void {
  const refuse = (expected: string, got: unknown): never => {
    throw new ConfigError(`${where}: needs ${expected}, got ${show(got)}.`, { where });
  };
  const lists = [groups, ...(Array.isArray(groups) ? groups.map((group) => group?.params) : [])];
  for (const list of lists) if (!Array.isArray(list)) refuse("groups, each with a list of names", list);
  for (const value of [steps, tensors, ...groups.map((group: any) => group.options)])
    if (typeof value !== "object" || value === null) refuse("options of each group, steps and tensors by name", value);
  for (const [name, step] of Object.entries(steps))
    if (!(Number.isSafeInteger(step) && (step as number) >= 0)) refuse(`a whole number of steps for ${name}`, step);
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

/** Refuses what is no list of parameters: a module, for example. */
export function checkList(where: string, parameters: unknown): void {
  if (typeof (parameters as Iterable<unknown>)?.[Symbol.iterator] === "function") return;
  throw new ConfigError(`${where}: needs a list of parameters, got ${kindOf(parameters)}.`, {
    where,
    hint: "For example model.parameters().",
  });
}
