/** Byte-pair encoding (Sennrich et al. 2016) with the options of Hugging Face's model of that name. */

import { FormatError, show } from "../../core/errors.js";
import type { Component } from "../definition.js";
import type { FastPath } from "../fast-path.js";
import { ObjectVocabulary, type Vocabulary } from "../vocabulary.js";
import { Merges } from "./merges.js";
import { byteLength, type Model, utf8Length, VocabularyModel } from "./model.js";

/** Ids may leave so many holes: there are tables of all of them. */
const MOST_HOLES = 1 << 20;

export const WHERE = "tokenizer.json model (BPE)";

/** Symbols are the characters of the vocabulary; others are left out. `SpelledBpe` has the rest of the options. */
export class Bpe extends VocabularyModel implements Model {
  readonly merges: Merges;
  readonly ignoreMerges: boolean;
  /** Probability of leaving a merge out, from the file; used only in encodings with a seed. */
  readonly dropout: number;
  /** Makes the random numbers of dropout; set where the file has dropout. */
  uniform: ((seed: number) => () => number) | undefined;
  /** Random numbers during an encoding with dropout. */
  private random: (() => number) | undefined;
  /** Ids of single units of the basic plane, -2 where not asked yet. */
  private readonly unitIds = new Int32Array(65536).fill(-2);
  /** The initial symbols of a piece, and how many bytes of it each stands for. */
  protected symbols = new Int32Array(256);
  protected symbolBytes = new Int32Array(256);

  /** `scanned`: the vocabulary and merges of these settings, where they were read off the file already. */
  constructor(settings: Component, scanned?: { vocabulary: Vocabulary; merges: Int32Array }) {
    super(scanned?.vocabulary ?? new ObjectVocabulary(settings.vocab, `${WHERE} vocab`));
    this.ignoreMerges = settings.ignore_merges === true;
    this.dropout = (settings.dropout as number | null | undefined) ?? 0;
    if (typeof this.dropout !== "number" || !(this.dropout >= 0 && this.dropout <= 1)) {
      throw new FormatError(`${WHERE}: dropout is a number from 0 to 1, got ${show(settings.dropout)}.`, {
        where: WHERE,
      });
    }
    const { isSymbol, prefixLength } = this.spelling(settings);
    const { bound, size } = this.vocabulary;
    if (bound > size + MOST_HOLES) {
      throw new FormatError(`${WHERE}: needs ids up to about the ${size} tokens of its vocab, got ${bound - 1}.`, {
        where: WHERE,
      });
    }
    const flags = new Uint8Array(bound);
    for (let id = 0; id < flags.length; id++) {
      const token = this.vocabulary.tokenOf(id);
      if (token !== undefined && isSymbol(token, id)) flags[id] = 1;
    }
    const pairs = scanned?.merges ?? this.readMerges(settings.merges, prefixLength);
    this.merges = new Merges(pairs, bound, (id) => flags[id] === 1);
  }

  /**
   * Reads how symbols are spelt: which tokens a text can begin with, before any merge, and how many characters a merge
   * drops of its second token.
   */
  protected spelling(_settings: Component): { isSymbol(token: string, id: number): boolean; prefixLength: number } {
    return { isSymbol: isOneCharacter, prefixLength: 0 };
  }

  /** Whether symbols are single characters of the vocabulary, without prefix or suffix. */
  get isPlain(): boolean {
    return true;
  }

  /** Ids of texts without a pre-tokenizer, where they may be cut. */
  get wholeTexts(): FastPath | undefined {
    return undefined;
  }

  dropWith(seed: number | undefined): void {
    this.random = seed === undefined ? undefined : this.uniform?.(seed);
  }

  /** Merges as three ids each: first, second, merged. */
  private readMerges(merges: unknown, prefixLength: number): Int32Array {
    if (!Array.isArray(merges)) {
      throw new FormatError(`${WHERE}: needs a list of merges, got ${show(merges)}.`, { where: WHERE });
    }
    const { vocabulary } = this;
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
      const rest = prefixLength === 0 ? second : second.slice(prefixLength);
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
          `${WHERE} merges[${i}]: needs tokens of the vocabulary, got ${show(missing)}, which is not in it.`,
          { where: WHERE, merge: i, token: missing },
        );
      }
      out[3 * i] = a;
      out[3 * i + 1] = b;
      out[3 * i + 2] = c;
    }
    return out;
  }

  encode(piece: string, ids: number[], spans?: number[]): void {
    if (piece === "") return;
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
  protected split(piece: string): number {
    this.makeRoom(piece.length);
    const { symbols, symbolBytes } = this;
    let count = 0;
    for (let i = 0; i < piece.length; i++) {
      const unit = piece.charCodeAt(i);
      const wide = unit >= 0xd800 && unit < 0xdc00 && i + 1 < piece.length;
      const id = wide ? (this.vocabulary.idOf(piece.slice(i, i + 2)) ?? -1) : this.idOfUnit(unit);
      if (wide) i++;
      if (id < 0) continue;
      symbols[count] = id;
      symbolBytes[count++] = utf8Length(wide ? 0x10000 : unit);
    }
    return count;
  }

  protected makeRoom(symbols: number): void {
    if (symbols <= this.symbols.length) return;
    this.symbols = new Int32Array(symbols * 2);
    this.symbolBytes = new Int32Array(symbols * 2);
  }

  /** The id of a character of one unit, or -1. */
  protected idOfUnit(unit: number): number {
    const id = this.unitIds[unit];
    return id === -2 ? (this.unitIds[unit] = this.vocabulary.idOf(String.fromCharCode(unit)) ?? -1) : id;
  }
}

export const isOneCharacter = (text: string): boolean =>
  text.length === 1 || (text.length === 2 && (text.codePointAt(0) as number) > 0xffff);

const badMerge = (index: number, merge: unknown) =>
  new FormatError(`${WHERE} merges[${index}]: needs two tokens, as "a b" or ["a", "b"], got ${show(merge)}.`, {
    where: WHERE,
    merge: index,
  });
