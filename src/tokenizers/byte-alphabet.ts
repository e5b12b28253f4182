/**
 * The byte alphabet of GPT-2 (Radford et al. 2019): a printable character for each of the 256 bytes. Printable Latin-1
 * stands for itself, the other 68 bytes for U+0100 and following, in order.
 */

const PRINTABLE = [
  [0x21, 0x7e],
  [0xa1, 0xac],
  [0xae, 0xff],
];

/** The character of each byte. */
export const byteCharacters: string[] = [];
/** The byte of a UTF-16 unit, or -1. */
const bytes = new Int16Array(0x144).fill(-1);
for (let byte = 0, others = 0; byte < 256; byte++) {
  const printable = PRINTABLE.some(([first, last]) => byte >= first && byte <= last);
  const unit = printable ? byte : 0x100 + others++;
  byteCharacters.push(String.fromCharCode(unit));
  bytes[unit] = byte;
}

const utf8 = new TextEncoder();

/** The byte that a UTF-16 unit stands for, or -1. */
export const byteOfUnit = (unit: number): number => (unit < bytes.length ? bytes[unit] : -1);

/** The bytes that a token spells; its UTF-8 where it holds a character outside the alphabet. */
export function bytesOfToken(token: string): Uint8Array {
  const out = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = byteOfUnit(token.charCodeAt(i));
    if (byte < 0) return utf8.encode(token);
    out[i] = byte;
  }
  return out;
}
