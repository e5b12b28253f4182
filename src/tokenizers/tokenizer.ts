/** The tokenizer: text to ids and back. Made by `loadTokenizer`, a trainer, or one of the built-in ones. */

import { IndexError, TenonError } from "../core/errors.js";
import { canonicalJson } from "../core/json.js";
import { sha256Hex } from "../core/sha256.js";
import type { SaveTarget } from "../core/store.js";
import type { AddedTokens } from "./added-tokens.js";
import { checkBatch, checkDecode, checkEncode, checkIdBatch, sizeOfText } from "./arguments.js";
import type { ChatMessage, ChatOptions } from "./chat.js";
import { DecodeStream } from "./decode-stream.js";
import { type Decoder, decoders } from "./decoder.js";
import { identity, type TokenizerDefinition } from "./definition.js";
import { Encoding, type OffsetUnit, type Row } from "./encoding.js";
import type { Model } from "./models/model.js";
import { wellFormed } from "./offsets.js";
import { Pipeline } from "./pipeline.js";
import { addedCount, type PostProcessor, postProcessors, process, processIds } from "./post-processor.js";
import {
  cutIds,
  cutRows,
  type PaddingOptions,
  paddedLength,
  paddingOptions,
  padIds,
  padRow,
  type TruncationOptions,
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

const BOS_NAMES = ["<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>", "[BOS]", "<|endoftext|>"];
const EOS_NAMES = ["</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>", "[EOS]"];

/** Text to token ids and back: `loadTokenizer` reads one, `trainTokenizer` makes one. */
export class Tokenizer {
  private readonly pipeline: Pipeline;
  private readonly added: AddedTokens;
  private readonly postProcessor: PostProcessor[];
  private readonly decoder: Decoder | undefined;
  private hashCache: string | undefined;
  private sizeCache: number | undefined;

  /** Use `loadTokenizer` for files; `model` is made from `definition.model`, and the kinds of components are loaded. */
  constructor(
    private readonly definition: TokenizerDefinition,
    readonly model: Model,
    readonly extras: TokenizerExtras = {},
    /** The text of the file, where it is kept; workers are given it. */
    readonly source?: string,
  ) {
    const { post_processor, decoder } = definition;
    this.pipeline = new Pipeline(definition, model);
    this.added = this.pipeline.added;
    this.postProcessor = post_processor ? postProcessors.create(post_processor) : [];
    this.decoder = decoder ? decoders.create(decoder) : undefined;
  }

  /**
   * Ids of a text (or a pair), with tokens, offsets and masks. Lone surrogates count as U+FFFD, which has the same
   * length. Throws TokenizerErrors only for texts that the model cannot spell and that has no unknown token.
   */
  encode(text: string, options: EncodeOptions = {}): Encoding {
    checkEncode(text, options);
    return this.encoding(text, options);
  }

  /** `known`: the ids, where another thread has found them. */
  private encoding(text: string, options: EncodeOptions, known?: number[]): Encoding {
    const { textPair, addSpecialTokens = true, truncation, padding, offsetUnit = "utf16", dropoutSeed } = options;
    const texts = () => (textPair === undefined ? [text] : [text, textPair]).map(wellFormed);
    const added = () => (addSpecialTokens ? addedCount(this.postProcessor, textPair === undefined ? 1 : 2) : 0);
    const cut = truncationOptions(truncation, this.definition.truncation, added);
    const fill = paddingOptions(padding, this.definition.padding);
    const all = (): Row => {
      const row = this.encodeRow(texts(), addSpecialTokens, cut, offsetUnit, dropoutSeed);
      return fill ? padRow(row, paddedLength([row.ids.length], fill), fill) : row;
    };
    if (known !== undefined) return new Encoding(known, all);
    if (dropoutSeed !== undefined) {
      const row = all();
      return new Encoding(row.ids, () => row);
    }
    let parts = texts().map((part) => this.pipeline.ids(part));
    if (cut) parts = cutIds(parts, cut);
    const ids = processIds(this.postProcessor, parts, addSpecialTokens);
    return new Encoding(fill ? padIds(ids, paddedLength([ids.length], fill), fill) : ids, all);
  }

  /** Everything, with offsets. */
  private encodeRow(
    texts: string[],
    addSpecialTokens: boolean,
    cut: Required<TruncationOptions> | undefined,
    unit: OffsetUnit,
    dropoutSeed: number | undefined,
  ): Row {
    this.model.dropWith?.(dropoutSeed);
    let rows: Row[];
    try {
      rows = texts.map((text, sequence) => this.pipeline.row(text, sequence, unit));
    } finally {
      this.model.dropWith?.(undefined);
    }
    if (cut) rows = cutRows(rows, cut);
    return process(this.postProcessor, rows, addSpecialTokens);
  }

  /**
   * Encodes several texts; options as for `encode`, but `padding: true` pads to the longest of the batch where the file
   * does not say otherwise. Large batches are divided among workers, where the host has them. An error says at which
   * text it arose.
   */
  async encodeBatch(
    texts: readonly (string | readonly [string, string])[],
    options: EncodeOptions = {},
  ): Promise<Encoding[]> {
    checkBatch(texts);
    checkEncode("", options);
    const { padding, ...rest } = options;
    const fill = paddingOptions(padding, this.definition.padding);
    const encode = atText("encodeBatch", (i, known?: number[]) => {
      const text = texts[i];
      return typeof text === "string"
        ? this.encoding(text, rest, known)
        : this.encoding(text[0], { ...rest, textPair: text[1] }, known);
    });
    const size = texts.reduce((sum, text) => sum + sizeOfText(text), 0);
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
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    checkDecode(ids, options);
    const { skipSpecialTokens = true } = options;
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
    checkIdBatch(batch);
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
    return (await import("./chat-template.js")).renderChat(this, messages, options);
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

  /** What `console.log` shows in Node, instead of all tables. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return `Tokenizer(${this.definition.model.type ?? "BPE"}, ${this.vocabSize} tokens)`;
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
