/** Byte-pair encoding with the options that few files use: affixes, unknown tokens, bytes for unknown characters. */

import { ConfigError, FormatError, show } from "../../core/errors.js";
import type { Component } from "../definition.js";
import type { FastPath } from "../fast-path.js";
import { Bpe, isOneCharacter, WHERE } from "./bpe.js";
import { modelRanges, PieceCache } from "./byte-pieces.js";
import { byteToken, utf8Length } from "./model.js";

const MARK = "▁";
const utf8 = /* @__PURE__ */ new TextEncoder();

export class SpelledBpe extends Bpe {
  declare private prefix: string;
  declare private suffix: string;
  declare private unknown: number;
  declare private unknownToken: string | undefined;
  declare private fuseUnknown: boolean;
  declare private byteIds: Int32Array | undefined;

  override get isPlain(): boolean {
    return this.prefix === "" && this.suffix === "";
  }

  /**
   * No merge crosses from another character to the mark "▁": the text may be cut there. Unless unknown characters vanish,
   * so that the marks around them meet, or the whole text may be one token.
   */
  override get wholeTexts(): FastPath | undefined {
    if (this.unknown < 0 || this.ignoreMerges || this.idOf(MARK) === undefined) return undefined;
    for (const [token] of this.entries()) if (crossesMark(token)) return undefined;
    const words = new PieceCache(modelRanges(this));
    return (text, out) => {
      const { length } = text;
      for (let start = 0; start < length; ) {
        let end = start;
        while (end < length && text.charCodeAt(end) === 0x2581) end++;
        while (end < length && text.charCodeAt(end) !== 0x2581) end++;
        words.encode(text, start, end, out);
        start = end;
      }
    };
  }

  protected override spelling(settings: Component) {
    const prefix = (this.prefix = text(settings, "continuing_subword_prefix") ?? "");
    const suffix = (this.suffix = text(settings, "end_of_word_suffix") ?? "");
    this.unknownToken = text(settings, "unk_token");
    this.unknown = this.unknownToken === undefined ? -1 : (this.vocabulary.idOf(this.unknownToken) ?? -1);
    this.fuseUnknown = settings.fuse_unk === true;
    if (settings.byte_fallback === true) {
      this.byteIds = Int32Array.from({ length: 256 }, (_, byte) => this.vocabulary.idOf(byteToken(byte)) ?? -1);
    }
    const special = new Set([this.unknown, ...(this.byteIds ?? [])]);
    const isSymbol = (token: string, id: number): boolean => {
      if (special.has(id) || isOneCharacter(token)) return true;
      const core = suffix !== "" && token.endsWith(suffix) ? token.slice(0, -suffix.length) : token;
      const bare = prefix !== "" && core.startsWith(prefix) ? core.slice(prefix.length) : core;
      return isOneCharacter(core) || isOneCharacter(bare);
    };
    // Hugging Face drops as many characters as the prefix has bytes; prefixes are ASCII in practice.
    return { isSymbol, prefixLength: prefix.length };
  }

  /** Fills `symbols` and `symbolBytes` with the initial symbols of a piece and returns how many they are. */
  protected override split(piece: string): number {
    const room = piece.length * (3 + 3 * this.prefix.length) + 3 * this.suffix.length;
    this.makeRoom(room);
    const { symbols, symbolBytes } = this;
    const plain = this.isPlain;
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
      if (plain && !wide) id = this.idOfUnit(unit);
      else id = this.vocabulary.idOf(this.spelt(piece, i, next)) ?? -1;
      if (id >= 0) {
        if (unknownBytes > 0) flush();
        symbols[count] = id;
        symbolBytes[count++] = bytes;
      } else {
        const added =
          this.byteIds === undefined
            ? 0
            : this.fallback(plain ? piece.slice(i, next) : this.spelt(piece, i, next), count);
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
  private spelt(piece: string, start: number, end: number): string {
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

function crossesMark(token: string): boolean {
  for (let at = token.indexOf(MARK, 1); at > 0; at = token.indexOf(MARK, at + 1))
    if (token[at - 1] !== MARK) return true;
  return false;
}

/** A setting that is a string, or null, or missing. */
function text(settings: Component, name: string): string | undefined {
  const value = settings[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string") return value;
  throw new FormatError(`${WHERE}: ${name} is a string or null, got ${show(value)}.`, { where: WHERE });
}
