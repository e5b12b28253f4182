/** Models by their name in `tokenizer.json`; all but BPE are loaded when a file needs them. */

import type { Component } from "../definition.js";
import type { Scanned } from "../scan.js";
import { Bpe } from "./bpe.js";
import type { Model } from "./model.js";

const TYPES = ["BPE", "Unigram", "WordPiece", "WordLevel"];

/** The type of a model; old files leave it out. */
export function modelType(settings: Component): string {
  if (settings.type !== undefined) return settings.type;
  if (settings.merges !== undefined) return "BPE";
  if (Array.isArray(settings.vocab)) return "Unigram";
  return settings.continuing_subword_prefix === undefined ? "WordLevel" : "WordPiece";
}

/** Makes a model from its part of `tokenizer.json`. Throws FormatError for an unknown type. */
export async function createModel(settings: Component, scanned?: Scanned): Promise<Model> {
  const type = modelType(settings);
  switch (type) {
    case "BPE":
      return createBpe(settings, scanned);
    case "Unigram":
      return new (await import("./unigram.js")).Unigram(settings);
    case "WordPiece":
      return new (await import("./wordpiece.js")).WordPiece(settings);
    case "WordLevel":
      return new (await import("./wordlevel.js")).WordLevel(settings);
    default:
      throw (await import("../settings.js")).unknownType("model", type, TYPES);
  }
}

/** Options of BPE that few files use are loaded for those: how symbols are spelt, random numbers for dropout. */
async function createBpe(settings: Component, scanned?: Scanned): Promise<Bpe> {
  const { unk_token, byte_fallback, continuing_subword_prefix, end_of_word_suffix } = settings;
  const isPlain = [unk_token, byte_fallback || null, continuing_subword_prefix, end_of_word_suffix].every(
    (setting) => setting === null || setting === undefined,
  );
  const bpe = isPlain
    ? new Bpe(settings, scanned)
    : new (await import("./spelled-bpe.js")).SpelledBpe(settings, scanned);
  if (bpe.dropout > 0) bpe.uniform = (await import("./dropout.js")).uniform;
  return bpe;
}
