/**
 * The `Precompiled` normalizer: SentencePiece's character map, a double-array trie (Aoe 1989; "darts-clone") from
 * UTF-8 to positions in a list of zero-terminated texts.
 */

import { FormatError } from "../core/errors.js";
import type { Component } from "./definition.js";
import { byteLength } from "./models/model.js";
import { Trie } from "./models/trie.js";
import { sourcesOf, starts } from "./normal-forms.js";
import type { Normalizer } from "./normalizer.js";
import { copied, type Edits } from "./piece.js";

const WHERE = "tokenizer.json normalizer (Precompiled)";

const utf8 = /* @__PURE__ */ new TextEncoder();
const decoder = /* @__PURE__ */ new TextDecoder();

export class CharacterMap {
  private readonly units: Uint32Array;
  private readonly texts: Uint8Array;
  private readonly found = new Map<string, string | undefined>();

  /** Throws FormatError for a map that is not well-formed. */
  constructor(base64: string) {
    let bytes: Uint8Array;
    try {
      bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    } catch (cause) {
      throw new FormatError(`${WHERE}: precompiled_charsmap is base64, got something else.`, { where: WHERE, cause });
    }
    const view = new DataView(bytes.buffer);
    const size = bytes.length >= 4 ? view.getUint32(0, true) : 0;
    if (size < 4 || size % 4 !== 0 || size + 4 > bytes.length) {
      throw new FormatError(
        `${WHERE}: needs a trie of a multiple of 4 bytes inside ${bytes.length} bytes, got ${size}.`,
        { where: WHERE },
      );
    }
    this.units = new Uint32Array(size / 4);
    for (let i = 0; i < this.units.length; i++) this.units[i] = view.getUint32(4 + 4 * i, true);
    this.texts = bytes.subarray(4 + size);
  }

  /** The longest entry that the text from `start` on begins with: its units, and what they become. */
  longest(text: string, start: number): [units: number, mapped: string] | undefined {
    let found: [units: number, at: number] | undefined;
    this.walk(text, start, (end, at) => {
      found = [end - start, at];
    });
    return found && [found[0], this.textAt(this.unit(found[1]) & 0x7fffffff)];
  }

  /** Follows the text from `start` on as far as entries lead, telling the ends of those found; returns how far. */
  walk(text: string, start: number, tell: (end: number, at: number) => void = () => {}): number {
    let at = offsetOf(this.unit(0));
    for (let i = start; i < text.length; ) {
      const character = String.fromCodePoint(text.codePointAt(i) as number);
      let unit = 0;
      for (const byte of utf8.encode(character)) {
        at = (at ^ byte) >>> 0;
        unit = this.units[at] ?? 0;
        if (byte === 0 || (unit & 0x800000ff) >>> 0 !== byte) return i;
        at = (at ^ offsetOf(unit)) >>> 0;
      }
      i += character.length;
      if ((unit >>> 8) & 1) tell(i, at);
    }
    return text.length;
  }

  /** What a text becomes, or undefined. As in Hugging Face's library the shortest beginning found decides. */
  get(text: string): string | undefined {
    if (this.found.has(text)) return this.found.get(text);
    const result = this.look(text);
    if (this.found.size < 100000) this.found.set(text, result);
    return result;
  }

  private unit(at: number): number {
    if (at < this.units.length) return this.units[at];
    throw new FormatError(`${WHERE}: the trie points to unit ${at}, it has ${this.units.length}.`, { where: WHERE });
  }

  private look(text: string): string | undefined {
    let at = offsetOf(this.unit(0));
    for (const byte of utf8.encode(text)) {
      if (byte === 0) return undefined;
      at = (at ^ byte) >>> 0;
      // A text without an entry may well lead past the end.
      if (at >= this.units.length) return undefined;
      const unit = this.units[at];
      if ((unit & 0x800000ff) >>> 0 !== byte) return undefined;
      at = (at ^ offsetOf(unit)) >>> 0;
      if ((unit >>> 8) & 1) return this.textAt(this.unit(at) & 0x7fffffff);
    }
    return undefined;
  }

  private textAt(start: number): string {
    if (start > this.texts.length) {
      throw new FormatError(`${WHERE}: the trie points to byte ${start} of ${this.texts.length} bytes of texts.`, {
        where: WHERE,
      });
    }
    const end = this.texts.indexOf(0, start);
    return decoder.decode(this.texts.subarray(start, end < 0 ? this.texts.length : end));
  }
}

const offsetOf = (unit: number): number => ((unit >>> 10) << ((unit & 0x200) >>> 6)) >>> 0;

/** Characters that join the one before them in a grapheme, or that the one after joins. */
const JOINS =
  // biome-ignore lint/suspicious/noMisleadingCharacterClass: single characters are meant
  /[\p{Grapheme_Extend}\p{Emoji_Modifier}\p{Mc}\u200d\u0e33\u0eb3\r\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u0d4e\u1100-\u115f\ua960-\ua97c\u1160-\u11ff\ud7b0-\ud7fb\u{110bd}\u{110cd}\u{111c2}\u{111c3}\u{1193f}\u{11941}\u{11a3a}\u{11a84}-\u{11a89}\u{11d46}\u{11f02}]/u;
// biome-ignore lint/suspicious/noMisleadingCharacterClass: single characters are meant
const EXTENDS = /[\p{Grapheme_Extend}\p{Emoji_Modifier}\p{Mc}\u200d\u0e33\u0eb3]/u;
/** Spacing marks that stand alone. */
const ALONE =
  /[\u102b\u102c\u1038\u1062-\u1064\u1067-\u106d\u1083\u1087-\u108c\u108f\u109a-\u109c\u1a61\u1a63\u1a64\uaa7b\uaa7d\u{11720}\u{11721}]/u;
const CONTROLS = /[\p{Cc}\p{Zl}\p{Zp}\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\u00ad\u061c\ufff0-\ufffb]/u;
const PREPENDS =
  /[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u0d4e\u{110bd}\u{110cd}\u{111c2}\u{111c3}\u{1193f}\u{11941}\u{11a3a}\u{11a84}-\u{11a89}\u{11d46}\u{11f02}]/u;
const LEADING_JAMO = /[\u1100-\u115f\ua960-\ua97c]/;
const HANGUL = /[\u1100-\u11ff\ua960-\ua97c\uac00-\ud7a3\ud7b0-\ud7fb]/;
const FOLLOWING_JAMO = /[\u1160-\u11ff\ud7b0-\ud7fb]/;

/** Whether no grapheme boundary lies between two characters (for the short ones that matter here). */
function joined(before: string, after: string): boolean {
  if (before === "\r") return after === "\n";
  if (CONTROLS.test(before) || CONTROLS.test(after)) return false;
  if (EXTENDS.test(after) && !ALONE.test(after)) return true;
  if (PREPENDS.test(before)) return true;
  return (LEADING_JAMO.test(before) && HANGUL.test(after)) || (FOLLOWING_JAMO.test(after) && HANGUL.test(before));
}

/** Graphemes of at least this many bytes are mapped character by character. */
const SHORT = 6;

type Mappings = Generator<[old: string, mapped: string | undefined]>;

/** How a unit is mapped: it stays as it is, becomes something by itself, or its neighbours have a say. Others are not looked at yet. */
const Kind = { plain: 1, alone: 2, joins: 3 } as const;
type Kind = (typeof Kind)[keyof typeof Kind];

/** The text in units of mapping: short graphemes that have an entry, or single characters, with what they become. */
function* mappings(map: CharacterMap, text: string): Mappings {
  const characters = [...text];
  const graphemes = JOINS.test(text);
  for (let i = 0; i < characters.length; ) {
    let end = i + 1;
    if (graphemes) while (end < characters.length && joined(characters[end - 1], characters[end])) end++;
    if (end > i + 1) {
      const grapheme = characters.slice(i, end).join("");
      const mapped = byteLength(grapheme) < SHORT ? map.get(grapheme) : undefined;
      if (mapped !== undefined) {
        yield [grapheme, mapped];
        i = end;
        continue;
      }
    }
    for (; i < end; i++) yield [characters[i], map.get(characters[i])];
  }
}

/**
 * Makes the normalizer from its part of `tokenizer.json`. Hugging Face's library maps graphemes and characters;
 * `longest_match`, which only `.model` files bring along, maps as SentencePiece does.
 */
export function precompiled(settings: Component): Normalizer {
  if (typeof settings.precompiled_charsmap !== "string") {
    throw new FormatError(`${WHERE}: needs a text precompiled_charsmap, got none.`, { where: WHERE });
  }
  const map = new CharacterMap(settings.precompiled_charsmap);
  if (settings.longest_match === true) return longestMatch(map, textsOf(settings.user_defined));
  const kinds = new Uint8Array(65536);
  const alone: string[] = [];
  const kindOf = (unit: number): Kind => (kinds[unit] as Kind) || lookAt(unit);
  const lookAt = (unit: number): Kind => {
    const character = String.fromCharCode(unit);
    const surrogate = unit >= 0xd800 && unit < 0xe000;
    if (surrogate || JOINS.test(character)) return (kinds[unit] = Kind.joins);
    const mapped = map.get(character);
    if (mapped === undefined) return (kinds[unit] = Kind.plain);
    alone[unit] = mapped;
    return (kinds[unit] = Kind.alone);
  };
  const isPlain = (text: string): boolean => {
    for (let i = 0; i < text.length; i++) if (kindOf(text.charCodeAt(i)) !== Kind.plain) return false;
    return true;
  };
  const known = new Map<string, string>();
  const mapAll = (text: string): string => {
    let result = known.get(text);
    if (result === undefined) {
      result = "";
      for (const [old, mapped] of mappings(map, text)) result += mapped ?? old;
      if (known.size < 100000 && text.length < 100) known.set(copied(text), result);
    }
    return result;
  };
  return {
    text(text) {
      let out = "";
      let copied = 0;
      for (let i = 0; i < text.length; i++) {
        const unit = text.charCodeAt(i);
        const kind = kindOf(unit);
        if (kind === Kind.plain) continue;
        if (kind === Kind.alone && (i + 1 === text.length || kindOf(text.charCodeAt(i + 1)) !== Kind.joins)) {
          out += text.slice(copied, i) + alone[unit];
          copied = i + 1;
          continue;
        }
        // A plain character begins a grapheme (but after a few signs): the stretch between two of them is on its own.
        const start = Math.max(copied, i - 1);
        let end = i + 1;
        while (
          end < text.length &&
          (kindOf(text.charCodeAt(end)) !== Kind.plain || PREPENDS.test(text.slice(end - 2, end)))
        ) {
          end++;
        }
        out += text.slice(copied, start) + mapAll(text.slice(start, end));
        copied = i = end;
      }
      return copied === 0 ? text : out + text.slice(copied);
    },
    edit(text) {
      if (isPlain(text)) return undefined;
      return edits(mappings(map, text), text);
    },
  };
}

const textsOf = (list: unknown): string[] =>
  Array.isArray(list) ? list.filter((text) => typeof text === "string" && text !== "") : [];

/** A character map as SentencePiece applies it: at each place the longest entry, but symbols of the user stay. */
function longestMatch(map: CharacterMap, symbols: string[]): Normalizer {
  const trie = new Trie(symbols.length);
  for (const symbol of symbols) trie.addText(symbol, 0);
  const entryAt = (text: string, i: number): [units: number, mapped: string] | undefined => {
    if (trie.longest(text, i) >= 0) return [trie.end - i, text.slice(i, trie.end)];
    return isStart(text, i) ? map.longest(text, i) : undefined;
  };
  /** Whether an entry may begin with these two units. */
  const pairs = new Map<number, boolean>();
  const isStart = (text: string, i: number): boolean => {
    const unit = text.charCodeAt(i);
    if (unit >= 0xdc00 && unit < 0xe000) return false;
    const key = unit * 65536 + (i + 1 < text.length ? text.charCodeAt(i + 1) : 0);
    let known = pairs.get(key);
    if (known === undefined) {
      const two = text.slice(i, i + 2);
      known =
        map.longest(two, 0) !== undefined || map.walk(two, 0) === two.length || (two.codePointAt(1) ?? 0) > 0xd7ff;
      if (pairs.size < 100000) pairs.set(key, known);
    }
    return known;
  };
  const mappings = function* (text: string): Mappings {
    for (let i = 0; i < text.length; ) {
      const found = entryAt(text, i);
      const end = i + (found?.[0] ?? ((text.codePointAt(i) as number) > 0xffff ? 2 : 1));
      yield [text.slice(i, end), found?.[1]];
      i = end;
    }
  };
  return {
    text(text) {
      let out = "";
      let copied = 0;
      for (let i = 0; i < text.length; ) {
        const found = entryAt(text, i);
        if (found === undefined) i++;
        else {
          out += text.slice(copied, i) + found[1];
          copied = i += found[0];
        }
      }
      return copied === 0 ? text : out + text.slice(copied);
    },
    edit: (text) => edits(mappings(text), text),
  };
}

/** What mappings of parts change, each new character with where it comes from. */
function edits(mappings: Mappings, text: string): Edits | undefined {
  const characters: string[] = [];
  const changes: number[] = [];
  let modified = false;
  for (const [old, mapped] of mappings) {
    const fresh = [...(mapped ?? old)];
    modified ||= mapped !== undefined;
    const more = fresh.length - [...old].length;
    fresh.forEach((character, i) => {
      characters.push(character);
      changes.push(i >= fresh.length - more ? 1 : 0);
    });
    if (more < 0 && changes.length > 0) changes[changes.length - 1] += more;
  }
  return modified ? { characters, sources: sourcesOf(changes, starts(text)) } : undefined;
}
