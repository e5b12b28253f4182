/** Ids alone, word by word: for pre-tokenizers that cut at white space before anything else. */

import type { FastPath } from "./fast-path.js";
import { PieceCache } from "./models/byte-pieces.js";
import type { Model } from "./models/model.js";
import type { Normalizer } from "./normalizer.js";
import { Piece } from "./piece.js";
import type { PreTokenizer } from "./pre-tokenizer.js";

/** Spaces and line feeds cut words; other white space stays inside and is left to the pre-tokenizer. */
export function alongSpaces(preTokenizer: PreTokenizer, model: Model, normalizer: Normalizer | undefined): FastPath {
  const ids: number[] = [];
  const words = new PieceCache((text, start, end, out) => {
    ids.length = 0;
    const word = text.slice(start, end);
    const piece = new Piece(normalizer === undefined ? word : normalizer.text(word), 0, false);
    for (const part of preTokenizer.cut(piece)) model.encode(part.text, ids);
    for (const id of ids) out.push(id);
  });
  return (text, out) => {
    const { length } = text;
    for (let start = 0; start < length; ) {
      let end = start;
      while (end < length && text.charCodeAt(end) !== 0x20 && text.charCodeAt(end) !== 0x0a) end++;
      if (end > start) words.encode(text, start, end, out);
      start = end + 1;
    }
  };
}
