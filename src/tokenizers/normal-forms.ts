/**
 * Unicode normal forms with the origin of each character. The engine's `normalize` says what comes out; these functions
 * find out what each character came from, in the way of the library that Hugging Face uses: characters consumed one by
 * one in order, so that reordered marks take over the ranges of their new places.
 */

import type { Edits } from "./piece.js";

/** Characters after full decomposition; `extra` marks all but the first of a character's parts. */
interface Decomposed {
  characters: string[];
  extra: boolean[];
}

/** Decomposed characters in canonical order, each still knowing whether it was the first of its old character. */
function decompose(text: string, form: "NFD" | "NFKD"): Decomposed {
  const characters: string[] = [];
  const extra: boolean[] = [];
  for (const character of text) {
    let first = true;
    for (const part of character.normalize(form)) {
      characters.push(part);
      extra.push(!first);
      first = false;
    }
  }
  reorder(characters, extra);
  return { characters, extra };
}

/** Sorts runs of combining marks as the engine does: equal characters never pass each other, so each is found again. */
function reorder(characters: string[], extra: boolean[]): void {
  const joined = characters.join("");
  const sorted = joined.normalize("NFD");
  if (sorted === joined) return;
  const extras = new Map<string, boolean[]>();
  characters.forEach((character, i) => {
    const same = extras.get(character);
    if (same) same.push(extra[i]);
    else extras.set(character, [extra[i]]);
  });
  const order = [...sorted];
  for (let i = order.length - 1; i >= 0; i--) {
    characters[i] = order[i];
    extra[i] = extras.get(order[i])!.pop()!;
  }
}

/** Start of each old character, in order, and one past the end. */
export function starts(text: string): number[] {
  const out: number[] = [];
  let at = 0;
  for (const character of text) {
    out.push(at);
    at += character.length;
  }
  return out;
}

export function decomposed(text: string, form: "NFC" | "NFD" | "NFKC" | "NFKD"): Edits {
  const { characters, extra } = decompose(text, form === "NFD" || form === "NFC" ? "NFD" : "NFKD");
  const changes = extra.map((isExtra) => (isExtra ? 1 : 0));
  return { characters, sources: sourcesOf(changes, starts(text)) };
}

export function composed(text: string, form: "NFC" | "NFD" | "NFKC" | "NFKD"): Edits {
  const compatible = form === "NFKC" || form === "NFKD";
  const old = decompose(text, compatible ? "NFKD" : "NFD");
  const characters = [...text.normalize(compatible ? "NFKC" : "NFC")];
  const used = new Uint8Array(old.characters.length);
  const changes: number[] = [];
  let from = 0;
  for (const character of characters) {
    let change = 0;
    let parts = 0;
    let at = from;
    for (const part of character.normalize("NFD")) {
      while (used[at] === 1 || old.characters[at] !== part) at++;
      used[at] = 1;
      change += (old.extra[at] ? 1 : 0) - (parts++ > 0 ? 1 : 0);
    }
    while (used[from] === 1) from++;
    changes.push(change);
  }
  return { characters, sources: sourcesOf(changes, starts(text)) };
}

/**
 * From changes to sources. A change of 1 is an added character: it stands for the character before; 0 replaces the
 * next character, -n replaces it and drops the n after it.
 */
export function sourcesOf(changes: number[], starts: number[]): number[] {
  let next = 0;
  return changes.map((change) => {
    if (change > 0) return next === 0 ? -1 : starts[next - 1];
    const source = starts[Math.min(next, starts.length - 1)];
    next += 1 - change;
    return source;
  });
}
