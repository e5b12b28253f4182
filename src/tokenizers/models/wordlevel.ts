/** One token for each piece. */

import type { Component } from "../definition.js";
import { textOf } from "../settings.js";
import { ObjectVocabulary } from "../vocabulary.js";
import { byteLength, type Model, VocabularyModel } from "./model.js";

const WHERE = "tokenizer.json model (WordLevel)";

export class WordLevel extends VocabularyModel implements Model {
  private readonly unknownToken: string;

  constructor(settings: Component) {
    super(new ObjectVocabulary(settings.vocab, `${WHERE} vocab`));
    this.unknownToken = textOf(settings, "unk_token", "model (WordLevel)", "<unk>");
  }

  encode(piece: string, ids: number[], spans?: number[]): void {
    ids.push(this.vocabulary.idOf(piece) ?? this.unknownId(this.unknownToken, piece, WHERE));
    spans?.push(0, byteLength(piece));
  }
}
