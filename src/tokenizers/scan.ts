/**
 * Large tokenizer.json files, read off their text. Nine tenths of such a file are the vocabulary and the merges of a
 * BPE; `JSON.parse` makes half a million strings and arrays of them of which only numbers are needed. Here one pass
 * reads them; the rest goes through `JSON.parse`, and so does everything that looks in any way unusual: the caller
 * then takes the ordinary way, whose meaning and messages count.
 */

import type { TokenizerDefinition } from "./definition.js";
import type { Vocabulary } from "./vocabulary.js";

export interface Scanned {
  /** The whole file. */
  text: string;
  /** The file as an object; vocabulary and merges are parsed when somebody looks at them. */
  definition: TokenizerDefinition;
  vocabulary: Vocabulary;
  /** Three ids for each merge: first, second, merged. */
  merges: Int32Array;
}

/** Reads a file of the usual shape; undefined for every other one. */
export function scan(text: string): Scanned | undefined {
  const vocabAt = placeOfValue(text, '"vocab"', "{");
  const mergesAt = placeOfValue(text, '"merges"', "[");
  if (vocabAt === undefined || mergesAt === undefined) return undefined;
  try {
    const reader = new Reader(text, vocabAt);
    const vocabulary = new TextVocabulary(reader);
    const vocabEnd = reader.at;
    reader.at = mergesAt;
    const merges = readMerges(reader, vocabulary);
    const sections = [
      { start: vocabAt, end: vocabEnd, empty: "{}" },
      { start: mergesAt, end: reader.at, empty: "[]" },
    ].sort((a, b) => a.start - b.start);
    const [first, second] = sections;
    const rest = `${text.slice(0, first.start)}${first.empty}${text.slice(first.end, second.start)}${second.empty}${text.slice(second.end)}`;
    const definition = JSON.parse(rest) as TokenizerDefinition;
    const model = definition?.model;
    const isOurs =
      (model.type === "BPE" || model.type === undefined) &&
      JSON.stringify(model.vocab) === "{}" &&
      JSON.stringify(model.merges) === "[]" &&
      !model.continuing_subword_prefix;
    if (!isOurs) return undefined;
    whenAsked(model, "vocab", () => JSON.parse(text.slice(vocabAt, vocabEnd)));
    whenAsked(model, "merges", () => JSON.parse(text.slice(mergesAt, reader.at)));
    return { text, definition, vocabulary, merges };
  } catch (error) {
    if (error instanceof Unusual || error instanceof SyntaxError || error instanceof TypeError) return undefined;
    throw error;
  }
}

/** Where the value of a key begins, if there is exactly one such key with a value of this kind. */
function placeOfValue(text: string, key: string, opening: string): number | undefined {
  let found: number | undefined;
  for (let at = text.indexOf(key); at >= 0; at = text.indexOf(key, at + 1)) {
    // Inside a string its quotation marks would be escaped: this is a string of its own, a key if a colon follows.
    const after = /^\s*:\s*(.)/.exec(text.slice(at + key.length, at + key.length + 40));
    if (after?.[1] !== opening) continue;
    if (found !== undefined) return undefined;
    found = text.indexOf(opening, at + key.length);
  }
  return found;
}

/** Makes a property that is worked out when it is first looked at. */
function whenAsked(object: Record<string, unknown>, name: string, make: () => unknown): void {
  const settle = (value: unknown) =>
    Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
  Object.defineProperty(object, name, {
    enumerable: true,
    configurable: true,
    get() {
      const value = make();
      settle(value);
      return value;
    },
    set: settle,
  });
}

/** Not the shape that is read here. */
class Unusual extends Error {}

const SEED = 0x811c9dc5;
const mix = (hash: number, unit: number): number => Math.imul(hash ^ unit, 0x01000193);
const finish = (hash: number): number => hash ^ (hash >>> 15);

/** JSON's tokens, one after the other, with hashes of the strings. */
class Reader {
  /** The last string, without its quotation marks. */
  start = 0;
  end = 0;
  escaped = false;
  hash = 0;
  /** The hash of the string before and the last one end to end. */
  joined = 0;
  /** In a string with one space: where it is, and the hash of what comes before it. */
  space = 0;
  beforeSpace = 0;

  constructor(
    readonly text: string,
    public at: number,
  ) {}

  /** The next unit that is no white space, which is left there. */
  peek(): number {
    for (;;) {
      const unit = this.text.charCodeAt(this.at);
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return unit;
      this.at++;
    }
  }

  take(unit: number): void {
    if (this.peek() !== unit) throw new Unusual();
    this.at++;
  }

  /** A comma (true), or the end of a list or object (false). */
  more(closing: number): boolean {
    const unit = this.peek();
    if (unit !== 0x2c && unit !== closing) throw new Unusual();
    this.at++;
    return unit === 0x2c;
  }

  string(): void {
    this.take(0x22);
    const { text } = this;
    let hash = SEED;
    let joined = this.hash;
    let at = this.at;
    this.escaped = false;
    this.space = -1;
    for (;;) {
      const unit = text.charCodeAt(at);
      if (unit === 0x22) break;
      // A control character, or the end of the text.
      if (!(unit >= 0x20)) throw new Unusual();
      if (unit === 0x5c) {
        this.escaped = true;
        at++;
      } else if (unit === 0x20 && this.space < 0) {
        this.space = at;
        this.beforeSpace = hash;
        // What follows is hashed as a string of its own, and joined to what came before.
        joined = hash;
        hash = SEED;
        at++;
        continue;
      }
      hash = mix(hash, unit);
      joined = mix(joined, unit);
      at++;
    }
    this.start = this.at;
    this.end = at;
    this.at = at + 1;
    this.hash = hash;
    this.joined = joined;
  }

  /** Whether the last string has neither escapes nor spaces: its hash is `hash`. */
  get isPlain(): boolean {
    return !this.escaped && this.space < 0;
  }

  /** The value of the last string. */
  value(): string {
    const { text, start, end } = this;
    return this.escaped ? JSON.parse(text.slice(start - 1, end + 1)) : text.slice(start, end);
  }

  wholeNumber(): number {
    let value = 0;
    let digits = 0;
    this.peek();
    for (;;) {
      const digit = this.text.charCodeAt(this.at) - 0x30;
      if (!(digit >= 0 && digit <= 9)) break;
      if (digits > 0 && value === 0) throw new Unusual();
      value = value * 10 + digit;
      digits++;
      this.at++;
    }
    if (digits === 0 || digits > 9) throw new Unusual();
    return value;
  }
}

/** Ids may leave this many holes for each token. */
const MOST_HOLES = 4;

/** The shortest entry of a vocabulary, with its comma: `"a":1,`. */
const SHORTEST_ENTRY = 6;

/** Tokens stay where they are in the text; what is kept of each are numbers. */
class TextVocabulary implements Vocabulary {
  readonly size: number;
  readonly bound: number;
  private readonly text: string;
  /** Where each token begins and ends in the text; an escaped one begins at -1 and is found in `escaped`. */
  private readonly starts: Int32Array;
  private readonly ends: Int32Array;
  private readonly escaped = new Map<number, string>();
  private readonly ids: Int32Array;
  /** Place of each id plus 1. */
  private readonly places: Int32Array;
  /** Place of a token plus 1 and its hash, found by its hash. */
  private readonly slots: Int32Array;
  private readonly mask: number;
  /** The place that was found last: files list tokens in the order of their merges. */
  private last = 0;

  constructor(reader: Reader) {
    const { text } = reader;
    const most = Math.floor(text.length / SHORTEST_ENTRY) + 1;
    const starts = new Int32Array(most);
    const ends = new Int32Array(most);
    const ids = new Int32Array(most);
    const hashes = new Int32Array(most);
    let size = 0;
    let bound = 0;
    reader.take(0x7b);
    if (reader.peek() !== 0x7d) {
      do {
        reader.string();
        starts[size] = reader.escaped ? -1 : reader.start;
        ends[size] = reader.end;
        if (reader.escaped) this.escaped.set(size, reader.value());
        hashes[size] = reader.isPlain ? finish(reader.hash) : hashOf(reader.value());
        reader.take(0x3a);
        const id = reader.wholeNumber();
        ids[size++] = id;
        if (id >= bound) bound = id + 1;
      } while (reader.more(0x7d));
    } else reader.at++;
    if (bound > MOST_HOLES * size) throw new Unusual();
    let slots = 16;
    while (slots < size * 2) slots *= 2;
    this.mask = slots - 1;
    this.slots = new Int32Array(2 * slots);
    this.places = new Int32Array(bound);
    this.text = text;
    this.size = size;
    this.bound = bound;
    this.starts = starts;
    this.ends = ends;
    this.ids = ids;
    for (let place = 0; place < size; place++) this.enter(place, hashes[place]);
  }

  /** Throws Unusual for a token or an id that is there already. */
  private enter(place: number, hash: number): void {
    const { slots, mask, places, ids, text, starts, ends } = this;
    if (places[ids[place]] !== 0) throw new Unusual();
    places[ids[place]] = place + 1;
    let slot = hash & mask;
    for (; slots[2 * slot] !== 0; slot = (slot + 1) & mask) {
      if (slots[2 * slot + 1] !== hash) continue;
      const other = slots[2 * slot] - 1;
      const spelling = this.escaped.get(place);
      const same =
        spelling === undefined
          ? this.isSpelt(other, text, starts[place], ends[place], 0, 0)
          : this.isSpelt(other, spelling, 0, spelling.length, 0, 0);
      if (same) throw new Unusual();
    }
    slots[2 * slot] = place + 1;
    slots[2 * slot + 1] = hash;
  }

  idOf(token: string): number | undefined {
    const id = this.find(hashOf(token), token, 0, token.length, 0, 0);
    return id < 0 ? undefined : id;
  }

  tokenOf(id: number): string | undefined {
    const place = this.places[id];
    return place > 0 ? this.nameAt(place - 1) : undefined;
  }

  private nameAt(place: number): string {
    const start = this.starts[place];
    return start < 0 ? (this.escaped.get(place) as string) : this.text.slice(start, this.ends[place]);
  }

  *entries(): Iterable<[string, number]> {
    for (let place = 0; place < this.size; place++) yield [this.nameAt(place), this.ids[place]];
  }

  /** The id of the token that is spelt `text[start, end)` and then `text[more, moreEnd)`, or -1. */
  find(hash: number, text: string, start: number, end: number, more: number, moreEnd: number): number {
    const { slots, mask } = this;
    for (let slot = hash & mask; slots[2 * slot] !== 0; slot = (slot + 1) & mask) {
      if (slots[2 * slot + 1] !== hash) continue;
      const place = slots[2 * slot] - 1;
      if (this.isSpelt(place, text, start, end, more, moreEnd)) return this.ids[place];
    }
    return -1;
  }

  /** Like `find`, after a look at the token behind the one that was found last in this way. */
  findNext(hash: number, text: string, start: number, end: number, more: number, moreEnd: number): number {
    const place = this.last + 1;
    if (place < this.size && this.isSpelt(place, text, start, end, more, moreEnd)) {
      this.last = place;
      return this.ids[place];
    }
    const id = this.find(hash, text, start, end, more, moreEnd);
    if (id >= 0) this.last = this.places[id] - 1;
    return id;
  }

  private isSpelt(place: number, text: string, start: number, end: number, more: number, moreEnd: number): boolean {
    let k = this.starts[place];
    let own = this.text;
    let ownEnd = this.ends[place];
    if (k < 0) {
      own = this.escaped.get(place) as string;
      k = 0;
      ownEnd = own.length;
    }
    if (ownEnd - k !== end - start + moreEnd - more) return false;
    while (start < end) if (own.charCodeAt(k++) !== text.charCodeAt(start++)) return false;
    while (more < moreEnd) if (own.charCodeAt(k++) !== text.charCodeAt(more++)) return false;
    return true;
  }
}

function hashOf(token: string): number {
  let hash = SEED;
  for (let i = 0; i < token.length; i++) hash = mix(hash, token.charCodeAt(i));
  return finish(hash);
}

/** Merges as `"a b"` or `["a", "b"]`. */
function readMerges(reader: Reader, vocabulary: TextVocabulary): Int32Array {
  const { text } = reader;
  let out = new Int32Array(1 << 16);
  let length = 0;
  const add = (first: number, second: number, merged: number) => {
    if (first < 0 || second < 0 || merged < 0) throw new Unusual();
    if (length + 3 > out.length) {
      const longer = new Int32Array(out.length * 2);
      longer.set(out);
      out = longer;
    }
    out[length++] = first;
    out[length++] = second;
    out[length++] = merged;
  };
  const idOf = (token: string) => vocabulary.idOf(token) ?? -1;
  const addTexts = (first: string, second: string) => add(idOf(first), idOf(second), idOf(first + second));
  reader.take(0x5b);
  if (reader.peek() === 0x5d) reader.at++;
  else {
    do {
      if (reader.peek() === 0x5b) {
        reader.at++;
        reader.string();
        const { start, end, hash, isPlain: plain } = reader;
        const first = plain ? "" : reader.value();
        reader.take(0x2c);
        reader.string();
        if (plain && reader.isPlain) {
          add(
            vocabulary.find(finish(hash), text, start, end, 0, 0),
            vocabulary.find(finish(reader.hash), text, reader.start, reader.end, 0, 0),
            vocabulary.findNext(finish(reader.joined), text, start, end, reader.start, reader.end),
          );
        } else addTexts(plain ? text.slice(start, end) : first, reader.value());
        reader.take(0x5d);
      } else {
        reader.string();
        const { start, end, space } = reader;
        if (reader.escaped || space < 0) {
          const parts = reader.value().split(" ");
          if (parts.length !== 2) throw new Unusual();
          addTexts(parts[0], parts[1]);
        } else {
          const again = text.indexOf(" ", space + 1);
          if (again >= 0 && again < end) throw new Unusual();
          add(
            vocabulary.find(finish(reader.beforeSpace), text, start, space, 0, 0),
            vocabulary.find(finish(reader.hash), text, space + 1, end, 0, 0),
            vocabulary.findNext(finish(reader.joined), text, start, space, space + 1, end),
          );
        }
      }
    } while (reader.more(0x5d));
  }
  return out.slice(0, length);
}
