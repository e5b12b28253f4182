/** What splitters and replacers look for: a literal text, a regular expression, or a set of characters. */

import type { Component } from "./definition.js";
import type { Scanner } from "./pre-tokenizer.js";
import type { Regex } from "./regex/regex.js";
import { textOf, wrongSetting } from "./settings.js";

export interface Pattern {
  /** All matches `[start, end)` from left to right, in UTF-16 units. */
  matches(text: string): [number, number][];
  /** For literal texts: the text itself. */
  readonly literal?: string;
  /** For regular expressions: match by match. */
  readonly scanner?: Scanner;
}

/** Reads `{ "String": "…" }`, `{ "Regex": "…" }` or a plain text. */
export function patternOf(pattern: unknown, where: string): Pattern {
  const source = sourceOf(pattern);
  if (source !== undefined) return regex(source);
  const text = (pattern as { String?: unknown } | undefined)?.String ?? pattern;
  if (typeof text === "string") return literal(text);
  throw wrongSetting(where, 'a pattern {"String": …} or {"Regex": …}', pattern);
}

/** What `Replace` does, as a normalizer or a decoder: `content` in the place of each match. */
export function replacer(settings: Component, component: string) {
  const pattern = patternOf(settings.pattern, component);
  const content = textOf(settings, "content", component);
  const replaced = (text: string): string => {
    if (pattern.literal) return text.replaceAll(pattern.literal, () => content);
    let out = "";
    let last = 0;
    for (const [start, end] of pattern.matches(text)) {
      out += text.slice(last, start) + content;
      last = end;
    }
    return out + text.slice(last);
  };
  return { pattern, content, replaced };
}

/** A text that is not empty. */
export function literal(needle: string): Pattern {
  return {
    literal: needle,
    matches(text) {
      const out: [number, number][] = [];
      for (let at = text.indexOf(needle); at >= 0; at = text.indexOf(needle, at + needle.length)) {
        out.push([at, at + needle.length]);
      }
      return out;
    },
  };
}

let engine: ((source: string) => Regex) | undefined;

/** Loads the engine for regular expressions: it is a third of everything, and many files do without. */
export async function loadEngine(): Promise<void> {
  engine ??= (await import("./regex/regex.js")).regex;
}

/** Loads the engine where the pattern in these settings is a regular expression. */
export const loadEngineFor = async ({ pattern }: Component): Promise<void> => {
  if (sourceOf(pattern) !== undefined) await loadEngine();
};

/** The regular expression of a pattern, if it is one. An empty text is found everywhere, as the empty one is. */
function sourceOf(pattern: unknown): string | undefined {
  const { Regex, String: text = pattern } = (pattern ?? {}) as { Regex?: unknown; String?: unknown };
  return typeof Regex === "string" ? Regex : text === "" ? "" : undefined;
}

/** A regular expression with Oniguruma's meaning, once the engine is loaded. */
export function regex(source: string): Regex {
  if (engine === undefined) throw new Error("the engine for regular expressions is not loaded");
  return engine(source);
}

/** Single characters of a set; next to each other they are separate matches. */
export function characters(belongs: (code: number) => boolean): Pattern {
  return {
    matches(text) {
      const out: [number, number][] = [];
      for (let i = 0; i < text.length; i++) {
        const code = text.codePointAt(i) as number;
        const end = code > 0xffff ? i + 2 : i + 1;
        if (belongs(code)) out.push([i, end]);
        i = end - 1;
      }
      return out;
    },
  };
}
