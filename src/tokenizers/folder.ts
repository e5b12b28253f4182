/** Tokenizers that lie in several files: a folder, or `vocab.json` beside `merges.txt`. */

import { DataError } from "../core/errors.js";
import { parse, read, readIfThere, text } from "./files.js";
import type { LoadOptions, VocabAndMerges } from "./load.js";

export interface Found {
  source: Uint8Array | VocabAndMerges;
  name: string;
  options: LoadOptions;
}

const NAMES = [
  "tokenizer.json",
  "tokenizer.model",
  "spiece.model",
  "sentencepiece.bpe.model",
  "vocab.json",
  "vocab.txt",
];

/** What a folder holds, with what its `tokenizer_config.json` says. Throws DataError where it holds no tokenizer. */
export async function fromFolder(address: string, options: LoadOptions): Promise<Found> {
  const folder = address.endsWith("/") ? address : `${address}/`;
  const config = options.config ?? (await configOf(folder));
  for (const name of NAMES) {
    const bytes = await readIfThere(folder + name);
    if (bytes === undefined) continue;
    if (name === "vocab.json")
      return vocabAndMerges(bytes, await read(`${folder}merges.txt`), folder + name, { ...options, config });
    return { source: bytes, name: folder + name, options: { ...options, config } };
  }
  throw new DataError(`${address}: needs tokenizer.json, tokenizer.model, vocab.json or vocab.txt, got none of them.`, {
    where: address,
  });
}

async function configOf(folder: string): Promise<Record<string, unknown> | undefined> {
  const name = `${folder}tokenizer_config.json`;
  const bytes = await readIfThere(name);
  if (bytes === undefined) return undefined;
  const config = parse(text(bytes, name), name) as Record<string, unknown>;
  if (config.chat_template !== undefined) return config;
  // Newer models keep the template in a file of its own.
  const template = await readIfThere(`${folder}chat_template.jinja`);
  return template ? { ...config, chat_template: text(template, "chat_template.jinja") } : config;
}

/** A `vocab.json` with the `merges.txt` beside it, or alone where there is none. */
export async function withMerges(address: string, options: LoadOptions): Promise<Found> {
  const bytes = await read(address);
  const merges = await readIfThere(address.replace(/vocab\.json(?=$|\?)/, "merges.txt"));
  return merges ? vocabAndMerges(bytes, merges, address, options) : { source: bytes, name: address, options };
}

function vocabAndMerges(vocab: Uint8Array, merges: Uint8Array, name: string, options: LoadOptions): Found {
  const source = { vocab: parse(text(vocab, name), name) as VocabAndMerges["vocab"], merges: text(merges, name) };
  return { source, name, options };
}
