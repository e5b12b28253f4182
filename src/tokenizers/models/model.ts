/** A model turns pieces of normalized text into tokens. */

import { FormatError, show } from "../../core/errors.js";
import type { Vocabulary } from "../vocabulary.js";

export interface Model {
  /**
   * Appends the ids of one piece to `ids` and, when given, start and end of each token in UTF-8 bytes of the piece to
   * `spans`.
   */
  encode(piece: string, ids: number[], spans?: number[]): void;
  idOf(token: string): number | undefined;
  tokenOf(id: number): string | undefined;
  readonly size: number;
  /** The highest id plus one. */
  readonly bound: number;
  entries(): Iterable<[string, number]>;
  /** An id whose tokens are spelt as the text they stand for. */
  readonly verbatimId?: number;
  /** With a seed: from now on merges are left out at random (BPE dropout); without: no longer. */
  dropWith?(seed: number | undefined): void;
}

/** Bytes of a code point in UTF-8. */
export const utf8Length = (codePoint: number): number =>
  codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4;

/** Bytes of a well-formed string in UTF-8. */
export function byteLength(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    // A surrogate pair is two units and four bytes: two for each unit.
    if (unit >= 0x80) bytes += unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 1 : 2;
  }
  return bytes;
}

/** A model whose tokens are those of one vocabulary. */
export abstract class VocabularyModel {
  constructor(protected readonly vocabulary: Vocabulary) {}

  get size(): number {
    return this.vocabulary.size;
  }
  get bound(): number {
    return this.vocabulary.bound;
  }
  idOf(token: string): number | undefined {
    return this.vocabulary.idOf(token);
  }
  tokenOf(id: number): string | undefined {
    return this.vocabulary.tokenOf(id);
  }
  entries(): Iterable<[string, number]> {
    return this.vocabulary.entries();
  }

  /** The id of the unknown token, which a piece needs. */
  protected unknownId(token: string, piece: string, where: string): number {
    const id = this.vocabulary.idOf(token);
    if (id !== undefined) return id;
    throw new FormatError(
      `${where}: needs its unknown token in the vocabulary for ${show(piece)}, got ${show(token)}.`,
      { where, piece },
    );
  }
}

/** The token that stands for one byte: `<0x0A>`. */
export const byteToken = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
