/**
 * Normalizers and pre-tokenizers that are loaded only where a file needs them: BERT's, Nmt, punctuation, scripts.
 * Byte-level BPE does without, and so does the page that only wants it.
 */

import type { Component } from "./definition.js";
import type { Builds } from "./kinds.js";
import { decomposed } from "./normal-forms.js";
import type { Normalizer } from "./normalizer.js";
import { sequence } from "./normalizer-sequence.js";
import { eachCharacter, form, lowercase } from "./normalizers.js";
import { NOT_FORMAT, NOT_MARKS, NOT_NONSPACING, NOT_PUNCTUATION, ONCE_MARKS, ONCE_NONSPACING } from "./old-marks.js";
import { characters } from "./pattern.js";
import type { Piece } from "./piece.js";
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
  BertPreTokenizer: () => ({ cut: bertWords, isolates: isBertPunctuation, byWord: alongSpaces }),
  UnicodeScripts: () => ({
    cut: (piece) => scriptRanges(piece.text).map(([start, end]) => piece.slice(start, end)),
  }),
};

/** ASCII punctuation and everything in the category P. */
const isBertPunctuation = lazily(new RegExp(`(?![${NOT_PUNCTUATION}])[!-/:-@[-\`{-~\\p{P}\\u166d\\u{111c9}]`, "u"));

/** Cuts at white space, which falls away, and around each punctuation character. */
function bertWords(piece: Piece): Piece[] {
  const { text } = piece;
  const out: Piece[] = [];
  let start = 0;
  for (let at = 0; at < text.length; ) {
    const code = text.codePointAt(at) as number;
    const next = code > 0xffff ? at + 2 : at + 1;
    const space = isSpace(code);
    if (space || isBertPunctuation(code)) {
      if (start < at) out.push(piece.slice(start, at));
      if (!space) out.push(piece.slice(at, next));
      start = next;
    }
    at = next;
  }
  if (start < text.length) out.push(piece.slice(start, text.length));
  return out;
}

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
    edit: eachCharacter((character) => character.replace(from, to)),
  };
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is removed
const NMT_REMOVED = /[\u0001-\u0008\u000b\u000e-\u001f\u007f\u008f\u009f]/u;
const NMT_SPACES = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/u;

const CHINESE =
  "[\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff\\u{20000}-\\u{2a6df}\\u{2a700}-\\u{2b73f}\\u{2b740}-\\u{2b81f}\\u{2b920}-\\u{2ceaf}\\u{2f800}-\\u{2fa1f}]";
const chinese = new RegExp(CHINESE, "u");
const padChinese = mapped(chinese, " $& ");

/** Texts of these alone are changed by no step but the last. */
const PRINTABLE = /^[ -~]*$/;
const MARKS = /\p{M}/u;

/**
 * What a text becomes, unit by unit, as long as no mark remains: only marks, which may change places, and surrogates
 * depend on what is around them.
 */
function byUnits(text: Normalizer["text"]): Normalizer["text"] {
  const known: (string | null | undefined)[] = [];
  const ask = (unit: number): string | null => {
    const alone = text(String.fromCharCode(unit));
    return (known[unit] = (unit & 0xf800) === 0xd800 || MARKS.test(alone) ? null : alone);
  };
  return (whole) => {
    let out = "";
    for (let i = 0; i < whole.length; i++) {
      const unit = whole.charCodeAt(i);
      let one = known[unit];
      if (one === undefined) one = ask(unit);
      if (one === null) return text(whole);
      out += one;
    }
    return out;
  };
}

const BERT_REMOVED = new RegExp(`[\\0\\ufffd]|(?![\\t\\n\\r${NOT_FORMAT}])[\\p{Cc}\\p{Cf}\\p{Co}]`, "u");

/** The steps of BERT's original tokenizer (Devlin et al. 2018). */
function bert(settings: Component): Normalizer {
  const lower = settings.lowercase !== false;
  const parts: Normalizer[] = [];
  if (settings.clean_text !== false) {
    parts.push(without(BERT_REMOVED), mapped(/[\t\n\r]|\p{White_Space}/u, " "));
  }
  const pads = settings.handle_chinese_chars !== false;
  if (pads) parts.push(padChinese);
  if (settings.strip_accents ?? lower)
    parts.push(
      form("NFD", decomposed),
      without(new RegExp(`[${ONCE_NONSPACING}]|(?![${NOT_NONSPACING}])\\p{Mn}`, "u")),
    );
  if (lower) parts.push(lowercase);
  // Marks behind a space fall away or stay with what follows, so words may be looked at one by one.
  const all = sequence(parts);
  const careful = byUnits(all.text);
  return {
    ...all,
    text: (text) => (!PRINTABLE.test(text) ? careful(text) : lower ? text.toLowerCase() : text),
    local: true,
    setsApart: (code) => pads && chinese.test(String.fromCodePoint(code)),
  };
}
