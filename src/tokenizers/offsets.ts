/** Positions in UTF-16 units, code points and UTF-8 bytes. */

import type { OffsetUnit } from "./encoding.js";
import { utf8Length } from "./models/model.js";

/** Replaces lone surrogates by U+FFFD: one unit for one unit, so that positions stay. */
export function wellFormed(text: string): string {
  const native = (text as { toWellFormed?: () => string }).toWellFormed;
  if (native !== undefined) return native.call(text);
  return text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
}

/** Rewrites offsets in place from UTF-16 units of `text` to another unit. */
export function convertOffsets(offsets: [number, number][], text: string, unit: OffsetUnit): void {
  const table = new Int32Array(text.length + 1);
  let position = 0;
  let at = 0;
  for (const character of text) {
    for (let k = character.length; k > 0; k--) table[at++] = position;
    position += unit === "byte" ? utf8Length(character.codePointAt(0) as number) : 1;
  }
  table[at] = position;
  for (const range of offsets) {
    range[0] = table[range[0]];
    range[1] = table[range[1]];
  }
}
