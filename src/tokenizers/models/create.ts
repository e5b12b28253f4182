/** Models by their name in `tokenizer.json`; all but BPE are loaded when a file needs them. */

import type { Component } from "../definition.js";
import { unknownType } from "../settings.js";
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
export async function createModel(settings: Component): Promise<Model> {
  const type = modelType(settings);
  switch (type) {
    case "BPE":
      return createBpe(settings);
    case "Unigram":
      return new (await import("./unigram.js")).Unigram(settings);
    case "WordPiece":
      return new (await import("./wordpiece.js")).WordPiece(settings);
    case "WordLevel":
      return new (await import("./wordlevel.js")).WordLevel(settings);
    default:
      throw unknownType("model", type, TYPES);
  }
}

/** Random numbers are loaded only for files with dropout. */
async function createBpe(settings: Component): Promise<Bpe> {
  const bpe = new Bpe(settings);
  if (bpe.dropout > 0) bpe.uniform = (await import("./dropout.js")).uniform;
  return bpe;
}
