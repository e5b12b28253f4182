/** WordPiece (Schuster and Nakajima 2012; Devlin et al. 2018): the longest token first, from left to right. */

import { FormatError, show } from "../../core/errors.js";
import type { Component } from "../definition.js";
import { ObjectVocabulary } from "../vocabulary.js";
import { byteLength, type Model, utf8Length, VocabularyModel } from "./model.js";
import { Trie } from "./trie.js";

const WHERE = "tokenizer.json model (WordPiece)";

export class WordPiece extends VocabularyModel implements Model {
  private readonly trie: Trie;
  /** Where tokens that continue a word begin in the trie; -1 where there are none. */
  private readonly inside: number;
  private readonly unknownToken: string;
  private readonly longest: number;

  constructor(settings: Component) {
    super(new ObjectVocabulary(settings.vocab, `${WHERE} vocab`));
    const prefix = (settings.continuing_subword_prefix as string | undefined) ?? "##";
    this.unknownToken = (settings.unk_token as string | undefined) ?? "[UNK]";
    this.longest = (settings.max_input_chars_per_word as number | undefined) ?? 100;
    if (typeof prefix !== "string" || typeof this.unknownToken !== "string" || !Number.isInteger(this.longest)) {
      throw new FormatError(
        `${WHERE}: needs texts continuing_subword_prefix and unk_token and a whole number max_input_chars_per_word, got ${show(prefix)}, ${show(this.unknownToken)} and ${show(this.longest)}.`,
        { where: WHERE },
      );
    }
    this.trie = new Trie(this.vocabulary.size * 3);
    for (const [token, id] of this.vocabulary.entries()) this.trie.addText(token, id);
    let node = 0;
    for (let i = 0; i < prefix.length && node >= 0; i++) {
      const slot = this.trie.find(node, prefix.charCodeAt(i));
      node = slot < 0 ? -1 : this.trie.child(slot);
    }
    this.inside = node;
  }

  encode(piece: string, ids: number[], spans?: number[]): void {
    const first = ids.length;
    let characters = piece.length;
    for (let i = 0; i < piece.length; i++) if (isLow(piece.charCodeAt(i))) characters--;
    let known = characters <= this.longest;
    let bytes = 0;
    for (let start = 0; known && start < piece.length; ) {
      const node = start === 0 ? 0 : this.inside;
      const id = node < 0 ? -1 : this.trie.longest(piece, start, node);
      const { end } = this.trie;
      if (id < 0) known = false;
      else {
        ids.push(id);
        if (spans !== undefined) {
          spans.push(bytes);
          for (const character of piece.slice(start, end)) bytes += utf8Length(character.codePointAt(0) as number);
          spans.push(bytes);
        }
        start = end;
      }
    }
    if (known) return;
    if (spans !== undefined) spans.length -= 2 * (ids.length - first);
    ids.length = first;
    ids.push(this.unknownId(this.unknownToken, piece, WHERE));
    spans?.push(0, byteLength(piece));
  }
}

const isLow = (unit: number): boolean => unit >= 0xdc00 && unit < 0xe000;
