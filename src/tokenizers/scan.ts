/**
 * Large tokenizer.json files, read off their text. Nine tenths of such a file are the vocabulary and the merges of a
 * BPE; `JSON.parse` makes half a million strings and arrays of them of which only numbers are needed. Here one pass
 * reads them; the rest goes through `JSON.parse`, and so does everything that looks in any way unusual: the caller
 * then takes the ordinary way, whose meaning and messages count.
 */

import type { TokenizerDefinition } from "./definition.js";
import { Reader, Unusual } from "./json-reader.js";
import { finish } from "./models/hash.js";
import { TextVocabulary } from "./text-vocabulary.js";
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
