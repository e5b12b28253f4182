/** The normalizers that many files name. */

import { bytesOf } from "./byte-alphabet.js";
import type { Component } from "./definition.js";
import type { Builds } from "./kinds.js";
import { composed, decomposed } from "./normal-forms.js";
import type { Edit, Normalizer } from "./normalizer.js";
import { NOT_COMPATIBLE, NOT_DECOMPOSED } from "./old-unicode.js";
import { loadEngineFor, replacer } from "./pattern.js";
import { type Edits, prependEdits } from "./piece.js";
import { textOf } from "./settings.js";
import { isSpace } from "./unicode.js";

const kinds: Builds<Normalizer> = {
  NFC: () => form("NFC", composed),
  NFD: () => form("NFD", decomposed),
  NFKC: () => form("NFKC", composed),
  NFKD: () => form("NFKD", decomposed),
  Lowercase: () => lowercase,
  Strip: strip,
  Replace: replace,
  Prepend: (settings) => prepend(textOf(settings, "prepend", "normalizer (Prepend)")),
  ByteLevel: () => byteLevel,
};

/** The kinds of this module, ready to be made with these settings. */
export async function load(settings: Component): Promise<Builds<Normalizer>> {
  await loadEngineFor(settings);
  return kinds;
}

/** A normalizer of which only the edits are written down. */
function byEdits(edit: Edit): Normalizer {
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
        for (const character of part.characters) all.characters.push(character);
        for (const source of part.sources) all.sources.push(source + at);
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

function replace(settings: Component): Normalizer {
  const { pattern, content, replaced } = replacer(settings, "normalizer (Replace)");
  return {
    text: replaced,
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
