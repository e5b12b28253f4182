/**
 * The splitting expression of GPT-2 (Radford et al. 2019), written out: most byte-level tokenizers use it, and a page
 * that needs no other one does without the engine for regular expressions. The tests compare the two.
 */

import type { Scanner } from "./pre-tokenizer.js";
import { isSpace } from "./unicode.js";
import { characterOf16 } from "./unicode-16.js";

export const GPT2_PATTERN = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

const SPACE = 1;
const LETTER = 2;
const NUMBER = 3;
const OTHER = 4;
const letter = /\p{L}/u;
const number = /\p{N}/u;

/** Planes 0 and 1 hold nearly all characters of texts. */
const KEPT = 0x20000;
/** Class of each of them; 0 where nobody asked yet. */
const classes = /* @__PURE__ */ new Uint8Array(KEPT);

function classOf(code: number): number {
  const known = code < KEPT ? classes[code] : 0;
  if (known > 0) return known;
  const character = characterOf16(code);
  const found = isSpace(code) ? SPACE : letter.test(character) ? LETTER : number.test(character) ? NUMBER : OTHER;
  if (code < KEPT) classes[code] = found;
  return found;
}

const isSurrogate = (unit: number): boolean => (unit & 0xfc00) === 0xd800;

/** The class of the character at `at`; 0 at the end of the text. */
function classAt(text: string, at: number): number {
  if (at >= text.length) return 0;
  const unit = text.charCodeAt(at);
  return isSurrogate(unit) ? classOf(text.codePointAt(at) as number) : classes[unit] || classOf(unit);
}

/** End of the characters of one class that follow each other from `at` on. */
function run(text: string, at: number, wanted: number): number {
  const { length } = text;
  while (at < length) {
    const unit = text.charCodeAt(at);
    if (isSurrogate(unit)) {
      const code = text.codePointAt(at) as number;
      if (classOf(code) !== wanted) break;
      at += code > 0xffff ? 2 : 1;
    } else {
      if ((classes[unit] || classOf(unit)) !== wanted) break;
      at++;
    }
  }
  return at;
}

/** Units behind the apostrophe of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll`, `'d`; 0 where there is none of them. */
function contraction(text: string, at: number): number {
  switch (text.charCodeAt(at)) {
    case 0x73:
    case 0x74:
    case 0x6d:
    case 0x64:
      return 1;
    case 0x72:
    case 0x76:
      return text.charCodeAt(at + 1) === 0x65 ? 2 : 0;
    case 0x6c:
      return text.charCodeAt(at + 1) === 0x6c ? 2 : 0;
    default:
      return 0;
  }
}

export const gpt2: Scanner = {
  begin() {},
  matchAt(text, start) {
    const unit = text.charCodeAt(start);
    if (unit === 0x27) {
      const length = contraction(text, start + 1);
      if (length > 0) return start + 1 + length;
    }
    let from = start;
    let kind = classAt(text, start);
    if (unit === 0x20) {
      // One space goes with the word, number or signs behind it.
      kind = classAt(text, ++from);
      if (kind === 0) return from;
    }
    if (kind !== SPACE) return run(text, from, kind);
    const end = run(text, start, SPACE);
    // White space before something leaves its last character to it, unless it is a single one.
    return end < text.length && end - start > 1 ? end - 1 : end;
  },
};
