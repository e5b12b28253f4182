/** `loadTokenizer`: from URL, path, Blob or object to a tokenizer. */

import { FormatError } from "../core/errors.js";
import { platform } from "../core/platform.js";
import type { TokenizerDefinition } from "./definition.js";
import { Bpe } from "./models/bpe.js";
import { Tokenizer } from "./tokenizer.js";

/** What a tokenizer is loaded from. */
export type TokenizerSource = string | URL | Blob | TokenizerDefinition | Record<string, unknown>;

export async function loadTokenizer(source: TokenizerSource): Promise<Tokenizer> {
  const definition =
    typeof source === "string" || source instanceof URL || source instanceof Blob
      ? (JSON.parse(await readText(source)) as TokenizerDefinition)
      : (source as TokenizerDefinition);
  return createTokenizer(definition);
}

async function readText(source: string | URL | Blob): Promise<string> {
  if (source instanceof Blob) return source.text();
  const open = platform().openFile;
  if (open === undefined || /^(https?|data|blob|file):/.test(String(source))) {
    return (await fetch(source)).text();
  }
  const file = await open(String(source));
  const bytes = await file.read(0, file.byteLength);
  await file.close?.();
  return new TextDecoder().decode(bytes);
}

export function createTokenizer(definition: TokenizerDefinition): Tokenizer {
  const { model } = definition;
  if (!model?.merges) throw new FormatError("tokenizer.json: needs a BPE model.");
  return new Tokenizer(definition, new Bpe(model));
}
