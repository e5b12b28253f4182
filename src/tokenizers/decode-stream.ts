/** Decoding ids as they come. */

import type { DecodeOptions, Tokenizer } from "./tokenizer.js";

/** Ids that are held back at most: more than the bytes of a character, and decoding them again costs little. */
const MOST_HELD = 16;

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
    // What decode leaves out changes nothing.
    if (this.options.skipSpecialTokens !== false && this.tokenizer.isSpecial(id)) return "";
    this.ids.push(id);
    const text = this.tokenizer.decode(this.ids, this.options);
    const unfinished = text.length <= this.contextText.length || text.endsWith("\ufffd");
    if (unfinished && this.ids.length - this.context < MOST_HELD) return "";
    const fresh = this.fresh(text);
    // The ids that just went out are the context of the next ones.
    this.ids = this.ids.slice(this.context);
    this.context = this.ids.length;
    this.contextText = this.tokenizer.decode(this.ids, this.options);
    return fresh;
  }

  /** What is left at the end. */
  end(): string {
    const rest = this.fresh(this.tokenizer.decode(this.ids, this.options));
    this.ids = [];
    this.context = 0;
    this.contextText = "";
    return rest;
  }

  /**
   * What of a text is new. It may no longer begin with what went out: bytes that were a line feed are none together
   * with one that is no UTF-8. That cannot be taken back; what took its place is new, too.
   */
  private fresh(text: string): string {
    const { contextText } = this;
    let same = 0;
    while (same < contextText.length && text[same] === contextText[same]) same++;
    // No pair is cut in two.
    if (same < contextText.length && /[\ud800-\udbff]/.test(text[same - 1] ?? "")) same--;
    return text.slice(same);
  }
}
