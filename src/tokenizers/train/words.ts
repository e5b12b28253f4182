/** Counting the words (pieces of the pre-tokenizer) of a corpus. */

import { bytesOfText } from "../byte-alphabet.js";
import type { Component } from "../definition.js";
import { gpt2 } from "../gpt2.js";
import { IdBuffer, PieceCache } from "../models/byte-pieces.js";
import type { Normalizer } from "../normalizer.js";
import { copied, Piece } from "../piece.js";
import { type PreTokenizer, preTokenizers } from "../pre-tokenizer.js";

export class WordCounter {
  private readonly preTokenizer: PreTokenizer | undefined;
  /** Words in the order of their first appearance, in the byte alphabet where that is wanted, with their counts. */
  private readonly words: string[] = [];
  private readonly numbers: number[] = [];
  /** GPT-2's pre-tokenizer cuts ranges, which are counted without making strings. */
  private readonly plainBytes: boolean;
  private readonly known = new PieceCache((text, start, end, out) => {
    const word = text.slice(start, end);
    this.words.push(this.plainBytes ? bytesOfText(word) : copied(word));
    out.push(this.numbers.push(0) - 1);
  });

  constructor(
    private readonly normalizer: Normalizer | undefined,
    preTokenizer: Component | null,
    /** The corpus is cut at these; they are no words. */
    private readonly separators: string[],
  ) {
    this.preTokenizer = preTokenizer ? preTokenizers.create(preTokenizer) : undefined;
    this.plainBytes =
      preTokenizer?.type === "ByteLevel" && preTokenizer.add_prefix_space === false && preTokenizer.use_regex !== false;
  }

  add(text: string): void {
    let parts = [text];
    for (const separator of this.separators) parts = parts.flatMap((part) => part.split(separator));
    for (const part of parts) {
      const normalized = this.normalizer?.text(part) ?? part;
      if (this.plainBytes) this.addMatches(normalized);
      else this.addPieces(normalized);
    }
  }

  private addMatches(text: string): void {
    const out = new IdBuffer();
    for (let at = 0; at < text.length; ) {
      const end = gpt2.matchAt(text, at);
      out.length = 0;
      this.known.encode(text, at, end, out);
      this.numbers[out.ids[0]]++;
      at = end;
    }
  }

  private addPieces(text: string): void {
    const pieces = this.preTokenizer?.cut(new Piece(text, 0, false)) ?? [new Piece(text, 0, false)];
    const out = new IdBuffer();
    for (const { text: word } of pieces) {
      if (word === "") continue;
      out.length = 0;
      this.known.encode(word, 0, word.length, out);
      this.numbers[out.ids[0]]++;
    }
  }

  /** Each word (in the byte alphabet where that is the pre-tokenizer's) and how often it occurred. */
  counts(): Map<string, number> {
    const counts = new Map<string, number>();
    this.words.forEach((word, i) => {
      counts.set(word, (counts.get(word) ?? 0) + this.numbers[i]);
    });
    return counts;
  }
}
