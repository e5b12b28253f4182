/**
 * Normalizers and pre-tokenizers that are loaded only where a file needs them: BERT's, Nmt, punctuation, scripts.
 * Byte-level BPE does without, and so does the page that only wants it.
 */

import type { Component } from "./definition.js";
import type { Builds } from "./kinds.js";
import { decomposed } from "./normal-forms.js";
import type { Normalizer } from "./normalizer.js";
import { sequence } from "./normalizer-sequence.js";
import { byEdits, eachCharacter, form, lowercase } from "./normalizers.js";
import { NOT_FORMAT, NOT_MARKS, NOT_NONSPACING, NOT_PUNCTUATION, ONCE_MARKS, ONCE_NONSPACING } from "./old-marks.js";
import { characters } from "./pattern.js";
import type { PreTokenizer } from "./pre-tokenizer.js";
import { behaviorOf, splitter } from "./pre-tokenizers.js";
import { scriptRanges } from "./scripts.js";
import { isSpace, lazily } from "./unicode.js";
import { alongSpaces } from "./words-path.js";

export const normalizers: Builds<Normalizer> = {
  BertNormalizer: bert,
  StripAccents: () => without(new RegExp(`[${ONCE_MARKS}]|(?![${NOT_MARKS}])\\p{M}`, "u")),
  Nmt: () => sequence([without(NMT_REMOVED), mapped(NMT_SPACES, " ")]),
};

export const preTokenizers: Builds<PreTokenizer> = {
  Punctuation: (settings) => ({
    cut: splitter(characters(isBertPunctuation), behaviorOf(settings.behavior ?? "Isolated")),
  }),
  BertPreTokenizer: () => {
    const words = splitter(characters(isSpace), "Removed");
    const marks = splitter(characters(isBertPunctuation), "Isolated");
    return { cut: (piece) => words(piece).flatMap(marks), byWord: alongSpaces };
  },
  UnicodeScripts: () => ({
    cut: (piece) => scriptRanges(piece.text).map(([start, end]) => piece.slice(start, end)),
  }),
};

/** ASCII punctuation and everything in the category P. */
const isBertPunctuation = lazily(new RegExp(`(?![${NOT_PUNCTUATION}])[!-/:-@[-\`{-~\\p{P}\\u166d\\u{111c9}]`, "u"));

/** Removes characters. */
function without(removed: RegExp): Normalizer {
  const everywhere = new RegExp(removed.source, "gu");
  return {
    text: (text) => text.replace(everywhere, ""),
    edit: eachCharacter((character) => (removed.test(character) ? "" : character)),
  };
}

/** Replaces characters. */
function mapped(from: RegExp, to: string): Normalizer {
  const everywhere = new RegExp(from.source, "gu");
  return {
    text: (text) => text.replace(everywhere, to),
    edit: eachCharacter((character) => (from.test(character) ? to : character)),
  };
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is removed
const NMT_REMOVED = /[\u0001-\u0008\u000b\u000e-\u001f\u007f\u008f\u009f]/u;
const NMT_SPACES = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/u;

const isChinese = (code: number): boolean =>
  (code >= 0x4e00 && code <= 0x9fff) ||
  (code >= 0x3400 && code <= 0x4dbf) ||
  (code >= 0x20000 && code <= 0x2a6df) ||
  (code >= 0x2a700 && code <= 0x2b73f) ||
  (code >= 0x2b740 && code <= 0x2b81f) ||
  (code >= 0x2b920 && code <= 0x2ceaf) ||
  (code >= 0xf900 && code <= 0xfaff) ||
  (code >= 0x2f800 && code <= 0x2fa1f);

const BERT_REMOVED = new RegExp(`[\\0\\ufffd]|(?![\\t\\n\\r${NOT_FORMAT}])[\\p{Cc}\\p{Cf}\\p{Co}]`, "u");

/** The steps of BERT's original tokenizer (Devlin et al. 2018). */
function bert(settings: Component): Normalizer {
  const lower = settings.lowercase !== false;
  const parts: Normalizer[] = [];
  if (settings.clean_text !== false) {
    parts.push(without(BERT_REMOVED), mapped(/[\t\n\r]|\p{White_Space}/u, " "));
  }
  if (settings.handle_chinese_chars !== false) {
    parts.push(
      byEdits(
        eachCharacter((character) => (isChinese(character.codePointAt(0) as number) ? ` ${character} ` : character)),
      ),
    );
  }
  if (settings.strip_accents ?? lower)
    parts.push(
      form("NFD", decomposed),
      without(new RegExp(`[${ONCE_NONSPACING}]|(?![${NOT_NONSPACING}])\\p{Mn}`, "u")),
    );
  if (lower) parts.push(lowercase);
  // Marks behind a space fall away or stay with what follows, so words may be looked at one by one.
  return { ...sequence(parts), local: true };
}
