/** Decoding ids as they come. */

import type { DecodeOptions, Tokenizer } from "./tokenizer.js";

/**
 * Hands out text as soon as it cannot change any more: half a character is held back until the rest comes. Some
 * decoders look at the neighbours of a token (spaces, punctuation), so the last few tokens are always decoded again
 * together with the new one.
 */
export class DecodeStream {
  private ids: number[] = [];
  /** Ids whose text went out; they stay as context. */
  private context = 0;
  private contextText = "";

  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly options: DecodeOptions,
  ) {}

  /** The text that this id completes; "" while a character is unfinished. */
  push(id: number): string {
    this.ids.push(id);
    const text = this.tokenizer.decode(this.ids, this.options);
    if (text.length <= this.contextText.length || text.endsWith("\ufffd") || !text.startsWith(this.contextText)) {
      return "";
    }
    return this.handOut(text);
  }

  /** What is left at the end. */
  end(): string {
    const text = this.tokenizer.decode(this.ids, this.options);
    const rest = text.startsWith(this.contextText) ? text.slice(this.contextText.length) : "";
    this.ids = [];
    this.context = 0;
    this.contextText = "";
    return rest;
  }

  private handOut(text: string): string {
    const fresh = text.slice(this.contextText.length);
    // The ids that just went out are the context of the next ones.
    this.ids = this.ids.slice(this.context);
    this.context = this.ids.length;
    this.contextText = this.tokenizer.decode(this.ids, this.options);
    return fresh;
  }
}
