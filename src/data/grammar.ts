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
  if (typeof rule === "string") return undefined;
  if (isSequence(rule)) return firstOf(rule, ambiguity);
  const alternatives = rule.alternatives.map(({ rule }) => rule());
  const heads = alternatives
    .flatMap((alternative, i) => headsOf(alternative).heads.map((head) => ({ head, i })))
    .sort((a, b) => (a.head < b.head ? -1 : a.head > b.head ? 1 : 0));
  // In order, texts that begin with a head follow it without a gap: neighbours suffice.
  for (const [k, { head, i }] of heads.entries()) {
    for (let n = k + 1; n < heads.length && heads[n].head.startsWith(head); n++) {
      if (heads[n].i !== i) return [head, heads[n].head];
    }
  }
  return firstOf(alternatives, ambiguity);
}

/** The texts a rule can start with, each up to the first choice inside; `whole` when they are all of the rule. */
function headsOf(rule: Rule): { heads: string[]; whole: boolean } {
  if (typeof rule === "string") return { heads: [rule], whole: true };
  if (!isSequence(rule)) {
    return { heads: rule.alternatives.flatMap(({ rule }) => headsOf(rule()).heads), whole: false };
  }
  let start = "";
  for (const part of rule) {
    const { heads, whole } = headsOf(part);
    if (!whole) return { heads: heads.map((head) => start + head), whole: false };
    start += heads[0];
  }
  return { heads: [start], whole: true };
}

function firstOf<T, R>(items: readonly T[], find: (item: T) => R | undefined): R | undefined {
  for (const item of items) {
    const found = find(item);
    if (found !== undefined) return found;
  }
  return undefined;
}

const isSequence = (rule: Rule): rule is readonly Rule[] => Array.isArray(rule);
