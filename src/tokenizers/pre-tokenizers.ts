/** The pre-tokenizers that many files name, and splitting at patterns. */

import type { Component } from "./definition.js";
import type { Builds } from "./kinds.js";
import { characters, literal, loadEngine, loadEngineFor, type Pattern, patternOf, regex } from "./pattern.js";
import { type Piece, prepend } from "./piece.js";
import type { PreTokenizer } from "./pre-tokenizer.js";
import { prependScheme, unknownType, wrongSetting } from "./settings.js";
import { isNumeric, isSpace } from "./unicode.js";
import { alongSpaces } from "./words-path.js";

/** What becomes of the matches of a split. */
type Behavior = "Removed" | "Isolated" | "MergedWithPrevious" | "MergedWithNext" | "Contiguous";

const kinds: Builds<PreTokenizer> = {
  Split: split,
  Metaspace: metaspace,
  Whitespace: () => ({ cut: splitter(regex(WORDS), "Removed", true) }),
  WhitespaceSplit: () => ({ cut: splitter(characters(isSpace), "Removed"), byWord: alongSpaces }),
  Digits: (settings) => ({
    cut: splitter(characters(isNumeric), settings.individual_digits === true ? "Isolated" : "Contiguous"),
  }),
  CharDelimiterSplit: (settings) => ({
    cut: splitter(literal(oneCharacter(settings.delimiter, "CharDelimiterSplit", "delimiter")), "Removed"),
  }),
  FixedLength: fixedLength,
};

/** The kinds of this module, ready to be made with these settings. */
export async function load(settings: Component): Promise<Builds<PreTokenizer>> {
  await (settings.type === "Whitespace" ? loadEngine() : loadEngineFor(settings));
  return kinds;
}

/** Words, and what is neither word nor white space. */
const WORDS =
  "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]+|[^\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}\\s]+";

function split(settings: Component): PreTokenizer {
  const pattern = patternOf(settings.pattern, "pre_tokenizer (Split)");
  const behavior = behaviorOf(settings.behavior);
  const invert = settings.invert === true;
  const keepGaps = behavior === "Isolated" && !invert;
  const scanner = keepGaps || (behavior === "Removed" && invert) ? pattern.scanner : undefined;
  return { cut: splitter(pattern, behavior, invert), matches: scanner && { scanner, keepGaps } };
}

const BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"];

export function behaviorOf(name: unknown): Behavior {
  if (BEHAVIORS.includes(name as string)) return name as Behavior;
  throw unknownType("pre_tokenizer (Split) behavior", name, BEHAVIORS);
}

/** Cuts pieces at the matches of a pattern, or at what lies between them (`invert`). */
export function splitter(pattern: Pattern, behavior: Behavior, invert = false): PreTokenizer["cut"] {
  return (piece) => {
    const { text } = piece;
    const matches = pattern.matches(text);
    if (matches.length === 0 && !invert && text !== "") return [piece];
    const out: Piece[] = [];
    for (const [start, end] of splitRanges(text, matches, behavior, invert)) {
      if (start < end) out.push(piece.slice(start, end));
    }
    return out;
  };
}

/** The ranges that remain of a text, given the matches in it. */
export function splitRanges(
  text: string,
  matches: [number, number][],
  behavior: Behavior,
  invert: boolean,
): [number, number][] {
  // Matches and what lies between them, in order.
  const parts: { start: number; end: number; match: boolean }[] = [];
  let last = 0;
  for (const [start, end] of matches) {
    if (last !== start) parts.push({ start: last, end: start, match: invert });
    parts.push({ start, end, match: !invert });
    last = end;
  }
  if (last !== text.length) parts.push({ start: last, end: text.length, match: invert });
  if (behavior === "Removed") return parts.filter((part) => !part.match).map(({ start, end }) => [start, end]);
  const out: [number, number][] = [];
  let previous = false;
  if (behavior === "MergedWithNext") {
    for (const { start, end, match } of parts.reverse()) {
      if (match && !previous && out.length > 0) out[out.length - 1][0] = start;
      else out.push([start, end]);
      previous = match;
    }
    return out.reverse();
  }
  for (const { start, end, match } of parts) {
    const joined = behavior === "Contiguous" ? match === previous : behavior !== "Isolated" && match && !previous;
    if (joined && out.length > 0) out[out.length - 1][1] = end;
    else out.push([start, end]);
    previous = match;
  }
  return out;
}

function oneCharacter(value: unknown, type: string, setting: string): string {
  if (typeof value === "string" && [...value].length === 1) return value;
  throw wrongSetting(`pre_tokenizer (${type})`, `one character as its ${setting}`, value);
}

function metaspace(settings: Component): PreTokenizer {
  const replacement = oneCharacter(settings.replacement ?? "▁", "Metaspace", "replacement");
  const scheme = prependScheme(settings);
  const split = settings.split === false ? undefined : splitter(literal(replacement), "MergedWithNext");
  const cut = (piece: Piece): Piece[] => {
    if (piece.text.includes(" ")) {
      if (piece.tracked) {
        const sources: number[] = [];
        const replaced: string[] = [];
        let at = 0;
        for (const character of piece.text) {
          replaced.push(character === " " ? replacement : character);
          sources.push(at);
          at += character.length;
        }
        piece.edit({ characters: replaced, sources });
      } else piece.set(piece.text.replaceAll(" ", replacement));
    }
    const wanted = scheme === "always" || (scheme === "first" && piece.origin === 0);
    if (wanted && !piece.text.startsWith(replacement)) prepend(piece, replacement);
    return split === undefined ? [piece] : split(piece);
  };
  return { cut, needsOrigin: scheme === "first" };
}

function fixedLength(settings: Component): PreTokenizer {
  const length = settings.length as number;
  if (!Number.isInteger(length) || length < 1) {
    throw wrongSetting("pre_tokenizer (FixedLength)", "a length from 1 up", length);
  }
  const cut = (piece: Piece): Piece[] => {
    const out: Piece[] = [];
    let start = 0;
    let at = 0;
    let count = 0;
    for (const character of piece.text) {
      at += character.length;
      if (++count % length === 0) {
        out.push(piece.slice(start, at));
        start = at;
      }
    }
    if (start < at) out.push(piece.slice(start, at));
    return out;
  };
  return { cut };
}
