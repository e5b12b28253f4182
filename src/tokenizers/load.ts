/** `loadTokenizer`: from URL, path, Blob or object to a tokenizer. */

import { platform } from "../core/platform.js";
import type { TokenizerDefinition } from "./definition.js";
import { createModel } from "./models/create.js";
import { registered } from "./normalizers.js";
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

/** Makes a tokenizer from the contents of a `tokenizer.json`. */
export async function createTokenizer(definition: TokenizerDefinition): Promise<Tokenizer> {
  if (JSON.stringify(definition.normalizer ?? null).includes('"Precompiled"')) {
    registered.Precompiled = (await import("./charsmap.js")).precompiled;
  }
  return new Tokenizer(definition, await createModel(definition.model));
}
