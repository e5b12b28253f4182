/** Parts of a whole by ratio. */

import { ConfigError, show } from "../core/errors.js";

/** Named parts and their shares, e.g. `{ train: 0.9, val: 0.1 }`. */
export type Ratios = Readonly<Record<string, number>>;

/** Throws ConfigError unless parts are given by name. */
export function requireParts(where: string, parts: unknown, what: string): void {
  if (typeof parts === "object" && parts !== null && !Array.isArray(parts)) return;
  throw new ConfigError(`${where}: needs parts and their ${what} by name, got ${show(parts)}.`, {
    where,
    hint: "For example { train: …, val: … }.",
  });
}

/**
 * Checks ratios: at least one part, each a number above 0, together at most 1 (a sum within 1e-9 of 1 counts as 1).
 * Returns the parts with their upper bounds on [0, 1], in the order given.
 */
export function ratioBounds(ratios: Ratios, where = "split"): { name: string; upper: number }[] {
  requireParts(where, ratios, "ratios");
  const entries = Object.entries(ratios);
  if (entries.length === 0) throw new ConfigError(`${where}: needs at least one part, got none.`, { where });
  let sum = 0;
  const bounds = entries.map(([name, ratio]) => {
    if (!(typeof ratio === "number" && ratio > 0 && ratio <= 1)) {
      throw new ConfigError(`${where}: the part "${name}" needs a ratio above 0 and at most 1, got ${ratio}.`, {
        where,
      });
    }
    sum += ratio;
    return { name, upper: sum };
  });
  if (sum > 1 + 1e-9) {
    throw new ConfigError(`${where}: ratios add up to at most 1, got ${sum}.`, {
      where,
      hint: `Lower one of ${entries.map(([name]) => name).join(", ")}.`,
    });
  }
  if (sum > 1 - 1e-9) bounds[bounds.length - 1].upper = 1;
  return bounds;
}

/** Index ranges of contiguous parts of `length` items: part k ends at `floor(length * (r1 + … + rk))`. */
export function contiguousParts(length: number, ratios: Ratios): Record<string, { start: number; end: number }> {
  const parts: Record<string, { start: number; end: number }> = {};
  let start = 0;
  for (const { name, upper } of ratioBounds(ratios)) {
    // The tolerance takes back the rounding of sums such as 0.7 + 0.1.
    const end = Math.min(length, Math.floor(length * upper + 1e-6));
    parts[name] = { start, end };
    start = end;
  }
  return parts;
}

/** One text cut into contiguous parts by ratio of its UTF-16 units; a surrogate pair is never cut. */
export function splitText(text: string, ratios: Ratios): Record<string, string> {
  const whole = (at: number) => (at > 0 && at < text.length && isLowSurrogate(text, at) ? at + 1 : at);
  const parts = Object.entries(contiguousParts(text.length, ratios));
  return Object.fromEntries(parts.map(([name, { start, end }]) => [name, text.slice(whole(start), whole(end))]));
}

function isLowSurrogate(text: string, at: number): boolean {
  const unit = text.charCodeAt(at);
  const before = text.charCodeAt(at - 1);
  return unit >= 0xdc00 && unit <= 0xdfff && before >= 0xd800 && before <= 0xdbff;
}
