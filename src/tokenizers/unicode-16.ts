/**
 * Which characters there are: those of Unicode 16, whose tables Hugging Face's library (0.23) has. What a JavaScript
 * engine knows beyond is not assigned here, so that all engines give the same ids.
 */

/** Assigned by Unicode 17. */
const LATER =
  // biome-ignore lint/suspicious/noMisleadingCharacterClass: single characters are meant
  /[\u088f\u0c5c\u0cdc\u1acf-\u1add\u1ae0-\u1aeb\u20c1\u2b96\ua7ce\ua7cf\ua7d2\ua7d4\ua7f1\ufbc3-\ufbd2\ufd90\ufd91\ufdc8-\ufdce\u{10940}-\u{10959}\u{10ec5}-\u{10ec7}\u{10ed0}-\u{10ed8}\u{10efa}\u{10efb}\u{11b60}-\u{11b67}\u{11db0}-\u{11ddb}\u{11de0}-\u{11de9}\u{16ea0}-\u{16eb8}\u{16ebb}-\u{16ed3}\u{16ff2}-\u{16ff6}\u{187f8}-\u{187ff}\u{18d09}-\u{18d1e}\u{18d80}-\u{18df2}\u{1ccfa}-\u{1ccfc}\u{1ceba}-\u{1ced0}\u{1cee0}-\u{1cef0}\u{1e6c0}-\u{1e6de}\u{1e6e0}-\u{1e6f5}\u{1e6fe}\u{1e6ff}\u{1f6d8}\u{1f777}-\u{1f77a}\u{1f8d0}-\u{1f8d8}\u{1fa54}-\u{1fa57}\u{1fa8a}\u{1fa8e}\u{1fac8}\u{1facd}\u{1faea}\u{1faef}\u{1fbfa}\u{2b73a}-\u{2b73f}\u{2cea2}-\u{2cead}\u{323b0}-\u{33479}]/u;

const NOT_ASSIGNED = "\uffff";

/** The character of a code point, or another one that expressions class as Unicode 16 does. */
export function characterOf16(code: number): string {
  const character = String.fromCodePoint(code);
  if (code < 0x295) return character;
  // Unicode 17 no longer counts it among the small letters; this one it does.
  if (code === 0x295) return "\u0250";
  return LATER.test(character) ? NOT_ASSIGNED : character;
}
