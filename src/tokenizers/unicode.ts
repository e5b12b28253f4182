/** Sets of characters that components ask for. */

import { NOT_PUNCTUATION } from "./old-unicode.js";

const lazily = (expression: RegExp) => {
  // One bit of knowledge per unit of the basic plane: 0 unknown, 1 no, 2 yes.
  let known: Uint8Array | undefined;
  return (code: number): boolean => {
    if (code > 0xffff) return expression.test(String.fromCodePoint(code));
    known ??= new Uint8Array(65536);
    let answer = known[code];
    if (answer === 0) known[code] = answer = expression.test(String.fromCharCode(code)) ? 2 : 1;
    return answer === 2;
  };
};

/** Rust's `char::is_numeric`. */
export const isNumeric = lazily(/\p{N}/u);
/** ASCII punctuation and everything in the category P. */
export const isBertPunctuation = lazily(
  new RegExp(`(?![${NOT_PUNCTUATION}])[!-/:-@[-\`{-~\\p{P}\\u166d\\u{111c9}]`, "u"),
);
