/** The tokenizer: text to ids and back. Made by `loadTokenizer`, a trainer, or one of the built-in ones. */

import { IndexError, TenonError } from "../core/errors.js";
import { canonicalJson } from "../core/json.js";
import type { SaveTarget } from "../core/platform.js";
import { Generator, randomUniform } from "../core/random.js";
import { sha256Hex } from "../core/sha256.js";
import { AddedTokens } from "./added-tokens.js";
import type { ChatMessage, ChatOptions } from "./chat-template.js";
import { DecodeStream } from "./decode-stream.js";
import { createDecoder, type Decoder } from "./decoders.js";
import type { TokenizerDefinition } from "./definition.js";
import { Encoding, emptyRow, type OffsetUnit, type Row } from "./encoding.js";
import { type FastPath, fastPath } from "./fast-path.js";
import { Bpe } from "./models/bpe.js";
import { IdBuffer } from "./models/byte-pieces.js";
import type { Model } from "./models/model.js";
import { createNormalizer, type Normalizer, normalize } from "./normalizers.js";
import { convertOffsets, wellFormed } from "./offsets.js";
import { Piece } from "./piece.js";
import { addedCount, createPostProcessor, type PostProcessor, plain, process, processIds } from "./post-processors.js";
import { createPreTokenizer, type PreTokenizer } from "./pre-tokenizers.js";
import {
  type PaddingOptions,
  paddedLength,
  paddingOptions,
  padIds,
  padRow,
  type TruncationOptions,
  truncate,
  truncationOptions,
} from "./truncation.js";

export interface EncodeOptions {
  /** A second text, joined to the first by the post-processor's template for pairs. */
  textPair?: string;
  /** Add the tokens of the post-processor (`[CLS]`, `<s>`, …); true unless told. */
  addSpecialTokens?: boolean;
  /** true: as the file says; a number: that many tokens at most; off unless told. */
  truncation?: boolean | number | TruncationOptions;
  /** true: as the file says; off unless told. */
  padding?: boolean | PaddingOptions;
  /** What offsets count: UTF-16 units (JavaScript's string indices) unless told. */
  offsetUnit?: OffsetUnit;
  /** Seed of BPE dropout; without it merges are never left out. */
  dropoutSeed?: number;
}

export interface DecodeOptions {
  /** Leave special tokens out; true unless told. */
  skipSpecialTokens?: boolean;
}

/** Facts from files beside `tokenizer.json`. */
export interface TokenizerExtras {
  bosToken?: string;
  eosToken?: string;
  chatTemplate?: string | { name: string; template: string }[];
  /** All of `tokenizer_config.json`. */
  config?: Record<string, unknown>;
}

/** A token of `tokenizer_config.json`, which is a text or an object that holds it. */
export const tokenText = (value: unknown): string | undefined =>
  typeof value === "string" ? value : (value as { content?: string } | null | undefined)?.content;

const BOS_NAMES = ["<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>", "[BOS]", "<|endoftext|>"];
const EOS_NAMES = ["</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>", "[EOS]"];

export class Tokenizer {
  private readonly definition: TokenizerDefinition;
  readonly model: Model;
  private readonly added: AddedTokens;
  private readonly normalizer: Normalizer | undefined;
  private readonly preTokenizer: PreTokenizer | undefined;
  private readonly postProcessor: PostProcessor;
  private readonly decoder: Decoder | undefined;
  /** Ids alone; with `normalizesWords` it takes the text as it is and normalizes word by word. */
  private readonly fast: FastPath | undefined;
  private readonly normalizesWords: boolean;
  /** Whether the pre-tokenizer asks where in the original text a piece begins. */
  private readonly needsOrigin: boolean;
  private hashCache: string | undefined;
  private sizeCache: number | undefined;

  /** Use `loadTokenizer` for files; `model` is made from `definition.model`. */
  constructor(
    definition: TokenizerDefinition,
    model: Model,
    readonly extras: TokenizerExtras = {},
  ) {
    this.definition = definition;
    this.model = model;
    const { normalizer, pre_tokenizer, post_processor, decoder } = definition;
    this.normalizer = normalizer ? createNormalizer(normalizer) : undefined;
    this.preTokenizer = pre_tokenizer ? createPreTokenizer(pre_tokenizer) : undefined;
    this.postProcessor = post_processor ? createPostProcessor(post_processor) : plain;
    this.decoder = decoder ? createDecoder(decoder) : undefined;
    this.added = new AddedTokens(
      definition.added_tokens ?? [],
      model,
      (content) => this.normalizer?.text(content) ?? content,
    );
    const byWord =
      this.normalizer?.local && !this.added.anyNormalized ? fastPath(pre_tokenizer, model, this.normalizer) : undefined;
    this.needsOrigin = this.normalizer !== undefined && JSON.stringify(pre_tokenizer ?? null).includes('"first"');
    this.normalizesWords = byWord !== undefined;
    this.fast = byWord ?? fastPath(pre_tokenizer, model);
  }

  /**
   * Ids of a text (or a pair), with tokens, offsets and masks. Lone surrogates count as U+FFFD, which has the same
   * length. Throws TokenizerErrors only for texts that the model cannot spell and that has no unknown token.
   */
  encode(text: string, options: EncodeOptions = {}): Encoding {
    return this.encoding(text, options);
  }

  /** `known`: the ids, where another thread has found them. */
  private encoding(text: string, options: EncodeOptions, known?: number[]): Encoding {
    const { textPair, addSpecialTokens = true, truncation, padding, offsetUnit = "utf16", dropoutSeed } = options;
    const texts = () => (textPair === undefined ? [text] : [text, textPair]).map(wellFormed);
    const cut = truncationOptions(truncation, this.definition.truncation);
    const fill = paddingOptions(padding, this.definition.padding);
    const all = (): Row => {
      const row = this.encodeRow(texts(), addSpecialTokens, cut, offsetUnit, dropoutSeed);
      return fill ? padRow(row, paddedLength([row.ids.length], fill), fill) : row;
    };
    if (known !== undefined) return new Encoding(known, all);
    if (cut || fill || dropoutSeed !== undefined) {
      const row = all();
      return new Encoding(row.ids, () => row);
    }
    const parts = texts().map((part) => this.encodeIds(part));
    return new Encoding(processIds(this.postProcessor, parts, addSpecialTokens), all);
  }

  /** Ids of one text without the post-processor's tokens. */
  private encodeIds(text: string): number[] {
    const { fast } = this;
    const whole = new Piece(text, 0, this.needsOrigin);
    if (fast !== undefined) {
      const out = new IdBuffer();
      const parts = this.normalizesWords ? this.added.splitOriginal(whole) : this.parts(whole);
      for (const part of parts) {
        if (part.token !== undefined) out.push(part.token);
        else fast(part.text, out);
      }
      return out.toArray();
    }
    const ids: number[] = [];
    for (const piece of this.pieces(whole)) {
      if (piece.token !== undefined) ids.push(piece.token);
      else this.model.encode(piece.text, ids);
    }
    return ids;
  }

  /** Everything, with offsets. */
  private encodeRow(
    texts: string[],
    addSpecialTokens: boolean,
    cut: TruncationOptions | undefined,
    unit: OffsetUnit,
    dropoutSeed: number | undefined,
  ): Row {
    const random = dropoutSeed === undefined ? undefined : uniform(dropoutSeed);
    let rows = texts.map((text, sequence) => this.trackedRow(text, sequence, unit, random));
    if (cut) {
      const added = addSpecialTokens ? addedCount(this.postProcessor, texts.length > 1) : 0;
      rows = truncate(rows, { ...cut, maxLength: Math.max(0, cut.maxLength - added) });
    }
    return process(this.postProcessor, rows, addSpecialTokens);
  }

  private trackedRow(text: string, sequence: number, unit: OffsetUnit, random: (() => number) | undefined): Row {
    const row = emptyRow();
    const bpe = this.model instanceof Bpe ? this.model : undefined;
    if (bpe) bpe.random = bpe.dropout > 0 ? random : undefined;
    this.pieces(new Piece(text)).forEach((piece, word) => {
      const first = row.ids.length;
      if (piece.token !== undefined) {
        row.ids.push(piece.token);
        row.tokens.push(piece.text);
        row.offsets.push(piece.range(0, piece.text.length));
      } else {
        const spans: number[] = [];
        this.model.encode(piece.text, row.ids, spans);
        const unitOf = bytesToUnits(piece.text);
        for (let i = first; i < row.ids.length; i++) {
          const at = 2 * (i - first);
          const start = unitOf(spans[at], false);
          const end = unitOf(spans[at + 1], true);
          const id = row.ids[i];
          row.offsets.push(piece.range(start, end));
          row.tokens.push(
            id === this.model.verbatimId ? piece.text.slice(start, end) : (this.model.tokenOf(id) as string),
          );
        }
      }
      for (let i = first; i < row.ids.length; i++) row.wordIds.push(word);
    });
    if (bpe) bpe.random = undefined;
    if (unit !== "utf16") convertOffsets(row.offsets, text, unit);
    row.typeIds = row.ids.map(() => sequence);
    row.sequenceIds = row.ids.map(() => sequence);
    row.attentionMask = row.ids.map(() => 1);
    row.specialTokensMask = row.ids.map(() => 0);
    return row;
  }

  /** A text, normalized and cut at added tokens. */
  private parts(whole: Piece): Piece[] {
    const out: Piece[] = [];
    for (const part of this.added.splitOriginal(whole)) {
      if (part.token !== undefined) {
        out.push(part);
        continue;
      }
      if (this.normalizer) normalize(part, this.normalizer);
      for (const piece of this.added.splitNormalized(part)) out.push(piece);
    }
    return out;
  }

  /** The parts, cut into the pieces that the model sees. */
  private pieces(whole: Piece): Piece[] {
    const { preTokenizer } = this;
    if (preTokenizer === undefined) return this.parts(whole);
    const out: Piece[] = [];
    for (const part of this.parts(whole)) {
      if (part.token !== undefined) out.push(part);
      else for (const piece of preTokenizer(part)) if (piece.text !== "") out.push(piece);
    }
    return out;
  }

  /**
   * Encodes several texts; padding and truncation as for `encode`, padding to the longest of the batch. Large batches
   * are divided among workers, where the host has them. An error says at which text it arose.
   */
  async encodeBatch(
    texts: readonly (string | readonly [string, string])[],
    options: EncodeOptions = {},
  ): Promise<Encoding[]> {
    const { padding, ...rest } = options;
    const fill = paddingOptions(padding, this.definition.padding);
    const encode = atText("encodeBatch", (i, known?: number[]) => {
      const text = texts[i];
      return typeof text === "string"
        ? this.encoding(text, rest, known)
        : this.encoding(text[0], { ...rest, textPair: text[1] }, known);
    });
    const size = texts.reduce(
      (sum, text) => sum + (typeof text === "string" ? text.length : text[0].length + text[1].length),
      0,
    );
    const encodings =
      size < APART
        ? texts.map((_, i) => encode(i))
        : await (await import("./batch.js")).encodeApart(this, texts, rest, encode);
    if (!fill) return encodings;
    const length = paddedLength(
      encodings.map((encoding) => encoding.length),
      fill,
    );
    return encodings.map(
      (encoding) => new Encoding(padIds(encoding.ids, length, fill), () => padRow(encoding.row(), length, fill)),
    );
  }

  /** Text of the ids. Throws IndexError for an id that does not exist. */
  decode(ids: ArrayLike<number>, { skipSpecialTokens = true }: DecodeOptions = {}): string {
    const tokens: string[] = [];
    for (let i = 0; i < ids.length; i++) {
      const token = this.tokenOf(ids[i]);
      if (token === undefined) {
        throw new IndexError(`decode: ids are tokens of the vocabulary, got ${ids[i]} at position ${i}.`, {
          where: "decode",
          id: ids[i],
          position: i,
          hint: `The highest id is ${this.idBound - 1}.`,
        });
      }
      if (!skipSpecialTokens || !this.added.isSpecial(token)) tokens.push(token);
    }
    return this.decoder ? this.decoder(tokens).join("") : tokens.join(" ");
  }

  /** Texts of several lists of ids, by workers where there are many. An error says at which list it arose. */
  async decodeBatch(batch: readonly ArrayLike<number>[], options: DecodeOptions = {}): Promise<string[]> {
    const decode = atText("decodeBatch", (i) => this.decode(batch[i], options));
    const size = batch.reduce((sum, ids) => sum + ids.length, 0);
    if (size < APART) return batch.map((_, i) => decode(i));
    const { decodeApart } = await import("./batch.js");
    return decodeApart(this, batch, options, decode);
  }

  /** Decodes ids one at a time, never handing out half a character. */
  decodeStream(options: DecodeOptions = {}): DecodeStream {
    return new DecodeStream(this, options);
  }

  /**
   * The text of a conversation by the tokenizer's chat template, or its ids with `tokenize: true`. Needs the optional
   * package `@huggingface/jinja`.
   */
  applyChatTemplate(messages: ChatMessage[], options: ChatOptions & { tokenize: true }): Promise<number[]>;
  applyChatTemplate(messages: ChatMessage[], options?: ChatOptions & { tokenize?: false }): Promise<string>;
  async applyChatTemplate(messages: ChatMessage[], options: ChatOptions = {}): Promise<string | number[]> {
    return (await import("./chat-template.js")).applyChatTemplate(this, messages, options);
  }

  /** Number of different tokens, added ones included. */
  get vocabSize(): number {
    this.sizeCache ??=
      this.model.size + this.added.list.filter((token) => this.model.idOf(token.content) === undefined).length;
    return this.sizeCache;
  }

  /** One more than the highest id: rows that an embedding needs. Equals `vocabSize` where ids have no holes. */
  get idBound(): number {
    return this.added.list.reduce((bound, token) => Math.max(bound, token.id + 1), this.model.bound);
  }

  /** The id of a token as the file spells it, or undefined. */
  idOf(token: string): number | undefined {
    return this.added.idOf(token) ?? this.model.idOf(token);
  }

  /** The token of an id as the file spells it, or undefined. */
  tokenOf(id: number): string | undefined {
    return this.added.tokenOf(id) ?? this.model.tokenOf(id);
  }

  /** Whether decode leaves this id out by default. */
  isSpecial(id: number): boolean {
    const token = this.tokenOf(id);
    return token !== undefined && this.added.isSpecial(token);
  }

  /** The id that begins a text, where the files name one or a well-known token exists. */
  get bosId(): number | undefined {
    return this.specialId(this.extras.bosToken, BOS_NAMES);
  }

  /** The id that ends a text, where the files name one or a well-known token exists. */
  get eosId(): number | undefined {
    return this.specialId(this.extras.eosToken, EOS_NAMES);
  }

  private specialId(named: string | undefined, names: string[]): number | undefined {
    if (named !== undefined) return this.idOf(named);
    for (const name of names) if (this.added.isSpecial(name)) return this.idOf(name);
    return undefined;
  }

  /** SHA-256 of what decides ids, as 64 hex digits: everything in the file but truncation, padding and decoder. */
  get hash(): string {
    this.hashCache ??= sha256Hex(canonicalJson(identity(this.definition)));
    return this.hashCache;
  }

  /** The `tokenizer.json` as an object, not a copy; `JSON.stringify(tokenizer)` is its text. */
  toJSON(): TokenizerDefinition {
    return this.definition;
  }

  /**
   * Writes a `tokenizer.json` that Hugging Face's library loads and that encodes alike: to a path that ends in
   * `.json`, or into a folder (a path or `{ store, folder }`), there with `tokenizer_config.json` if it is known.
   */
  async save(target: SaveTarget): Promise<void> {
    await (await import("./save.js")).saveTokenizer(this, target);
  }
}

/** Batches of more UTF-16 units, or of more ids to decode, go through `batch.ts`. Measured: docs/decisions.md. */
const APART = 1 << 19;

/** Errors of a batch say at which text they arose, in the message and in the field `index`. */
const atText =
  <A extends unknown[], T>(where: string, work: (index: number, ...rest: A) => T) =>
  (index: number, ...rest: A): T => {
    try {
      return work(index, ...rest);
    } catch (error) {
      if (error instanceof TenonError) {
        error.inModule(`${where}, text ${index}`);
        Object.assign(error, { index });
      }
      throw error;
    }
  };

/** The parts of a definition that decide ids. */
function identity(definition: TokenizerDefinition): unknown {
  const { added_tokens = [], normalizer = null, pre_tokenizer = null, post_processor = null, model } = definition;
  // Merges are written in two ways that mean the same.
  const merges = (model.merges as unknown[] | undefined)?.map((merge) =>
    typeof merge === "string" ? merge.split(" ") : merge,
  );
  return { added_tokens, normalizer, pre_tokenizer, post_processor, model: { ...model, merges } };
}

/** Uniform numbers in [0, 1) from the stream "bpe-dropout" of a seed. */
function uniform(seed: number): () => number {
  const generator = new Generator(seed);
  let block: Float32Array = new Float32Array(0);
  let at = 0;
  return () => {
    if (at === block.length) {
      block = randomUniform(generator.next("bpe-dropout"), 1024);
      at = 0;
    }
    return block[at++];
  };
}

/** From positions in UTF-8 to positions in UTF-16; inside a character the start or the end of it. */
function bytesToUnits(text: string): (byte: number, end: boolean) => number {
  let ascii = true;
  for (let i = 0; i < text.length && ascii; i++) ascii = text.charCodeAt(i) < 0x80;
  if (ascii) return (byte) => Math.min(byte, text.length);
  const starts: number[] = [];
  const ends: number[] = [0];
  let at = 0;
  for (const character of text) {
    const code = character.codePointAt(0) as number;
    const next = at + character.length;
    for (let bytes = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4; bytes > 0; bytes--) {
      starts.push(at);
      ends.push(next);
    }
    at = next;
  }
  return (byte, end) => (end ? (ends[byte] ?? at) : (starts[byte] ?? at));
}
