/**
 * The byte alphabet of GPT-2 (Radford et al. 2019): a printable character for each of the 256 bytes. Printable Latin-1
 * stands for itself, the other 68 bytes for U+0100 and following, in order.
 */

const PRINTABLE = [
  [0x21, 0x7e],
  [0xa1, 0xac],
  [0xae, 0xff],
];

function spell(): string[] {
  let others = 0;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = PRINTABLE.some(([first, last]) => byte >= first && byte <= last);
    return String.fromCharCode(printable ? byte : 0x100 + others++);
  });
}

function invert(characters: readonly string[]): Int16Array {
  const out = new Int16Array(0x144).fill(-1);
  for (const [byte, character] of characters.entries()) out[character.charCodeAt(0)] = byte;
  return out;
}

/** The character of each byte. */
export const byteCharacters: string[] = /* @__PURE__ */ spell();
/** The byte of a UTF-16 unit, or -1. */
const bytes = /* @__PURE__ */ invert(byteCharacters);
const utf8 = /* @__PURE__ */ new TextEncoder();

/** The byte that a UTF-16 unit stands for, or -1. */
const byteOfUnit = (unit: number): number => (unit < bytes.length ? bytes[unit] : -1);

/** The bytes that tokens spell; of one that holds a character outside the alphabet its UTF-8. */
export function bytesOfTokens(tokens: readonly string[]): Uint8Array {
  // UTF-8 has three bytes for a unit at most.
  const out = new Uint8Array(3 * tokens.reduce((sum, token) => sum + token.length, 0));
  let end = 0;
  for (const token of tokens) {
    const start = end;
    for (let i = 0; i < token.length; i++) {
      const byte = byteOfUnit(token.charCodeAt(i));
      if (byte < 0) {
        end = start + utf8.encodeInto(token, out.subarray(start)).written;
        break;
      }
      out[end++] = byte;
    }
  }
  return out.subarray(0, end);
}

/** A character's UTF-8 in the byte alphabet. */
export function bytesOf(character: string): string {
  const code = character.codePointAt(0) as number;
  if (code < 0x80) return byteCharacters[code];
  const tail = (shift: number) => byteCharacters[0x80 | ((code >> shift) & 0x3f)];
  if (code < 0x800) return byteCharacters[0xc0 | (code >> 6)] + tail(0);
  if (code < 0x10000) return byteCharacters[0xe0 | (code >> 12)] + tail(6) + tail(0);
  return byteCharacters[0xf0 | (code >> 18)] + tail(12) + tail(6) + tail(0);
}

/** A text in the byte alphabet. */
export const bytesOfText = (text: string): string => Array.from(text, bytesOf).join("");
