/** Ids alone, word by word: for pre-tokenizers that cut at white space before anything else. */

import type { FastPath } from "./fast-path.js";
import { PieceCache } from "./models/byte-pieces.js";
import type { Model } from "./models/model.js";
import type { Normalizer } from "./normalizer.js";
import { Piece } from "./piece.js";
import type { PreTokenizer } from "./pre-tokenizer.js";

/** Classes of UTF-16 units, 0 where nobody asked yet. */
const INSIDE = 1;
const BETWEEN = 2;
const ALONE = 3;

/**
 * Spaces and line feeds cut words, and so do characters that are pieces of their own; other white space stays inside
 * and is left to the pre-tokenizer.
 */
export function alongSpaces(preTokenizer: PreTokenizer, model: Model, normalizer: Normalizer | undefined): FastPath {
  const ids: number[] = [];
  const words = new PieceCache((text, start, end, out) => {
    ids.length = 0;
    const word = text.slice(start, end);
    const piece = new Piece(normalizer === undefined ? word : normalizer.text(word), 0, false);
    for (const part of preTokenizer.cut(piece)) model.encode(part.text, ids);
    for (let i = 0; i < ids.length; i++) out.push(ids[i]);
  });
  const kinds = new Uint8Array(65536);
  const kindOf = (unit: number): number => {
    const alone = preTokenizer.isolates?.(unit) || normalizer?.setsApart?.(unit);
    return (kinds[unit] = unit === 0x20 || unit === 0x0a ? BETWEEN : alone ? ALONE : INSIDE);
  };
  return (text, out) => {
    const { length } = text;
    for (let start = 0; start < length; ) {
      let end = start;
      let kind = BETWEEN;
      for (; end < length; end++) {
        const unit = text.charCodeAt(end);
        kind = kinds[unit] || kindOf(unit);
        if (kind !== INSIDE) break;
      }
      if (end > start) words.encode(text, start, end, out);
      if (kind === ALONE) words.encode(text, end, end + 1, out);
      start = end + 1;
    }
  };
}
