/** The vocabulary of a large file, read off its text. */

import { type Reader, SEED, Unusual } from "./json-reader.js";
import { finish, mix, tableSize } from "./models/hash.js";
import type { Vocabulary } from "./vocabulary.js";

/** Ids may leave this many holes for each token. */
const MOST_HOLES = 4;

/** The shortest entry of a vocabulary, with its comma: `"a":1,`. */
const SHORTEST_ENTRY = 6;

/** Tokens stay where they are in the text; what is kept of each are numbers. */
export class TextVocabulary implements Vocabulary {
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
    const slots = tableSize(size);
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
