/** Sets of characters in regular expressions, with Oniguruma's meaning of their names. */

import { FormatError, show } from "../../core/errors.js";
import { characterOf16 } from "../unicode-16.js";

export interface CharacterSet {
  /** Equal sets may have equal names; for deduplication and messages. */
  readonly name: string;
  has(code: number): boolean;
}

const byExpression = (name: string, body: string): CharacterSet => {
  const expression = new RegExp(body, "u");
  return { name, has: (code) => expression.test(characterOf16(code)) };
};

export const single = (code: number): CharacterSet => ({ name: `=${code}`, has: (other) => other === code });

export const range = (first: number, last: number): CharacterSet => ({
  name: `${first}-${last}`,
  has: (code) => code >= first && code <= last,
});

export const union = (sets: CharacterSet[]): CharacterSet =>
  sets.length === 1
    ? sets[0]
    : { name: `(${sets.map((set) => set.name).join("|")})`, has: (code) => sets.some((set) => set.has(code)) };

export const intersection = (sets: CharacterSet[]): CharacterSet =>
  sets.length === 1
    ? sets[0]
    : { name: `(${sets.map((set) => set.name).join("&")})`, has: (code) => sets.every((set) => set.has(code)) };

export const complement = (set: CharacterSet): CharacterSet => ({
  name: `^${set.name}`,
  has: (code) => !set.has(code),
});

/** Everything but a line feed. */
export const notNewline: CharacterSet = { name: ".", has: (code) => code !== 10 };
export const anything: CharacterSet = { name: "any", has: () => true };

/** Named sets: POSIX brackets, shorthands and Oniguruma's own properties, as bodies of JavaScript expressions. */
const NAMED: Record<string, string> = {
  alnum: "[\\p{Alphabetic}\\p{Nd}]",
  alpha: "\\p{Alphabetic}",
  ascii: "[\\0-\\x7f]",
  blank: "[\\t\\p{Zs}]",
  cntrl: "\\p{Cc}",
  digit: "\\p{Nd}",
  graph: "[^\\p{White_Space}\\p{Cc}\\p{Cn}\\p{Cs}]",
  lower: "\\p{Lowercase}",
  print: "[\\p{Zs}]|[^\\p{White_Space}\\p{Cc}\\p{Cn}\\p{Cs}]",
  punct: "[\\p{P}\\p{S}]",
  space: "\\p{White_Space}",
  upper: "\\p{Uppercase}",
  xdigit: "[0-9a-fA-F]",
  word: "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}]",
  any: "[^]",
  assigned: "\\P{Cn}",
};

const cache = new Map<string, CharacterSet>();

/** A set by its name: `alpha`, `space`, `word`, …; undefined for a name that is none of these. */
export function named(name: string): CharacterSet | undefined {
  const key = name.toLowerCase();
  let set = cache.get(key);
  if (set === undefined && Object.hasOwn(NAMED, key)) cache.set(key, (set = byExpression(key, NAMED[key])));
  return set;
}

/** `\p{name}`: a named set, a category, a script or a binary property of Unicode. */
export function property(name: string, pattern: string): CharacterSet {
  const negated = name.startsWith("^");
  // Oniguruma ignores case, spaces, hyphens and underscores in names.
  const plain = (negated ? name.slice(1) : name).replace(/[\s_-]/g, "");
  const key = `p:${plain.toLowerCase()}`;
  let set = named(plain) ?? cache.get(key);
  if (set === undefined) {
    for (const spelling of spellings(negated ? name.slice(1) : name)) {
      for (const body of [`\\p{${spelling}}`, `\\p{Script=${spelling}}`]) {
        try {
          set ??= byExpression(key, body);
        } catch {
          // Not a name of this kind; the next one may be.
        }
      }
    }
    if (set === undefined) {
      throw new FormatError(`regex ${show(pattern)}: needs a known property, got \\p{${name.slice(0, 60)}}.`, {
        where: "regex",
        pattern,
      });
    }
    cache.set(key, set);
  }
  return negated ? complement(set) : set;
}

/** Ways in which JavaScript may spell a name whose case and separators were free. */
function spellings(name: string): string[] {
  const words = name
    .trim()
    .split(/[\s_-]+/)
    .map((word) => word.slice(0, 1).toUpperCase() + word.slice(1).toLowerCase());
  return [name, words.join("_"), name.toUpperCase(), words.join("")];
}

const WORD_IN_BRACKETS = named("word") as CharacterSet;

/** Outside of brackets Oniguruma counts the superscripts and fractions of Latin-1, and no others, as word characters. */
export const WORD: CharacterSet = {
  name: "WORD",
  has: (code) => WORD_IN_BRACKETS.has(code) || (code < 0x100 && "²³¹¼½¾".includes(String.fromCharCode(code))),
};

/** A set as it is meant outside of brackets. */
export const outsideBrackets = (set: CharacterSet): CharacterSet => (set === WORD_IN_BRACKETS ? WORD : set);
export const NEWLINE = single(10);

/** Characters whose upper case has another lower case: not found by going back and forth from the others. */
const ODD_CASES = "ſςϐϑϕϖϰϱϵẛι\u212a\u212b\u2126ϴẞᲀᲁᲂᲃᲄᲅᲆᲇᲈ";

const oneCharacter = (text: string): boolean => text.length === ((text.codePointAt(0) as number) > 0xffff ? 2 : 1);

/** All characters that differ only in case (simple case folding), itself included. */
export function caseVariants(code: number): number[] {
  const found = new Set([String.fromCodePoint(code)]);
  const grow = () => {
    for (const character of found) {
      for (const other of [character.toLowerCase(), character.toUpperCase()]) {
        if (oneCharacter(other)) found.add(other);
      }
    }
  };
  grow();
  for (const odd of ODD_CASES) {
    const plain = odd.toUpperCase().toLowerCase();
    if (found.has(odd.toLowerCase()) || (oneCharacter(plain) && found.has(plain))) found.add(odd);
  }
  grow();
  const variants = [...found].map((character) => character.codePointAt(0) as number);
  // Dotless and dotted i have no simple case folding.
  return code === 0x130 || code === 0x131
    ? [code]
    : variants.filter((variant) => variant !== 0x130 && variant !== 0x131);
}

export const ignoringCase = (set: CharacterSet): CharacterSet => ({
  name: `i${set.name}`,
  has: (code) => set.has(code) || caseVariants(code).some((variant) => set.has(variant)),
});

let folds: [number, number[]][] | undefined;

/** Characters that fold to several ones ("ß" to "ss"), with what they fold to. */
export function multipleFolds(): [number, number[]][] {
  if (folds === undefined) {
    folds = [];
    const ranges = [
      [0xdf, 0xdf],
      [0x130, 0x130],
      [0x149, 0x149],
      [0x1f0, 0x1f0],
      [0x390, 0x390],
      [0x3b0, 0x3b0],
      [0x587, 0x587],
      [0x1e96, 0x1e9a],
      [0x1e9e, 0x1e9e],
      [0x1f50, 0x1f56],
      [0x1f80, 0x1ffc],
      [0xfb00, 0xfb06],
      [0xfb13, 0xfb17],
    ];
    for (const [first, last] of ranges) {
      for (let code = first; code <= last; code++) {
        const character = String.fromCodePoint(code);
        const fold = code === 0x130 ? "i\u0307" : code === 0x1e9e ? "ss" : character.toUpperCase().toLowerCase();
        if (!oneCharacter(fold)) folds.push([code, Array.from(fold, (part) => part.codePointAt(0) as number)]);
      }
    }
  }
  return folds;
}
