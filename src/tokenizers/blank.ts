/** A `tokenizer.json` in which nothing is set, for readers of other formats and trainers to fill. */

import type { AddedTokenDefinition, Component, TokenizerDefinition } from "./definition.js";

/** In the order in which Hugging Face's library writes the parts. */
export const blank = (parts: Partial<TokenizerDefinition> & { model: Component }): TokenizerDefinition => ({
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: null,
  post_processor: null,
  decoder: null,
  ...parts,
});

/** Tokens may have names that every object has, such as "constructor". */
export const emptyVocab = (): Record<string, number> => Object.create(null);

export const blankBpe = (vocab: unknown, merges: unknown[], options: Component = {}): Component => ({
  type: "BPE",
  dropout: null,
  unk_token: null,
  continuing_subword_prefix: null,
  end_of_word_suffix: null,
  fuse_unk: false,
  byte_fallback: false,
  ignore_merges: false,
  ...options,
  vocab,
  merges,
});

/** A token that is found as it is written, and left out of decoded text. */
export const specialToken = (content: string, id: number): AddedTokenDefinition => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
});

/** A component that replaces what a regular expression finds. */
export const replacing = (Regex: string, content: string): Component => ({
  type: "Replace",
  pattern: { Regex },
  content,
});

/** A text as a regular expression for itself. */
export const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
