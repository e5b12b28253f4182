/** Byte-pair encoding (Sennrich et al. 2016) with the options of Hugging Face's model of that name. */

import { ConfigError, FormatError } from "../../core/errors.js";
import type { Component } from "../definition.js";
import { describe, Vocabulary } from "../vocabulary.js";
import { Merges } from "./merges.js";
import { byteLength, type Model, utf8Length } from "./model.js";

/** Pieces longer than this are not kept in the cache. */
const CACHED_LENGTH = 256;
const CACHED_PIECES = 1 << 17;

interface CachedPiece {
  ids: number[];
  spans: number[] | undefined;
}

const utf8 = new TextEncoder();
const WHERE = "tokenizer.json model (BPE)";

export class Bpe implements Model {
  private readonly vocabulary: Vocabulary;
  readonly merges: Merges;
  private readonly prefix: string;
  private readonly suffix: string;
  private readonly unknown: number;
  private readonly unknownToken: string | undefined;
  private readonly fuseUnknown: boolean;
  private readonly byteFallback: boolean;
  readonly ignoreMerges: boolean;
  /** Probability of leaving a merge out, from the file; used only in encodings with a seed. */
  readonly dropout: number;
  /** Makes the random numbers of dropout; set where the file has dropout. */
  uniform: ((seed: number) => () => number) | undefined;
  /** Random numbers during an encoding with dropout. */
  private random: (() => number) | undefined;
  private readonly cache = new Map<string, CachedPiece>();
  /** Ids of single units of the basic plane, -2 where not asked yet. */
  private readonly unitIds = new Int32Array(65536).fill(-2);
  private readonly byteIds: Int32Array | undefined;
  private symbols = new Int32Array(256);
  private symbolBytes = new Int32Array(256);

  constructor(settings: Component) {
    this.vocabulary = new Vocabulary(settings.vocab, `${WHERE} vocab`);
    this.prefix = text(settings, "continuing_subword_prefix") ?? "";
    this.suffix = text(settings, "end_of_word_suffix") ?? "";
    this.unknownToken = text(settings, "unk_token");
    this.unknown = this.unknownToken === undefined ? -1 : (this.vocabulary.idOf(this.unknownToken) ?? -1);
    this.fuseUnknown = settings.fuse_unk === true;
    this.byteFallback = settings.byte_fallback === true;
    this.ignoreMerges = settings.ignore_merges === true;
    this.dropout = (settings.dropout as number | null | undefined) ?? 0;
    if (typeof this.dropout !== "number" || !(this.dropout >= 0 && this.dropout <= 1)) {
      throw new FormatError(`${WHERE}: dropout is a number from 0 to 1, got ${describe(settings.dropout)}.`, {
        where: WHERE,
      });
    }
    if (this.byteFallback) {
      this.byteIds = Int32Array.from({ length: 256 }, (_, byte) => this.vocabulary.idOf(byteToken(byte)) ?? -1);
    }
    this.merges = new Merges(this.readMerges(settings.merges), this.vocabulary.bound, this.symbolTest());
  }

  /** Whether symbols are single characters of the vocabulary, without prefix or suffix. */
  get isPlain(): boolean {
    return this.prefix === "" && this.suffix === "";
  }
  get size(): number {
    return this.vocabulary.size;
  }
  get bound(): number {
    return this.vocabulary.bound;
  }
  idOf(token: string): number | undefined {
    return this.vocabulary.idOf(token);
  }
  tokenOf(id: number): string | undefined {
    return this.vocabulary.tokenOf(id);
  }
  entries(): Iterable<[string, number]> {
    return this.vocabulary.entries();
  }

  dropWith(seed: number | undefined): void {
    this.random = seed === undefined ? undefined : this.uniform?.(seed);
  }

  /** Merges as three ids each: first, second, merged. */
  private readMerges(merges: unknown): Int32Array {
    if (!Array.isArray(merges)) {
      throw new FormatError(`${WHERE}: needs a list of merges, got ${describe(merges)}.`, { where: WHERE });
    }
    const { vocabulary, prefix } = this;
    const out = new Int32Array(merges.length * 3);
    // Files list tokens in the order of their merges: the next one is often the one after the last.
    let guess = -1;
    for (let i = 0; i < merges.length; i++) {
      const merge = merges[i];
      let first: string;
      let second: string;
      if (typeof merge === "string") {
        const space = merge.indexOf(" ");
        first = merge.slice(0, space);
        second = merge.slice(space + 1);
        if (space < 0 || second.includes(" ")) throw badMerge(i, merge);
      } else {
        if (!Array.isArray(merge) || merge.length !== 2) throw badMerge(i, merge);
        [first, second] = merge;
        if (typeof first !== "string" || typeof second !== "string") throw badMerge(i, merge);
      }
      // Hugging Face drops as many characters as the prefix has bytes; prefixes are ASCII in practice.
      const rest = prefix === "" ? second : second.slice(prefix.length);
      const a = vocabulary.idOf(first);
      const b = vocabulary.idOf(second);
      const next = vocabulary.tokenOf(++guess);
      const guessed =
        next !== undefined &&
        next.length === first.length + rest.length &&
        next.startsWith(first) &&
        next.endsWith(rest);
      const c = guessed ? guess : vocabulary.idOf(first + rest);
      if (c !== undefined) guess = c;
      if (a === undefined || b === undefined || c === undefined) {
        const missing = a === undefined ? first : b === undefined ? second : first + rest;
        throw new FormatError(
          `${WHERE} merges[${i}]: needs tokens of the vocabulary, got ${JSON.stringify(missing)}, which is not in it.`,
          { where: WHERE, merge: i, token: missing },
        );
      }
      out[3 * i] = a;
      out[3 * i + 1] = b;
      out[3 * i + 2] = c;
    }
    return out;
  }

  /** Tokens that a text can begin with, before any merge. */
  private symbolTest(): (id: number) => boolean {
    const flags = new Uint8Array(this.vocabulary.bound);
    for (let id = 0; id < flags.length; id++) {
      const token = this.vocabulary.tokenOf(id);
      if (token === undefined) continue;
      if (this.prefix === "" && this.suffix === "") {
        if (token.length <= 2 && isOneCharacter(token)) flags[id] = 1;
        continue;
      }
      const core = this.suffix !== "" && token.endsWith(this.suffix) ? token.slice(0, -this.suffix.length) : token;
      const bare = this.prefix !== "" && core.startsWith(this.prefix) ? core.slice(this.prefix.length) : core;
      if (isOneCharacter(token) || isOneCharacter(core) || isOneCharacter(bare)) flags[id] = 1;
    }
    if (this.unknown >= 0) flags[this.unknown] = 1;
    for (const id of this.byteIds ?? []) if (id >= 0) flags[id] = 1;
    return (id) => flags[id] === 1;
  }

  encode(piece: string, ids: number[], spans?: number[]): void {
    if (piece === "") return;
    if (this.random !== undefined || piece.length > CACHED_LENGTH) {
      this.encodeWhole(piece, ids, spans);
      return;
    }
    let cached = this.cache.get(piece);
    if (cached === undefined || (spans !== undefined && cached.spans === undefined)) {
      cached = { ids: [], spans: spans && [] };
      this.encodeWhole(piece, cached.ids, cached.spans);
      if (this.cache.size >= CACHED_PIECES) this.cache.clear();
      this.cache.set(piece, cached);
    }
    for (let i = 0; i < cached.ids.length; i++) ids.push(cached.ids[i]);
    if (spans !== undefined) for (const end of cached.spans as number[]) spans.push(end);
  }

  private encodeWhole(piece: string, ids: number[], spans: number[] | undefined): void {
    if (this.ignoreMerges && this.random === undefined) {
      const id = this.vocabulary.idOf(piece);
      if (id !== undefined) {
        ids.push(id);
        spans?.push(0, byteLength(piece));
        return;
      }
    }
    this.encodeFresh(piece, ids, spans);
  }

  private encodeFresh(piece: string, ids: number[], spans: number[] | undefined): void {
    const count = this.split(piece);
    const { symbols, merges } = this;
    let found: { tokens: Int32Array; count: number };
    if (this.random !== undefined) {
      const { random, dropout } = this;
      found = merges.mergeByRank(symbols, count, () => random() < dropout);
    } else {
      found = merges.encode(symbols, count);
    }
    for (let i = 0; i < found.count; i++) ids.push(found.tokens[i]);
    if (spans === undefined) return;
    let symbol = 0;
    let end = 0;
    for (let i = 0; i < found.count; i++) {
      spans.push(end);
      const span = merges.spanOf(i, found.tokens[i]);
      for (let k = 0; k < span; k++) end += this.symbolBytes[symbol++];
      spans.push(end);
    }
  }

  /** Fills `symbols` and `symbolBytes` with the initial symbols of a piece and returns how many they are. */
  private split(piece: string): number {
    const room = piece.length * (3 + 3 * this.prefix.length) + 3 * this.suffix.length;
    if (room > this.symbols.length) {
      this.symbols = new Int32Array(room * 2);
      this.symbolBytes = new Int32Array(room * 2);
    }
    const { symbols, symbolBytes } = this;
    const plain = this.prefix === "" && this.suffix === "";
    let count = 0;
    let unknownBytes = 0;
    const flush = () => {
      if (unknownBytes === 0) return;
      symbols[count] = this.unknown;
      symbolBytes[count++] = unknownBytes;
      unknownBytes = 0;
    };
    for (let i = 0; i < piece.length; ) {
      const unit = piece.charCodeAt(i);
      const wide = unit >= 0xd800 && unit < 0xdc00 && i + 1 < piece.length;
      const next = i + (wide ? 2 : 1);
      const bytes = utf8Length(wide ? 0x10000 : unit);
      let id: number;
      if (plain && !wide) {
        id = this.unitIds[unit];
        if (id === -2) id = this.unitIds[unit] = this.vocabulary.idOf(piece[i]) ?? -1;
      } else {
        id = this.vocabulary.idOf(this.spelling(piece, i, next)) ?? -1;
      }
      if (id >= 0) {
        if (unknownBytes > 0) flush();
        symbols[count] = id;
        symbolBytes[count++] = bytes;
      } else {
        const added =
          this.byteIds === undefined
            ? 0
            : this.fallback(plain ? piece.slice(i, next) : this.spelling(piece, i, next), count);
        count += added;
        if (added === 0 && this.unknownToken !== undefined) {
          if (this.unknown < 0) {
            throw new ConfigError(`${WHERE}: needs the unknown token in its vocabulary, got ${this.unknownToken}.`, {
              where: WHERE,
            });
          }
          if (!this.fuseUnknown) flush();
          unknownBytes += bytes;
        }
      }
      i = next;
    }
    flush();
    return count;
  }

  /** How the vocabulary spells the character `piece[start, end)`, with prefix and suffix by its place. */
  private spelling(piece: string, start: number, end: number): string {
    return (start > 0 ? this.prefix : "") + piece.slice(start, end) + (end === piece.length ? this.suffix : "");
  }

  /** Writes a character as byte tokens at `symbols[at]`; 0 when one of them is missing. */
  private fallback(character: string, at: number): number {
    const bytes = utf8.encode(character);
    const ids = this.byteIds as Int32Array;
    for (let i = 0; i < bytes.length; i++) {
      if (ids[bytes[i]] < 0) return 0;
      this.symbols[at + i] = ids[bytes[i]];
      this.symbolBytes[at + i] = 1;
    }
    return bytes.length;
  }
}

/** The token that stands for one byte: `<0x0A>`. */
export const byteToken = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;

const isOneCharacter = (text: string): boolean =>
  text.length === 1 || (text.length === 2 && (text.codePointAt(0) as number) > 0xffff);

const badMerge = (index: number, merge: unknown) =>
  new FormatError(
    `${WHERE} merges[${index}]: needs two tokens, as "a b" or ["a", "b"], got ${JSON.stringify(merge)?.slice(0, 80)}.`,
    { where: WHERE, merge: index },
  );

/** A setting that is a string, or null, or missing. */
function text(settings: Component, name: string): string | undefined {
  const value = settings[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string") return value;
  throw new FormatError(`${WHERE}: ${name} is a string or null, got ${describe(value)}.`, { where: WHERE });
}
