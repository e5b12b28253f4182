/** Windows that slide over height and width: what their sizes must be. */

import { misfit, show } from "../core/errors.js";
import { checkCounts } from "../core/options.js";

/** One number, or one each for height and width. */
export type Pair = number | readonly [number, number];

export const both = (value: Pair): readonly [number, number] => (typeof value === "number" ? [value, value] : value);

/** Kernel, stride and dilation from 1 up, padding from 0 up. */
export function checkWindow(op: string, sizes: Readonly<Record<string, Pair>>): void {
  for (const [name, value] of Object.entries(sizes)) {
    const least = name === "padding" ? 0 : 1;
    const pair = both(value);
    if (Array.isArray(pair) && pair.length === 2 && pair.every((n) => Number.isSafeInteger(n) && n >= least)) continue;
    throw misfit(op, `needs whole numbers from ${least} up for ${name}, one or two, got ${show(value)}.`);
  }
}

/** The same for windows over one dim, of which each is one number. */
export function checkLine(op: string, { padding, ...sizes }: Readonly<Record<string, unknown>>): void {
  checkCounts(op, sizes);
  checkCounts(op, { padding }, 0);
}
