/** One token for each piece. */

import { FormatError } from "../../core/errors.js";
import type { Component } from "../definition.js";
import { Vocabulary } from "../vocabulary.js";
import { byteLength, type Model } from "./model.js";

const WHERE = "tokenizer.json model (WordLevel)";

export class WordLevel implements Model {
  private readonly vocabulary: Vocabulary;
  private readonly unknownToken: string;

  constructor(settings: Component) {
    this.vocabulary = new Vocabulary(settings.vocab, `${WHERE} vocab`);
    this.unknownToken = (settings.unk_token as string | undefined) ?? "<unk>";
  }

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

  encode(piece: string, ids: number[], spans?: number[]): void {
    const id = this.vocabulary.idOf(piece) ?? this.vocabulary.idOf(this.unknownToken);
    if (id === undefined) {
      throw new FormatError(
        `${WHERE}: needs its unknown token in the vocabulary for ${JSON.stringify(piece)}, got ${this.unknownToken}.`,
        { where: WHERE, piece },
      );
    }
    ids.push(id);
    spans?.push(0, byteLength(piece));
  }
}
