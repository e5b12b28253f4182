/** Pre-tokenizers: they cut normalized text into the pieces that the model sees. */

import { byteCharacters, bytesOf } from "./byte-alphabet.js";
import type { Component } from "./definition.js";
import type { FastPath } from "./fast-path.js";
import { gpt2 } from "./gpt2.js";
import { Kinds } from "./kinds.js";
import type { Model } from "./models/model.js";
import type { Normalizer } from "./normalizer.js";
import { type Edits, type Piece, prepend } from "./piece.js";

/** Finds where pieces end. */
export interface Scanner {
  /** To be called with a text before its matches are asked for. */
  begin(text: string): void;
  /** End of the match that begins exactly at `start`, or -1. */
  matchAt(text: string, start: number): number;
}

/** Cuts pieces. Its other properties tell the fast path what kind of cutting it is. */
export interface PreTokenizer {
  cut(piece: Piece): Piece[];
  /** For sequences: the parts, one after the other. */
  parts?: PreTokenizer[];
  /** Pieces are the matches of an expression; what lies between matches is a piece too, or nothing. */
  matches?: { scanner: Scanner; keepGaps: boolean };
  /** Pieces are written in the byte alphabet, after a space was put before each text that is cut (`prefixed`). */
  bytes?: { prefixed: boolean };
  /** Cuts at white space first and looks at nothing beyond a word: ids may be worked out word by word. */
  byWord?(preTokenizer: PreTokenizer, model: Model, normalizer: Normalizer | undefined): FastPath;
  /** Characters that become pieces of their own, whatever is around them. */
  isolates?(code: number): boolean;
  /** Asks where in the original text a piece begins. */
  needsOrigin?: boolean;
}

function sequence(steps: PreTokenizer[]): PreTokenizer {
  const parts = steps.flatMap((step) => step.parts ?? [step]);
  return {
    cut(piece) {
      let pieces = [piece];
      for (const part of parts) {
        // Words are mostly one piece.
        if (pieces.length === 1) pieces = part.cut(pieces[0]);
        else pieces = pieces.flatMap((one) => part.cut(one));
      }
      return pieces;
    },
    parts,
    needsOrigin: parts.some((part) => part.needsOrigin),
  };
}

export const preTokenizers = /* @__PURE__ */ new Kinds<PreTokenizer>(
  "pre_tokenizer",
  "pretokenizers",
  sequence,
  { ByteLevel: byteLevel },
  [
    [
      "Metaspace Split Whitespace WhitespaceSplit Digits CharDelimiterSplit FixedLength",
      async (settings) => (await import("./pre-tokenizers.js")).load(settings),
    ],
    [
      "Punctuation BertPreTokenizer UnicodeScripts",
      () => import("./rare-components.js").then((module) => module.preTokenizers),
    ],
  ],
);

function byteLevel(settings: Component): PreTokenizer {
  const prefixed = settings.add_prefix_space !== false;
  const split = settings.use_regex !== false;
  return {
    bytes: { prefixed },
    matches: split ? { scanner: gpt2, keepGaps: true } : undefined,
    cut(piece) {
      if (prefixed && !piece.text.startsWith(" ")) prepend(piece, " ");
      const pieces = split ? gpt2Pieces(piece) : [piece];
      for (const part of pieces) toBytes(part);
      return pieces;
    },
  };
}

/** Every character belongs to a match. */
function gpt2Pieces(piece: Piece): Piece[] {
  const out: Piece[] = [];
  for (let at = 0; at < piece.text.length; ) {
    const end = gpt2.matchAt(piece.text, at);
    out.push(piece.slice(at, end));
    at = end;
  }
  return out;
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
