/** Pre-tokenizers: they cut normalized text into the pieces that the model sees. */

import { FormatError } from "../core/errors.js";
import { byteCharacters } from "./byte-alphabet.js";
import { prependScheme } from "./decoders.js";
import type { Component } from "./definition.js";
import { bytesOf, isSpace, prependEdits } from "./normalizers.js";
import { characters, literal, type Pattern, patternOf, regex } from "./pattern.js";
import type { Edits, Piece } from "./piece.js";
import { unknownType } from "./settings.js";
import { isNumeric } from "./unicode.js";

export type PreTokenizer = (piece: Piece) => Piece[];

/** What becomes of the matches of a split. */
type Behavior = "Removed" | "Isolated" | "MergedWithPrevious" | "MergedWithNext" | "Contiguous";

const builders: Record<string, (settings: Component) => PreTokenizer> = {
  Sequence: (settings) => {
    const parts = (settings.pretokenizers as Component[]).map(createPreTokenizer);
    return (piece) => parts.reduce((pieces, part) => pieces.flatMap(part), [piece]);
  },
  ByteLevel: byteLevel,
  Split: (settings) =>
    splitter(
      patternOf(settings.pattern, "pre_tokenizer (Split)"),
      behaviorOf(settings.behavior),
      settings.invert === true,
    ),
  Metaspace: metaspace,
  Whitespace: () =>
    splitter(
      regex(
        "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]+|[^\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}\\s]+",
      ),
      "Removed",
      true,
    ),
  WhitespaceSplit: () => splitter(characters(isSpace), "Removed"),
  Digits: (settings) =>
    splitter(characters(isNumeric), settings.individual_digits === true ? "Isolated" : "Contiguous"),
  CharDelimiterSplit: (settings) => splitter(literal(settings.delimiter as string), "Removed"),
  FixedLength: fixedLength,
};

/** Adds kinds that are loaded only where a file needs them. */
export function addPreTokenizers(more: Record<string, (settings: Component) => PreTokenizer>): void {
  Object.assign(builders, more);
}

/** Makes a pre-tokenizer from its part of `tokenizer.json`. Throws FormatError for an unknown type. */
export function createPreTokenizer(settings: Component): PreTokenizer {
  const build = Object.hasOwn(builders, settings.type ?? "") ? builders[settings.type as string] : undefined;
  if (build === undefined) throw unknownType("pre_tokenizer", settings.type, Object.keys(builders));
  return build(settings);
}

const BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"];

export function behaviorOf(name: unknown): Behavior {
  if (BEHAVIORS.includes(name as string)) return name as Behavior;
  throw unknownType("pre_tokenizer (Split) behavior", name, BEHAVIORS);
}

/** Cuts pieces at the matches of a pattern, or at what lies between them (`invert`). */
export function splitter(pattern: Pattern, behavior: Behavior, invert = false): PreTokenizer {
  return (piece) => {
    const { text } = piece;
    const out: Piece[] = [];
    for (const [start, end] of splitRanges(text, pattern.matches(text), behavior, invert)) {
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

/** The splitting expression of GPT-2 (Radford et al. 2019). */
export const GPT2_PATTERN = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

function byteLevel(settings: Component): PreTokenizer {
  const split = settings.use_regex === false ? undefined : splitter(regex(GPT2_PATTERN), "Isolated");
  return (piece) => {
    if (settings.add_prefix_space !== false && !piece.text.startsWith(" ")) prepend(piece, " ");
    const pieces = split === undefined ? [piece] : split(piece);
    for (const part of pieces) toBytes(part);
    return pieces;
  };
}

function prepend(piece: Piece, content: string): void {
  if (piece.text === "") return;
  if (piece.tracked) piece.edit(prependEdits(content, piece.text));
  else piece.set(content + piece.text);
}

/** Rewrites a piece in the byte alphabet. */
function toBytes(piece: Piece): void {
  const edits: Edits = { characters: [], sources: [] };
  const { text } = piece;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) {
      edits.characters.push(byteCharacters[unit]);
      edits.sources.push(i);
      continue;
    }
    const wide = unit >= 0xd800 && unit < 0xdc00;
    for (const byte of bytesOf(wide ? text.slice(i, i + 2) : text[i])) {
      edits.characters.push(byte);
      edits.sources.push(i);
    }
    if (wide) i++;
  }
  piece.edit(edits);
}

function metaspace(settings: Component): PreTokenizer {
  const replacement = (settings.replacement as string | undefined) ?? "▁";
  if (typeof replacement !== "string" || [...replacement].length !== 1) {
    throw new FormatError("tokenizer.json pre_tokenizer (Metaspace): replacement is one character.", {
      where: "tokenizer.json",
    });
  }
  const scheme = prependScheme(settings);
  const split = settings.split === false ? undefined : splitter(literal(replacement), "MergedWithNext");
  return (piece) => {
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
}

function fixedLength(settings: Component): PreTokenizer {
  const length = settings.length as number;
  if (!Number.isInteger(length) || length < 1) {
    throw new FormatError("tokenizer.json pre_tokenizer (FixedLength): length is a positive integer.", {
      where: "tokenizer.json",
    });
  }
  return (piece) => {
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
}
