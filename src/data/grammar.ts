/**
 * Probabilistic grammars whose information is known exactly: texts, sequences, and choices whose outcome may decide
 * what follows. Choices are integers, so every probability is a ratio and a text depends on its draws alone.
 */

import { log } from "../core/math.js";

/** What a grammar is made of: a text, parts one after the other, or a choice. */
export type Rule = string | readonly Rule[] | Choice;

/** One of several alternatives, each with a probability in proportion to its integer weight. */
export interface Choice {
  /** Sum of the weights. */
  readonly total: number;
  readonly alternatives: readonly { readonly weight: number; readonly rule: () => Rule }[];
}

/** One of the items, all equally likely; what follows may depend on it, which is how parts of a story agree. */
export const pick = <T>(items: readonly T[], then: (item: T) => Rule): Choice => ({
  total: items.length,
  alternatives: items.map((item) => ({ weight: 1, rule: () => then(item) })),
});

/** One of the rules, all equally likely. */
export const either = (...rules: readonly Rule[]): Choice => pick(rules, (rule) => rule);

/** One of the rules, each with a probability in proportion to its weight, a positive integer. */
export const weighted = (...options: readonly (readonly [weight: number, rule: Rule])[]): Choice => ({
  total: options.reduce((total, [weight]) => total + weight, 0),
  alternatives: options.map(([weight, rule]) => ({ weight, rule: () => rule })),
});

/** Writes one text of the grammar. `draw(bound)` gives an integer in [0, bound), all equally likely. */
export function write(rule: Rule, draw: (bound: number) => number): string {
  if (typeof rule === "string") return rule;
  if (isSequence(rule)) return rule.map((part) => write(part, draw)).join("");
  let left = draw(rule.total);
  for (const { weight, rule: chosen } of rule.alternatives) {
    if (left < weight) return write(chosen(), draw);
    left -= weight;
  }
  throw new RangeError(`write: needs draws below ${rule.total}, got one above.`);
}

/** What the texts of a grammar hold on average. */
export interface Measure {
  /** Information in the choices made, in nats. */
  readonly nats: number;
  /** UTF-16 units. */
  readonly length: number;
}

/**
 * The exact means over all texts of the grammar: the information of a choice is -ln p for itself, and then what the
 * alternative taken holds. Where every text has one derivation (`ambiguity`), that is the entropy of the text.
 */
export function measure(rule: Rule): Measure {
  if (typeof rule === "string") return { nats: 0, length: rule.length };
  let nats = 0;
  let length = 0;
  if (isSequence(rule)) {
    for (const part of rule) {
      const inside = measure(part);
      nats += inside.nats;
      length += inside.length;
    }
  } else {
    for (const { weight, rule: alternative } of rule.alternatives) {
      const inside = measure(alternative());
      nats += (weight / rule.total) * (inside.nats - log(weight / rule.total));
      length += (weight / rule.total) * inside.length;
    }
  }
  return { nats, length };
}

/**
 * Two alternatives of one choice that a reader of the text cannot tell apart at once, or undefined when there are none.
 *
 * The head of a rule is the text it must start with up to its next choice. If no head of one alternative is a prefix of
 * a head of another, a text goes on with a head of exactly one of them, so reading from left to right makes every
 * choice known: each text has one derivation, and its probability is the product of that derivation's choices.
 */
export function ambiguity(rule: Rule): readonly [string, string] | undefined {
  const clashes: (readonly [string, string])[] = [];
  examine(rule, clashes);
  return clashes[0];
}

/** The heads of a rule, and whether they are all of its text; clashes of its choices are noted on the way. */
function examine(rule: Rule, clashes: (readonly [string, string])[]): { heads: string[]; whole: boolean } {
  if (typeof rule === "string") return { heads: [rule], whole: true };
  if (isSequence(rule)) {
    let heads = [""];
    let whole = true;
    for (const part of rule) {
      const next = examine(part, clashes);
      if (!whole) continue;
      heads = next.heads.map((head) => heads[0] + head);
      whole = next.whole;
    }
    return { heads, whole };
  }
  const marked = rule.alternatives
    .flatMap(({ rule: alternative }, i) => examine(alternative(), clashes).heads.map((head) => ({ head, i })))
    .sort((a, b) => (a.head < b.head ? -1 : a.head > b.head ? 1 : 0));
  // In order, the texts that begin with a head follow it without a gap.
  for (const [k, { head, i }] of marked.entries()) {
    for (let n = k + 1; n < marked.length && marked[n].head.startsWith(head); n++) {
      if (marked[n].i !== i) clashes.push([head, marked[n].head]);
    }
  }
  return { heads: marked.map(({ head }) => head), whole: false };
}

const isSequence = (rule: Rule): rule is readonly Rule[] => Array.isArray(rule);
