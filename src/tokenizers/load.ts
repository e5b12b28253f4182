/** `loadTokenizer`: from a URL, a path, a Blob, bytes or an object to a tokenizer. */

import { DataError, FormatError } from "../core/errors.js";
import { platform } from "../core/platform.js";
import { createTokenizer } from "./create.js";
import type { TokenizerDefinition } from "./definition.js";
import type { TiktokenOptions } from "./formats/tiktoken.js";
import { type Tokenizer, type TokenizerExtras, tokenText } from "./tokenizer.js";

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

const LARGEST_FILE = 2 ** 29;
const ENOUGH_TO_SNIFF = 4;

/**
 * Loads `tokenizer.json`, tiktoken ranks, SentencePiece models, and directories with any of them. Throws DataError for
 * what cannot be read and FormatError, naming file and place, for what is not a tokenizer.
 */
export async function loadTokenizer(source: TokenizerSource, options: LoadOptions = {}): Promise<Tokenizer> {
  if (typeof source === "string" || source instanceof URL) return loadFrom(fileAddress(source), options);
  if (source instanceof Blob) {
    const name = (source as File).name ?? "tokenizer";
    return loadBytes(new Uint8Array(await source.arrayBuffer()), name, options);
  }
  if (source instanceof ArrayBuffer) return loadBytes(new Uint8Array(source), "tokenizer", options);
  if (source instanceof Uint8Array) return loadBytes(source, "tokenizer", options);
  return fromObject(source, "tokenizer.json", options);
}

/** `file:` URLs as paths. */
function fileAddress(source: string | URL): string {
  const address = String(source);
  return address.startsWith("file:") ? decodeURIComponent(new URL(address).pathname) : address;
}

const isUrl = (address: string): boolean => /^(https?|data|blob):/.test(address) || platform().openFile === undefined;

async function loadFrom(address: string, options: LoadOptions): Promise<Tokenizer> {
  const isFolder = isUrl(address) ? address.endsWith("/") : await platform().isDirectory?.(address);
  if (!isFolder) {
    const bytes = await read(address);
    if (/vocab\.json$/.test(address) && bytes[0] === 0x7b) {
      const merges = await readIfThere(address.replace(/vocab\.json$/, "merges.txt"));
      if (merges !== undefined) {
        const vocab = parse(bytes, address) as Record<string, number>;
        return fromObject({ vocab, merges: text(merges) }, address, options);
      }
    }
    return loadBytes(bytes, address, options);
  }
  const folder = address.endsWith("/") ? address : `${address}/`;
  const config = await readIfThere(`${folder}tokenizer_config.json`);
  const full = {
    ...options,
    config: options.config ?? (config && (parse(config, `${folder}tokenizer_config.json`) as Record<string, unknown>)),
  };
  if (full.config && full.config.chat_template === undefined) {
    // Newer models keep the template in a file of its own.
    const template = await readIfThere(`${folder}chat_template.jinja`);
    if (template) full.config = { ...full.config, chat_template: text(template) };
  }
  for (const name of ["tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.json"]) {
    const bytes = await readIfThere(folder + name);
    if (bytes === undefined) continue;
    if (name !== "vocab.json") return loadBytes(bytes, folder + name, full);
    const vocab = parse(bytes, folder + name) as Record<string, number>;
    return fromObject({ vocab, merges: text(await read(`${folder}merges.txt`)) }, folder + name, full);
  }
  const vocabulary = await readIfThere(`${folder}vocab.txt`);
  if (vocabulary !== undefined) return loadBytes(vocabulary, `${folder}vocab.txt`, full);
  throw new DataError(`${address}: needs tokenizer.json, tokenizer.model, vocab.json or vocab.txt, got none of them.`, {
    where: address,
  });
}

/** All bytes of a URL or path. */
async function read(address: string): Promise<Uint8Array> {
  if (isUrl(address)) {
    let response: Response;
    try {
      response = await fetch(address);
    } catch (cause) {
      throw new DataError(`${address}: cannot be fetched.`, { where: address, cause });
    }
    if (!response.ok) {
      throw new DataError(`${address}: needs status 200, got ${response.status}.`, {
        where: address,
        status: response.status,
      });
    }
    return new Uint8Array(await response.arrayBuffer());
  }
  const file = await (platform().openFile as NonNullable<ReturnType<typeof platform>["openFile"]>)(address);
  try {
    if (file.byteLength > LARGEST_FILE) throw tooLarge(address, file.byteLength);
    return await file.read(0, file.byteLength);
  } finally {
    await file.close?.();
  }
}

const tooLarge = (name: string, bytes: number) =>
  new FormatError(`${name}: needs at most ${LARGEST_FILE} bytes, got ${bytes}.`, { where: name });

async function readIfThere(address: string): Promise<Uint8Array | undefined> {
  try {
    return await read(address);
  } catch (error) {
    if (error instanceof DataError) return undefined;
    throw error;
  }
}

const utf8 = new TextDecoder();
const text = (bytes: Uint8Array): string => utf8.decode(bytes);

function parse(bytes: Uint8Array, name: string): unknown {
  if (bytes.length > LARGEST_FILE) throw tooLarge(name, bytes.length);
  try {
    return JSON.parse(text(bytes));
  } catch (cause) {
    throw new FormatError(`${name}: is not valid JSON: ${(cause as Error).message}.`, { where: name, cause });
  }
}

/** Tells the formats apart by their first bytes. */
async function loadBytes(bytes: Uint8Array, name: string, options: LoadOptions): Promise<Tokenizer> {
  let start = 0;
  while (bytes[start] <= 0x20 || bytes[start] === 0xef || bytes[start] === 0xbb || bytes[start] === 0xbf) start++;
  if (bytes[start] === 0x7b || bytes.length < ENOUGH_TO_SNIFF) return fromObject(parse(bytes, name), name, options);
  if (/\.txt$/.test(name)) {
    const { readVocabText } = await import("./formats/vocab-files.js");
    return createTokenizer(readVocabText(text(bytes), name, options.config?.do_lower_case !== false), extras(options));
  }
  if (/^[A-Za-z0-9+/=]+ \d+\r?\n/.test(text(bytes.subarray(0, 2000)))) {
    const { readTiktoken } = await import("./formats/tiktoken.js");
    return createTokenizer(readTiktoken(text(bytes), name, options), extras(options));
  }
  if (bytes[0] === 0x0a) {
    const { readSentencePiece } = await import("./formats/sentencepiece.js");
    return createTokenizer(readSentencePiece(bytes, name), extras(options));
  }
  throw new FormatError(`${name}: needs a tokenizer.json, a tiktoken or a SentencePiece file, got something else.`, {
    where: name,
  });
}

async function fromObject(source: unknown, name: string, options: LoadOptions): Promise<Tokenizer> {
  const { vocab, merges } = (source ?? {}) as Partial<VocabAndMerges>;
  if (typeof merges === "string" && typeof vocab === "object") {
    const { readVocabAndMerges } = await import("./formats/vocab-files.js");
    return createTokenizer(readVocabAndMerges(vocab, merges), extras(options));
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
