/** Options of functions. An unknown name is refused: a misspelt option must not be ignored. */

import { ConfigError, listOf, nearest, oneWordOf, show } from "./errors.js";

/** Refuses the value of an option. */
export function refuseOption(where: string, name: string, expected: string, got: unknown): never {
  throw new ConfigError(`${where}: needs ${expected} for ${name}, got ${show(got)}.`, { where, option: name });
}

/** Throws unless all of these are whole numbers from `least` up: heads, groups, sizes. */
export function checkCounts(where: string, counts: Readonly<Record<string, unknown>>, least = 1): void {
  for (const name in counts) {
    const count = counts[name];
    if (Number.isSafeInteger(count) && (count as number) >= least) continue;
    refuseOption(where, name, `a whole number from ${least} up`, count);
  }
}

/** Throws unless all of these are finite numbers: bounds, scales. */
export function checkFinite(where: string, numbers: Readonly<Record<string, unknown>>): void {
  for (const name in numbers) {
    if (!Number.isFinite(numbers[name])) refuseOption(where, name, "a finite number", numbers[name]);
  }
}

/** Throws unless both are whole numbers from 1 up and the first is divisible by the second: `{ inChannels, groups }`. */
export function checkDivisible(where: string, counts: Readonly<Record<string, number>>): void {
  checkCounts(where, counts);
  const [[name, count], [by, divisor]] = Object.entries(counts);
  if (count % divisor === 0) return;
  throw new ConfigError(`${where}: needs ${name} divisible by ${by}, got ${count} and ${divisor}.`, { where });
}

/** Is it a number from 0 up to but without 1, such as the probability of dropout? */
export const isFraction = (value: unknown): value is number => typeof value === "number" && value >= 0 && value < 1;

/** Throws unless `p` is a probability that leaves something. */
export function checkDropout(where: string, p: unknown): void {
  if (isFraction(p)) return;
  throw new ConfigError(`${where}: needs a probability from 0 up to but without 1, got ${show(p)}.`, { where });
}

/** Throws unless `value` is one of these words. */
export function checkWord(where: string, name: string, value: unknown, known: readonly string[]): void {
  if (!known.includes(value as string)) refuseOption(where, name, oneWordOf(known), value);
}

/** Throws unless a clock, where there is one, can be asked. */
export function checkClock(where: string, clock: unknown): void {
  if (clock === undefined || typeof clock === "function") return;
  refuseOption(where, "clock", "a function that gives milliseconds, such as () => Date.now(),", clock);
}

/** Throws unless `options` is an object whose names are all known. */
export function checkOptions(where: string, options: object, known: readonly string[]): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new ConfigError(`${where}: needs its options as an object, got ${show(options)}.`, {
      where,
      hint: known[0] && `For example { ${known[0]}: ${typeof options === "number" ? options : "…"} }.`,
    });
  }
  for (const name in options) {
    if (known.includes(name)) continue;
    const near = nearest(name, known);
    throw new ConfigError(`${where}: has no option "${name}".`, {
      where,
      hint: near ? `Did you mean "${near}"?` : `Its options are: ${listOf(known)}.`,
    });
  }
}
