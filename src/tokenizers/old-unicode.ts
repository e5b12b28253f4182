/**
 * Characters that Hugging Face's library does not know yet, or knows as something else: its tables for normal forms,
 * marks and punctuation stem from older versions of Unicode than its regular expressions. Found by comparing all code
 * points with version 0.23.2. Each text is the body of a character class.
 */

/** Canonical decompositions that came later. */
export const NOT_DECOMPOSED =
  "\\u{105c9}\\u{105e4}\\u{11383}\\u{11385}\\u{1138e}\\u{11391}\\u{113c5}\\u{113c7}-\\u{113c8}\\u{11938}\\u{16121}-\\u{16128}\\u{16d68}-\\u{16d6a}";

/** Compatibility decompositions that came later. */
export const NOT_COMPATIBLE =
  "\\u32ff\\ua7f1-\\ua7f4\\uab69\\u{10781}-\\u{10785}\\u{10787}-\\u{107b0}\\u{107b2}-\\u{107ba}\\u{1ccd6}-\\u{1ccf9}\\u{1e030}-\\u{1e06d}\\u{1f16c}\\u{1fbf0}-\\u{1fbf9}";
