/**
 * Normalizers: text to text before it is cut into pieces. Each one edits a `Piece`; while nobody asks for offsets the
 * short form `text` does the same to a plain string.
 */

import { FormatError } from "../core/errors.js";
import { byteCharacters } from "./byte-alphabet.js";
import type { Component } from "./definition.js";
import { composed, decomposed } from "./normal-forms.js";
import { NOT_COMPATIBLE, NOT_DECOMPOSED } from "./old-unicode.js";
import { patternOf } from "./pattern.js";
import type { Edits, Piece } from "./piece.js";
import { unknownType } from "./settings.js";

/** New characters and their sources, or undefined where the text stays as it is. */
export type Edit = (text: string) => Edits | undefined;

export interface Normalizer {
  text(text: string): string;
  edit: Edit;
  /** For sequences: the parts, one after the other. */
  parts?: Normalizer[];
  /** Whether cutting a text at spaces and line feeds before or after makes no difference to its words. */
  local?: boolean;
}

/** Applies a normalizer to a piece. */
export function normalize(piece: Piece, normalizer: Normalizer): void {
  if (!piece.tracked) piece.set(normalizer.text(piece.text));
  else if (normalizer.parts !== undefined) for (const part of normalizer.parts) normalize(piece, part);
  else {
    const edits = normalizer.edit(piece.text);
    if (edits !== undefined) piece.edit(edits);
  }
}

const builders: Record<string, (settings: Component) => Normalizer> = {
  Sequence: (settings) => sequence((settings.normalizers as Component[]).map(createNormalizer)),
  NFC: () => form("NFC", composed),
  NFD: () => form("NFD", decomposed),
  NFKC: () => form("NFKC", composed),
  NFKD: () => form("NFKD", decomposed),
  Lowercase: () => lowercase,
  Strip: strip,
  Replace: replace,
  Prepend: (settings) => prepend(settings.prepend as string),
  ByteLevel: () => byteLevel,
};

/** Adds kinds that are loaded only where a file needs them. */
export function addNormalizers(more: Record<string, (settings: Component) => Normalizer>): void {
  Object.assign(builders, more);
}

/** Makes a normalizer from its part of `tokenizer.json`. Throws FormatError for an unknown type. */
export function createNormalizer(settings: Component): Normalizer {
  const build = Object.hasOwn(builders, settings.type ?? "") ? builders[settings.type as string] : undefined;
  if (build === undefined) throw unknownType("normalizer", settings.type, Object.keys(builders));
  return build(settings);
}

export function sequence(parts: Normalizer[]): Normalizer {
  return {
    text: (text) => parts.reduce((result, part) => part.text(result), text),
    edit: () => undefined,
    parts,
    local: parts.every((part) => part.local),
  };
}

/** A normalizer of which only the edits are written down. */
export function byEdits(edit: Edit): Normalizer {
  return { text: (text) => edit(text)?.characters.join("") ?? text, edit };
}

type Form = "NFC" | "NFD" | "NFKC" | "NFKD";

const UNKNOWN_FORMS: Record<Form, RegExp> = {
  NFC: new RegExp(`([${NOT_DECOMPOSED}]+)`, "u"),
  NFD: new RegExp(`([${NOT_DECOMPOSED}]+)`, "u"),
  NFKC: new RegExp(`([${NOT_DECOMPOSED}${NOT_COMPATIBLE}]+)`, "u"),
  NFKD: new RegExp(`([${NOT_DECOMPOSED}${NOT_COMPATIBLE}]+)`, "u"),
};

export function form(name: Form, edits: (text: string, name: Form) => Edits): Normalizer {
  const unknown = UNKNOWN_FORMS[name];
  /** Stretches to normalize, and between them (at odd places) stretches to leave alone. */
  const stretches = (text: string): string[] => text.split(unknown);
  const apply = (text: string): string => {
    const plain = text.normalize(name);
    // Texts that do not change need no closer look.
    if (plain === text || !unknown.test(text)) return plain;
    return stretches(text)
      .map((stretch, i) => (i % 2 === 0 ? stretch.normalize(name) : stretch))
      .join("");
  };
  return {
    text: apply,
    edit(text) {
      if (apply(text) === text) return undefined;
      const all: Edits = { characters: [], sources: [] };
      let at = 0;
      stretches(text).forEach((stretch, i) => {
        const part = i % 2 === 0 ? edits(stretch, name) : (eachCharacter((character) => character)(stretch) as Edits);
        all.characters.push(...part.characters);
        all.sources.push(...part.sources.map((source) => source + at));
        at += stretch.length;
      });
      return all;
    },
  };
}

/** One character to any number of characters, all of them standing for the old one. */
export function eachCharacter(change: (character: string) => string): Edit {
  return (text) => {
    const edits: Edits = { characters: [], sources: [] };
    let at = 0;
    for (const character of text) {
      for (const changed of change(character)) {
        edits.characters.push(changed);
        edits.sources.push(at);
      }
      at += character.length;
    }
    return edits;
  };
}

/** By character: no context rules such as the final sigma's. */
export const lowercase: Normalizer = {
  local: true,
  text: (text) =>
    text.includes("Σ") ? Array.from(text, (character) => character.toLowerCase()).join("") : text.toLowerCase(),
  edit: eachCharacter((character) => character.toLowerCase()),
};

const byteLevel: Normalizer = byEdits(eachCharacter(bytesOf));

/** A character's UTF-8 in the byte alphabet. */
export function bytesOf(character: string): string {
  const code = character.codePointAt(0) as number;
  if (code < 0x80) return byteCharacters[code];
  const tail = (shift: number) => byteCharacters[0x80 | ((code >> shift) & 0x3f)];
  if (code < 0x800) return byteCharacters[0xc0 | (code >> 6)] + tail(0);
  if (code < 0x10000) return byteCharacters[0xe0 | (code >> 12)] + tail(6) + tail(0);
  return byteCharacters[0xf0 | (code >> 18)] + tail(12) + tail(6) + tail(0);
}

function strip({ strip_left = true, strip_right = true }: Component): Normalizer {
  const ends = (text: string): [number, number] => {
    let start = 0;
    let end = text.length;
    if (strip_left) while (start < end && isSpace(text.charCodeAt(start))) start++;
    if (strip_right) while (end > start && isSpace(text.charCodeAt(end - 1))) end--;
    return [start, end];
  };
  return {
    text: (text) => text.slice(...ends(text)),
    edit: (text) => {
      const [start, end] = ends(text);
      const edits = eachCharacter((character) => character)(text.slice(start, end)) as Edits;
      return { characters: edits.characters, sources: edits.sources.map((source) => source + start) };
    },
  };
}

/** White space as Unicode defines it; all of it lies in the basic plane. */
export const isSpace = (unit: number): boolean =>
  unit === 0x20 ||
  (unit >= 9 && unit <= 13) ||
  (unit >= 0x85 &&
    (unit === 0x85 ||
      unit === 0xa0 ||
      unit === 0x1680 ||
      (unit >= 0x2000 && unit <= 0x200a) ||
      unit === 0x2028 ||
      unit === 0x2029 ||
      unit === 0x202f ||
      unit === 0x205f ||
      unit === 0x3000));

function replace(settings: Component): Normalizer {
  const pattern = patternOf(settings.pattern, "normalizer (Replace)");
  const content = settings.content as string;
  if (typeof content !== "string") {
    throw new FormatError("tokenizer.json normalizer (Replace): content is a string.", { where: "tokenizer.json" });
  }
  return {
    text(text) {
      if (pattern.literal) return text.replaceAll(pattern.literal, () => content);
      let out = "";
      let last = 0;
      for (const [start, end] of pattern.matches(text)) {
        out += text.slice(last, start) + content;
        last = end;
      }
      return last === 0 && out === "" ? text : out + text.slice(last);
    },
    edit(text) {
      const edits: Edits = { characters: [], sources: [] };
      let last = 0;
      const keep = (end: number) => {
        for (const character of text.slice(last, end)) {
          edits.characters.push(character);
          edits.sources.push(last);
          last += character.length;
        }
      };
      for (const [start, end] of pattern.matches(text)) {
        keep(start);
        // New text stands for the last character it replaces, or for the one before where it replaces nothing.
        for (const character of content) {
          edits.characters.push(character);
          edits.sources.push(end - 1);
        }
        last = end;
      }
      keep(text.length);
      return edits;
    },
  };
}

function prepend(content: string): Normalizer {
  return {
    text: (text) => (text === "" ? text : content + text),
    edit: (text) => (text === "" ? undefined : prependEdits(content, text)),
  };
}

/** Text put before another stands for the first character of it. */
export function prependEdits(content: string, text: string): Edits {
  const edits = eachCharacter((character) => character)(text) as Edits;
  const added = [...content];
  return { characters: [...added, ...edits.characters], sources: [...added.map(() => 0), ...edits.sources] };
}
