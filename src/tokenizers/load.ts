/** `loadTokenizer`: from a URL, a path, a Blob, bytes or an object to a tokenizer. */

import { bytesOf } from "../core/bytes.js";
import { checkOptions } from "../core/options.js";
import { isFetched, pathOfUrl, platform } from "../core/platform.js";
import { createTokenizer } from "./create.js";
import { type TokenizerDefinition, tokenText } from "./definition.js";
import { parse, read, text } from "./files.js";
import type { TiktokenOptions } from "./formats/tiktoken.js";
import type { Tokenizer, TokenizerExtras } from "./tokenizer.js";

/**
 * What a tokenizer is loaded from: the URL or path of a file or a directory, a Blob or File, bytes, a parsed
 * `tokenizer.json`, or `{ vocab, merges }` with the contents of these files.
 */
export type TokenizerSource = string | URL | Blob | Uint8Array | ArrayBuffer | TokenizerDefinition | VocabAndMerges;

export interface VocabAndMerges {
  vocab: Record<string, number>;
  merges: string;
}

export interface LoadOptions extends TiktokenOptions {
  /** The contents of `tokenizer_config.json`; read by itself from directories. */
  config?: Record<string, unknown>;
}

/** Longer files are read by `scan.ts`: Qwen's are, GPT-2's is not. */
const LARGE = 2_500_000;
const ENOUGH_TO_SNIFF = 4;

/**
 * Loads `tokenizer.json`, tiktoken ranks, SentencePiece models, and directories with any of them. Throws DataError for
 * what cannot be read and FormatError, naming file and place, for what is not a tokenizer.
 */
export async function loadTokenizer(source: TokenizerSource, options: LoadOptions = {}): Promise<Tokenizer> {
  checkOptions("loadTokenizer", options, ["config", "pattern", "specialTokens"]);
  if (typeof source === "string" || source instanceof URL) return loadFrom(fileAddress(source), options);
  if (source instanceof Blob) {
    const name = (source as File).name ?? "tokenizer";
    return loadBytes(new Uint8Array(await source.arrayBuffer()), name, options);
  }
  const bytes = bytesOf(source);
  if (bytes) return loadBytes(bytes, "tokenizer", options);
  return fromObject(source, "tokenizer.json", options);
}

/** `file:` URLs as paths. */
function fileAddress(source: string | URL): string {
  const address = String(source);
  return address.startsWith("file:") ? pathOfUrl(address) : address;
}

async function loadFrom(address: string, options: LoadOptions): Promise<Tokenizer> {
  const isFolder = isFetched(address) ? address.endsWith("/") : await platform().isDirectory?.(address);
  if (!isFolder && !/vocab\.json($|\?)/.test(address)) return loadBytes(await read(address), address, options);
  const { fromFolder, withMerges } = await import("./folder.js");
  const found = isFolder ? await fromFolder(address, options) : await withMerges(address, options);
  const { source, name } = found;
  return source instanceof Uint8Array
    ? loadBytes(source, name, found.options)
    : fromObject(source, name, found.options);
}

/** Tells the formats apart by their first bytes. */
async function loadBytes(bytes: Uint8Array, name: string, options: LoadOptions): Promise<Tokenizer> {
  let start = 0;
  while (bytes[start] <= 0x20 || bytes[start] === 0xef || bytes[start] === 0xbb || bytes[start] === 0xbf) start++;
  if (bytes[start] !== 0x7b && bytes.length >= ENOUGH_TO_SNIFF) {
    const { readOther } = await import("./formats/other.js");
    return createTokenizer(await readOther(bytes, name, options), extras(options));
  }
  return fromText(text(bytes, name), name, options);
}

/** From the text of a `tokenizer.json`. */
export async function fromText(json: string, name: string, options: LoadOptions): Promise<Tokenizer> {
  const scanned = json.length > LARGE ? (await import("./scan.js")).scan(json) : undefined;
  return scanned
    ? createTokenizer(scanned.definition, extras(options), name, scanned)
    : fromObject(parse(json, name), name, options);
}

async function fromObject(source: unknown, name: string, options: LoadOptions): Promise<Tokenizer> {
  const { vocab, merges } = (source ?? {}) as Partial<VocabAndMerges>;
  if (typeof merges === "string" && typeof vocab === "object") {
    const { readVocabAndMerges } = await import("./formats/vocab-files.js");
    return createTokenizer(readVocabAndMerges(vocab, merges, options.config), extras(options));
  }
  return createTokenizer(source as TokenizerDefinition, extras(options), name);
}

/** What `tokenizer_config.json` says. */
function extras({ config }: LoadOptions): TokenizerExtras {
  if (config === undefined) return {};
  return {
    config,
    bosToken: tokenText(config.bos_token),
    eosToken: tokenText(config.eos_token),
    chatTemplate: config.chat_template as TokenizerExtras["chatTemplate"],
  };
}
