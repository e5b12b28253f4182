/** What a language model learns from, by a config: a text, a built-in corpus, ids in a file, or rows with texts. */

import type { DataReference } from "../artifacts/manifest.js";
import { sourceText } from "../artifacts/sources.js";
import { ConfigError, DataError, nearest, show } from "../core/errors.js";
import { canonicalJson } from "../core/json.js";
import { sha256Hex } from "../core/sha256.js";
import type { BatchSource, TokenBatch } from "../data/batch-source.js";
import {
  collectTokens,
  openTokenFile,
  SequentialBlocks,
  splitText,
  TokenBatches,
  TokenBlocks,
  type TokenSequence,
  tokenizeDocuments,
  tokenRange,
  tokensInMemory,
} from "../data/index.js";
import { contiguousParts, type Ratios } from "../data/ratio.js";
import { tales } from "../data/tales.js";
import { byteTokenizer, charTokenizer, loadTokenizer, type Tokenizer, trainTokenizer } from "../tokenizers/index.js";
import { type TrainingConfig, tokenizerSchema } from "./config.js";
import { type DataPlace, dataKindOf, dataUse, openPlace, placesOf } from "./data-config.js";
import { encodeExamples, exampleBatches, openLanguageRows } from "./language-rows.js";
import { hashOf, reference } from "./table-rows.js";

/** Batches to learn from and to be judged by, and what they were made of. */
export interface LanguageData {
  /** Undefined where the data are ids and nobody named their tokenizer. */
  readonly tokenizer?: Tokenizer;
  readonly source: BatchSource<TokenBatch>;
  /** One pass over a share of the validation split; undefined where there is none. */
  readonly validation?: (share: number) => BatchSource<TokenBatch>;
  readonly sources: readonly DataReference[];
  /** SHA-256 over the sources in order. */
  readonly hash: string;
  /** Of content, split and transformations. */
  readonly fingerprint: string;
  /** The id that ends documents and responses. */
  readonly endOfText?: number;
  /** Frees files. */
  readonly close?: () => Promise<void>;
}

/** Opens what a config's `data` names. Throws ConfigError or DataError naming the field or the file. */
export function openLanguageData(config: TrainingConfig): Promise<LanguageData> {
  return openers[dataUse(config.data) as keyof typeof openers](config);
}

const openers = { text: openText, tokens: openTokens, documents: openDocuments, instructions: openInstructions };

async function openText(config: TrainingConfig): Promise<LanguageData> {
  const { text, sources, hash } = await loadText(config);
  const parts = splitText(text, sharesOf(config));
  const tokenizer = await makeTokenizer(config, [text], [parts["train"]]);
  const encode = (part: string) => Int32Array.from(tokenizer.encode(part, { addSpecialTokens: false }).ids);
  const held = config.data.split.val > 0 ? encode(parts["val"]) : undefined;
  const name = sources.map((source) => source.name).join(", ");
  const blocks = blocksOf(config, tokensInMemory(encode(parts["train"])), held && tokensInMemory(held), name);
  return {
    ...blocks,
    tokenizer,
    sources,
    hash,
    fingerprint: await fingerprintOf(config, blocks.source, { text: hash }),
  };
}

async function openTokens(config: TrainingConfig): Promise<LanguageData> {
  const { data } = config;
  const place = data.tokens as DataPlace;
  const sources = [await reference(place)];
  const [{ name, sha256: hash }] = sources;
  const tokenizer = config.tokenizer === "none" ? undefined : await makeTokenizer(config, [], []);
  const file = await openTokenFile(place, { dtype: data.dtype });
  try {
    const parts = contiguousParts(file.length, sharesOf(config));
    /** A part, named by the file's hash and its place: nothing is read for it. */
    const part = ({ start, end }: { start: number; end: number }): TokenSequence => ({
      ...tokenRange(file, start, end),
      contentHash: async () => sha256Hex(canonicalJson({ file: hash, dtype: data.dtype ?? null, start, end })),
    });
    const { train, val } = parts;
    const blocks = blocksOf(config, part(train), val && part(val), name);
    const fingerprint = await fingerprintOf(config, blocks.source, { tokens: hash });
    return { ...blocks, tokenizer, sources, hash, fingerprint, close: () => file.close() };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openDocuments(config: TrainingConfig): Promise<LanguageData> {
  const { data, seed } = config;
  const sources = await Promise.all(placesOf(data[dataKindOf(data)]).map(reference));
  const name = sources.map((source) => source.name).join(", ");
  const { train, val, texts } = await openLanguageRows(data, seed, name);
  const tokenizer = await makeTokenizer(config, val ? chain(texts(train), texts(val)) : texts(train), texts(train));
  const endOfText = endOf(config, tokenizer);
  const encode = (rows: typeof train) =>
    collectTokens(tokenizeDocuments(rows, tokenizer, { column: data.column, endOfText }), tokenizer.idBound, name);
  const blocks = blocksOf(config, await encode(train), val && (await encode(val)), name);
  const hash = hashOf(sources);
  const fingerprint = await fingerprintOf(config, blocks.source, { rows: await train.fingerprint() });
  return { ...blocks, tokenizer, sources, hash, fingerprint, endOfText };
}

async function openInstructions(config: TrainingConfig): Promise<LanguageData> {
  const { data, seed } = config;
  const { batchSize, blockSize } = config.training;
  const sources = await Promise.all(placesOf(data[dataKindOf(data)]).map(reference));
  const where = sources.map((source) => source.name).join(", ");
  const { train, val, texts } = await openLanguageRows(data, seed, where);
  const tokenizer = await makeTokenizer(config, val ? chain(texts(train), texts(val)) : texts(train), texts(train));
  const endOfText = endOf(config, tokenizer);
  const size = sources.reduce((sum, each) => sum + each.size, 0);
  // The last id of a row is predicted only, so that the context holds one id less.
  const options = { data, tokenizer, endOfText, maxLength: blockSize + 1, where };
  const examples = await encodeExamples(train, size, options);
  const held = val && (await encodeExamples(val, size, options)).shuffle({ seed });
  const heldRows = held ? await held.count() : 0;
  const batches = { ...exampleBatches(data, endOfText), batchSize };
  const source = new TokenBatches(examples.shuffle({ seed }).batch({ ...batches, epochs: Number.POSITIVE_INFINITY }));
  const validation =
    held && ((share: number) => new TokenBatches(held.take(Math.ceil(share * heldRows)).batch(batches)));
  const fingerprint = await source.fingerprint();
  return { tokenizer, source, validation, sources, hash: hashOf(sources), fingerprint, endOfText };
}

async function* chain<T>(...parts: AsyncIterable<T>[]): AsyncGenerator<T> {
  for (const part of parts) yield* part;
}

const sharesOf = ({ data: { split } }: TrainingConfig): Ratios =>
  split.val > 0 ? { train: split.train, val: split.val } : { train: split.train };

/** Blocks at random to learn from, and in order to be judged by. */
function blocksOf(config: TrainingConfig, train: TokenSequence, val: TokenSequence | undefined, name: string) {
  const { batchSize, blockSize } = config.training;
  const options = { batchSize, blockSize, nextToken: true };
  const source = named(name, () => new TokenBlocks(train, { ...options, seed: config.seed }));
  const validation = val && ((fraction: number) => new SequentialBlocks(val, { ...options, fraction }));
  if (validation) named(`${name} (validation split)`, () => validation(1));
  return { source, validation };
}

const fingerprintOf = async ({ data }: TrainingConfig, source: TokenBlocks, content: Record<string, string>) =>
  sha256Hex(canonicalJson({ train: await source.fingerprint(), split: data.split, ...content }));

/** Text and where it came from. */
interface LoadedText {
  readonly text: string;
  readonly sources: readonly DataReference[];
  readonly hash: string;
}

/** Reads the text that `data` names; several files are joined in order. */
async function loadText({ data, seed }: TrainingConfig): Promise<LoadedText> {
  if (data.corpus !== undefined) {
    if (data.corpus !== "tales")
      throw new ConfigError(`config: data.corpus needs "tales", got ${JSON.stringify(data.corpus)}.`, {
        where: "data.corpus",
      });
    const text = tales({ seed, length: data.length ?? 1_000_000 });
    return { text, sources: [textReference("tales", text)], hash: sha256Hex(text) };
  }
  const sources: DataReference[] = [];
  let text = "";
  for (const place of placesOf(data.text)) {
    const source = await openPlace(place);
    const part = (await sourceText(source)).replace(/^\ufeff/, "");
    if (part.trim() === "")
      throw new DataError(`${source.name}: holds no text.`, {
        where: source.name,
        hint: "Give a file with at least a few thousand characters.",
      });
    sources.push(textReference(source.name, part));
    text += part;
  }
  return { text, sources, hash: hashOf(sources) };
}

function textReference(name: string, text: string): DataReference {
  const bytes = new TextEncoder().encode(text);
  return { name, size: bytes.length, sha256: sha256Hex(bytes) };
}

type Texts = readonly string[] | AsyncIterable<string>;

/** What ends texts where a config does not say: the first of these that the tokenizer knows. */
const END_TOKENS = ["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"];
/** … and what ends them where a tokenizer is made of characters or bytes. */
const END_TEXT = "\n";

/** The tokenizer a config names. A trained one learns from the training split alone; characters are those of all text. */
async function makeTokenizer({ tokenizer, data }: TrainingConfig, all: Texts, train: Texts): Promise<Tokenizer> {
  const ends = data.format !== undefined && data.endOfText !== null;
  if (tokenizer === "char") {
    const characters = new Set<string>(ends ? (data.endOfText ?? END_TEXT) : "");
    for await (const text of all) for (const character of text) characters.add(character);
    return charTokenizer([...characters].join(""));
  }
  if (tokenizer === "byte") return byteTokenizer();
  if (typeof tokenizer === "string") return loadTokenizer(tokenizer).catch((error) => notFound(tokenizer, error));
  const specialTokens = ends ? { specialTokens: [data.endOfText ?? END_TOKENS[0]] } : {};
  return trainTokenizer(train, { model: tokenizer.train, vocabSize: tokenizer.vocabSize, ...specialTokens });
}

/** Where no tokenizer could be read: was it meant to be one of those that need no file? */
function notFound(place: string, cause: unknown): never {
  // A path that leads nowhere says so; a word alone was meant as a name.
  const meant = nearest(place.replace(/^.*\//, ""), ["char", "byte", "bpe", "unigram", "wordpiece"]);
  if (!(cause instanceof DataError) || (meant === undefined && /[/\\.]/.test(place))) throw cause;
  throw new ConfigError(`config: tokenizer needs ${tokenizerSchema.expects}, got ${show(place)}.`, {
    where: "tokenizer",
    hint:
      meant === undefined
        ? "Names of other places are not looked up: download its tokenizer.json and give the path."
        : `Did you mean ${meant === "char" || meant === "byte" ? `"${meant}"` : `{ "train": "${meant}" }`}?`,
    cause,
  });
}

/** The id that ends documents and responses; undefined where the config wants none. */
function endOf({ data: { endOfText }, tokenizer: kind }: TrainingConfig, tokenizer: Tokenizer): number | undefined {
  if (endOfText === null) return undefined;
  const plain = kind === "char" || kind === "byte";
  const token = endOfText ?? (plain ? END_TEXT : END_TOKENS.find((each) => tokenizer.idOf(each) !== undefined));
  const ids =
    token === undefined ? [] : [tokenizer.idOf(token) ?? tokenizer.encode(token, { addSpecialTokens: false }).ids];
  const [id, ...more] = ids.flatMap((each) => (typeof each === "number" ? [each] : Array.from(each)));
  if (id !== undefined && more.length === 0) return id;
  const got = token === undefined ? `none of ${END_TOKENS.join(", ")} in the tokenizer` : JSON.stringify(token);
  throw new ConfigError(`config: data.endOfText needs a text that is one token, got ${got}.`, {
    where: "data.endOfText",
    hint: "Name a token of the tokenizer, or null where nothing should mark the end of texts.",
  });
}

/** Errors about too little text name the file. */
function named<T>(name: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (error instanceof DataError)
      throw new DataError(`${name}: ${error.message.replace(/^.*?: /, "")}`, {
        ...error.details,
        hint: undefined,
        where: name,
      });
    throw error;
  }
}
