/** The way of a text through the components of a tokenizer: normalized, cut, turned into tokens. */

import { AddedTokens } from "./added-tokens.js";
import type { TokenizerDefinition } from "./definition.js";
import { emptyRow, type OffsetUnit, type Row } from "./encoding.js";
import { type FastPath, fastPath } from "./fast-path.js";
import { IdBuffer, modelRanges, PieceCache } from "./models/byte-pieces.js";
import { type Model, utf8Length } from "./models/model.js";
import { type Normalizer, normalize, normalizers } from "./normalizer.js";
import { convertOffsets } from "./offsets.js";
import { Piece } from "./piece.js";
import { type PreTokenizer, preTokenizers } from "./pre-tokenizer.js";

export class Pipeline {
  readonly added: AddedTokens;
  private readonly normalizer: Normalizer | undefined;
  private readonly preTokenizer: PreTokenizer | undefined;
  /** Ids alone; with `normalizesWords` it takes the text as it is and normalizes word by word. */
  private readonly fast: FastPath | undefined;
  private readonly normalizesWords: boolean;
  /** For pipelines without a fast path. */
  private readonly words: PieceCache;
  /** Whether pieces must know where in the original text they begin. */
  private readonly needsOrigin: boolean;

  constructor(
    { normalizer, pre_tokenizer, added_tokens = [] }: TokenizerDefinition,
    private readonly model: Model,
  ) {
    this.normalizer = normalizer ? normalizers.create(normalizer) : undefined;
    this.preTokenizer = pre_tokenizer ? preTokenizers.create(pre_tokenizer) : undefined;
    this.added = new AddedTokens(added_tokens, model, (content) => this.normalizer?.text(content) ?? content);
    const byWord =
      this.normalizer?.local && !this.added.anyNormalized
        ? fastPath(this.preTokenizer, model, this.normalizer)
        : undefined;
    this.needsOrigin = this.normalizer !== undefined && this.preTokenizer?.needsOrigin === true;
    this.normalizesWords = byWord !== undefined;
    this.words = new PieceCache(modelRanges(model));
    this.fast = byWord ?? fastPath(this.preTokenizer, model);
  }

  /** Ids of a well-formed text. */
  ids(text: string): number[] {
    const { fast } = this;
    const whole = new Piece(text, 0, this.needsOrigin);
    const out = new IdBuffer();
    if (fast !== undefined) {
      const parts = this.normalizesWords ? this.added.splitOriginal(whole) : this.parts(whole);
      for (const part of parts) {
        if (part.token !== undefined) out.push(part.token);
        else fast(part.text, out);
      }
    } else {
      for (const { text, token } of this.pieces(whole)) {
        if (token !== undefined) out.push(token);
        else this.words.encode(text, 0, text.length, out);
      }
    }
    return out.toArray();
  }

  /** The ids of a well-formed text with all that belongs to them; `sequence` is its number in a pair. */
  row(text: string, sequence: number, unit: OffsetUnit): Row {
    const row = emptyRow();
    this.pieces(new Piece(text)).forEach((piece, word) => {
      const first = row.ids.length;
      if (piece.token !== undefined) {
        row.ids.push(piece.token);
        row.tokens.push(piece.text);
        row.offsets.push(piece.range(0, piece.text.length));
      } else {
        const spans: number[] = [];
        this.model.encode(piece.text, row.ids, spans);
        const unitOf = bytesToUnits(piece.text);
        for (let i = first; i < row.ids.length; i++) {
          const at = 2 * (i - first);
          const start = unitOf(spans[at], false);
          const end = unitOf(spans[at + 1], true);
          const id = row.ids[i];
          row.offsets.push(piece.range(start, end));
          row.tokens.push(
            id === this.model.verbatimId ? piece.text.slice(start, end) : (this.model.tokenOf(id) as string),
          );
        }
      }
      for (let i = first; i < row.ids.length; i++) row.wordIds.push(word);
    });
    if (unit !== "utf16") convertOffsets(row.offsets, text, unit);
    row.typeIds = row.ids.map(() => sequence);
    row.sequenceIds = row.ids.map(() => sequence);
    row.attentionMask = row.ids.map(() => 1);
    row.specialTokensMask = row.ids.map(() => 0);
    return row;
  }

  /** A text, normalized and cut at added tokens. */
  private parts(whole: Piece): Piece[] {
    const out: Piece[] = [];
    for (const part of this.added.splitOriginal(whole)) {
      if (part.token !== undefined) {
        out.push(part);
        continue;
      }
      if (this.normalizer) normalize(part, this.normalizer);
      for (const piece of this.added.splitNormalized(part)) out.push(piece);
    }
    return out;
  }

  /** The parts, cut into the pieces that the model sees. */
  private pieces(whole: Piece): Piece[] {
    const { preTokenizer } = this;
    if (preTokenizer === undefined) return this.parts(whole);
    const out: Piece[] = [];
    for (const part of this.parts(whole)) {
      if (part.token !== undefined) out.push(part);
      else for (const piece of preTokenizer.cut(part)) if (piece.text !== "") out.push(piece);
    }
    return out;
  }
}

/** From positions in UTF-8 to positions in UTF-16; inside a character the start or the end of it. */
function bytesToUnits(text: string): (byte: number, end: boolean) => number {
  let ascii = true;
  for (let i = 0; i < text.length && ascii; i++) ascii = text.charCodeAt(i) < 0x80;
  if (ascii) return (byte) => Math.min(byte, text.length);
  const starts: number[] = [];
  const ends: number[] = [0];
  let at = 0;
  for (const character of text) {
    const code = character.codePointAt(0) as number;
    const next = at + character.length;
    for (let bytes = utf8Length(code); bytes > 0; bytes--) {
      starts.push(at);
      ends.push(next);
    }
    at = next;
  }
  return (byte, end) => (end ? (ends[byte] ?? at) : (starts[byte] ?? at));
}
