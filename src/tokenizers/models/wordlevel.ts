/** One token for each piece. */

import { FormatError } from "../../core/errors.js";
import type { Component } from "../definition.js";
import { ObjectVocabulary } from "../vocabulary.js";
import { byteLength, type Model, VocabularyModel } from "./model.js";

const WHERE = "tokenizer.json model (WordLevel)";

export class WordLevel extends VocabularyModel implements Model {
  private readonly unknownToken: string;

  constructor(settings: Component) {
    super(new ObjectVocabulary(settings.vocab, `${WHERE} vocab`));
    this.unknownToken = (settings.unk_token as string | undefined) ?? "<unk>";
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
