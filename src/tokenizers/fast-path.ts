/**
 * Ids alone, without making a string for each piece: the ordinary pipeline with the bookkeeping left out. The ordinary
 * pipeline remains the meaning; the tests compare the two on every text. There are three ways: byte-level BPE after one
 * regular expression; any model whose pre-tokenizer first cuts at white space; BPE without pre-tokenizer that knows where
 * texts may be cut. All other pieces are remembered one by one (`pipeline.ts`).
 */

import { Bpe } from "./models/bpe.js";
import { byteRanges, type IdBuffer, PieceCache } from "./models/byte-pieces.js";
import type { Model } from "./models/model.js";
import type { Normalizer } from "./normalizer.js";
import { Piece } from "./piece.js";
import type { PreTokenizer } from "./pre-tokenizer.js";

/** Appends the ids of a stretch of normalized text. */
export type FastPath = (text: string, out: IdBuffer) => void;

/** `normalizer`, when given, is one that may be applied to each word; it then replaces normalizing the whole text. */
export function fastPath(
  preTokenizer: PreTokenizer | undefined,
  model: Model,
  normalizer?: Normalizer,
): FastPath | undefined {
  const bpe = model instanceof Bpe && model.isPlain && !normalizer ? model : undefined;
  if (!preTokenizer) return bpe?.wholeTexts;
  // A mark that is only put before the first word depends on more than the word.
  if (preTokenizer.needsOrigin) return undefined;
  const steps = preTokenizer.parts ?? [preTokenizer];
  const byWord = steps[0]?.byWord?.(preTokenizer, model, normalizer);
  if (byWord) return byWord;
  return bpe && byteLevel(steps, bpe);
}

function byteLevel(steps: PreTokenizer[], model: Bpe): FastPath | undefined {
  const { bytes, matches } = steps.at(-1) ?? {};
  const before = steps.slice(0, -1);
  // Bytes must come last: what follows them would cut texts in the byte alphabet.
  if (!bytes || before.some((step) => step.bytes)) return undefined;
  const pieces = new PieceCache(byteRanges(model));
  const whole: FastPath = (text, out) => pieces.encode(text, 0, text.length, out);
  const split = matches ? alongMatches(matches, pieces) : whole;
  const ending: FastPath = bytes.prefixed ? (text, out) => split(text.startsWith(" ") ? text : ` ${text}`, out) : split;
  if (before.length === 0) return ending;
  const [{ matches: own }] = before;
  if (before.length === 1 && own && ending === whole) return alongMatches(own, pieces);
  return (text, out) => {
    const parts = before.reduce((list, step) => list.flatMap((piece) => step.cut(piece)), [new Piece(text, 0, false)]);
    for (const part of parts) if (part.text !== "") ending(part.text, out);
  };
}

/** Encodes match after match; what lies between matches is a piece too, or nothing. */
function alongMatches({ scanner, keepGaps }: NonNullable<PreTokenizer["matches"]>, pieces: PieceCache): FastPath {
  return (text, out) => {
    scanner.begin(text);
    let gap = 0;
    let at = 0;
    const { length } = text;
    while (at < length) {
      const end = scanner.matchAt(text, at);
      if (end <= at) {
        // No match here, or an empty one, which cuts nothing but the gap.
        if (end === at && keepGaps && gap < at) {
          pieces.encode(text, gap, at, out);
          gap = at;
        }
        at += (text.codePointAt(at) as number) > 0xffff ? 2 : 1;
        continue;
      }
      if (keepGaps && gap < at) pieces.encode(text, gap, at, out);
      pieces.encode(text, at, end, out);
      at = gap = end;
    }
    if (keepGaps && gap < length) pieces.encode(text, gap, length, out);
  };
}
