/** Unigram language model (Kudo 2018): the most probable way to cut a piece into tokens, found by dynamic programming. */

import { FormatError, show } from "../../core/errors.js";
import type { Component } from "../definition.js";
import { byteLength, byteToken, type Model } from "./model.js";
import { Trie } from "./trie.js";

const WHERE = "tokenizer.json model (Unigram)";
/** How much less probable than the least probable token an unknown character is. */
const UNKNOWN_PENALTY = 10;
const BYTE_TOKEN = /^<0x[0-9A-F]{2}>$/;

const utf8 = /* @__PURE__ */ new TextEncoder();

export class Unigram implements Model {
  private readonly tokens: string[] = [];
  private readonly scores: Float64Array;
  private readonly ids = new Map<string, number>();
  private readonly trie: Trie;
  /** Of a `.model` file: sums are rounded to 32 bits, which decides between ways of equal scores. */
  private readonly single: boolean;
  private readonly unknown: number;
  private readonly unknownScore: number;
  private readonly byteIds: (number | undefined)[] | undefined;
  private best = new Float64Array(257);
  private from = new Int32Array(257);
  private last = new Int32Array(257);
  private ends = new Int32Array(257);

  constructor(settings: Component) {
    const { vocab, unk_id, byte_fallback } = settings;
    this.single = settings.sentencepiece === true;
    /** SentencePiece never finds these in a text. */
    const isReserved = (token: string, id: number) =>
      this.single && (id === unk_id || (byte_fallback === true && BYTE_TOKEN.test(token)));
    if (!Array.isArray(vocab)) {
      throw new FormatError(`${WHERE}: needs a list of [token, score], got ${show(vocab)}.`, { where: WHERE });
    }
    this.scores = new Float64Array(vocab.length);
    this.trie = new Trie(vocab.length * 4);
    let lowest = Number.POSITIVE_INFINITY;
    vocab.forEach((entry, id) => {
      if (!Array.isArray(entry) || typeof entry[0] !== "string" || typeof entry[1] !== "number") {
        throw new FormatError(`${WHERE} vocab[${id}]: needs [token, score], got ${show(entry)}.`, {
          where: WHERE,
          id,
        });
      }
      const [token, score] = entry;
      this.tokens.push(token);
      this.scores[id] = score;
      this.ids.set(token, id);
      if (!isReserved(token, id)) this.trie.addText(token, id);
      lowest = Math.min(lowest, score);
    });
    if (unk_id !== undefined && unk_id !== null && !(Number.isInteger(unk_id) && (unk_id as number) in this.tokens)) {
      throw new FormatError(`${WHERE}: unk_id is a token's id or null, got ${show(unk_id)}.`, { where: WHERE });
    }
    this.unknown = (unk_id as number | null | undefined) ?? -1;
    this.unknownScore = this.rounded(lowest - UNKNOWN_PENALTY);
    if (byte_fallback === true) {
      this.byteIds = Array.from({ length: 256 }, (_, byte) => this.ids.get(byteToken(byte)));
    }
  }

  /** A token that is listed twice counts twice, as Hugging Face's library has it: added tokens are numbered on from here. */
  get size(): number {
    return this.tokens.length;
  }
  get bound(): number {
    return this.tokens.length;
  }
  get verbatimId(): number {
    return this.unknown;
  }
  idOf(token: string): number | undefined {
    return this.ids.get(token);
  }
  tokenOf(id: number): string | undefined {
    return this.tokens[id];
  }
  entries(): Iterable<[string, number]> {
    return this.ids;
  }

  encode(piece: string, ids: number[], spans?: number[]): void {
    let at = 0;
    let byte = 0;
    let k = this.cut(piece);
    const { last, ends } = this;
    while (k-- > 0) {
      const end = ends[k];
      const id = last[end];
      if (id !== this.unknown && spans === undefined) ids.push(id);
      else {
        const first = ids.length;
        if (id === this.unknown) this.pushUnknown(piece, at, end, ids);
        else ids.push(id);
        if (spans !== undefined) {
          const start = byte;
          byte += byteLength(piece.slice(at, end));
          for (let i = first; i < ids.length; i++) spans.push(start, byte);
        }
      }
      at = end;
    }
  }

  /** Unknown characters in a row may be a token that no path goes through. */
  private pushUnknown(piece: string, start: number, end: number, ids: number[]): void {
    const id = this.find(piece, start, end);
    if (id < 0 && this.byteIds !== undefined) {
      const found = this.fallback(piece.slice(start, end));
      if (found !== undefined) {
        for (const token of found) ids.push(token);
        return;
      }
    }
    if (id < 0 && this.unknown < 0) {
      throw new FormatError(`${WHERE}: needs an unk_id to encode ${show(piece.slice(start, end))}, got none.`, {
        where: WHERE,
        piece,
      });
    }
    ids.push(id < 0 ? this.unknown : id);
  }

  /** The token that is spelt `piece[start, end)`, or -1. */
  private find(piece: string, start: number, end: number): number {
    // The trie lacks tokens that SentencePiece does not look for.
    if (this.single) return this.ids.get(piece.slice(start, end)) ?? -1;
    let slot = -1;
    for (let i = start, node = 0; i < end; i++) {
      slot = this.trie.find(node, piece.charCodeAt(i));
      if (slot < 0) return -1;
      node = this.trie.child(slot);
    }
    return this.trie.value(slot);
  }

  private rounded(score: number): number {
    return this.single ? Math.fround(score) : score;
  }

  /** The byte tokens of a text, where the model has all of them. */
  private fallback(text: string): number[] | undefined {
    if (this.byteIds === undefined) return undefined;
    const found: number[] = [];
    for (const byte of utf8.encode(text)) {
      const id = this.byteIds[byte];
      if (id === undefined) return undefined;
      found.push(id);
    }
    return found;
  }

  /** Fills `ends`, last first, with the tokens of the best path, unknown neighbours taken together; says how many. */
  private cut(piece: string): number {
    const { length } = piece;
    if (length >= this.best.length) {
      this.best = new Float64Array(length * 2);
      this.from = new Int32Array(length * 2);
      this.last = new Int32Array(length * 2);
      this.ends = new Int32Array(length * 2);
    }
    const { best, from, last, trie, scores, unknown } = this;
    from.fill(-1, 0, length + 1);
    best[0] = 0;
    for (let start = 0; start < length; ) {
      const here = best[start];
      const unit = piece.charCodeAt(start);
      const next = start + (unit >= 0xd800 && unit < 0xdc00 ? 2 : 1);
      let single = false;
      let node = 0;
      for (let end = start; end < length; ) {
        const slot = trie.find(node, piece.charCodeAt(end));
        if (slot < 0) break;
        node = trie.child(slot);
        const id = trie.value(slot);
        end++;
        if (id < 0) continue;
        // SentencePiece compares before it rounds: equal scores may differ by that.
        const score = scores[id] + here;
        if (from[end] < 0 || score > best[end]) {
          best[end] = this.rounded(score);
          from[end] = start;
          last[end] = id;
        }
        if (end === next) single = true;
      }
      if (!single) {
        const score = this.rounded(this.unknownScore + here);
        if (from[next] < 0 || score > best[next]) {
          best[next] = score;
          from[next] = start;
          last[next] = unknown;
        }
      }
      start = next;
    }
    const { ends } = this;
    let count = 0;
    let fused = false;
    for (let end = length; end > 0; end = from[end]) {
      const isUnknown = unknown >= 0 && last[end] === unknown;
      if (!(isUnknown && fused)) ends[count++] = end;
      fused = isUnknown;
    }
    return count;
  }
}
