/**
 * Training byte-pair encoding (Sennrich et al. 2016): merge the most frequent pair of neighbours, again and again. Of
 * equally frequent pairs the one with the lower ids comes first, as in Hugging Face's trainer.
 */

import { bytesOfTokens } from "../byte-alphabet.js";

export interface BpeTrainerOptions {
  vocabSize: number;
  /** First in the vocabulary, in this order. */
  specialTokens: string[];
  /** Pairs seen less often are not merged. */
  minFrequency: number;
  /** At most so many different characters; the rarest are dropped. */
  limitAlphabet?: number;
  /** Characters that are in the vocabulary whether seen or not. */
  initialAlphabet: string[];
  /** Put before characters inside a word. */
  prefix: string;
  /** Put behind the last character of a word. */
  suffix: string;
  /** Longest token in characters. */
  maxTokenLength: number;
  /** Which of equally frequent pairs comes first: the lower ids, or the greater texts. */
  ties: "lowestIds" | "greatestText";
  onProgress?: (done: number, total: number) => void;
}

export interface TrainedBpe {
  /** Tokens by id. */
  tokens: string[];
  merges: [string, string][];
}

/** Learns merges from words and how often each occurs. */
export function trainBpe(wordCounts: Map<string, number>, options: BpeTrainerOptions): TrainedBpe {
  const { vocabSize, prefix, minFrequency, maxTokenLength } = options;
  const tokens: string[] = [];
  const ids = new Map<string, number>();
  const idOf = (token: string): number => {
    let id = ids.get(token);
    if (id === undefined) {
      id = tokens.length;
      tokens.push(token);
      ids.set(token, id);
    }
    return id;
  };
  // A special token of one character counts as known where a limit drops it, as in Hugging Face's trainer.
  const alphabet = new Set([...options.specialTokens, ...alphabetOf(wordCounts, options)]);
  for (const token of alphabet) idOf(token);

  const words = new Words(wordCounts, alphabet, options, idOf);
  const queue = new Queue(options.ties === "greatestText" ? tokens : undefined);
  for (const entry of words.takeFresh()) queue.push(entry);
  const merges: [string, string][] = [];
  const goal = Math.max(0, vocabSize - tokens.length);
  while (tokens.length < vocabSize) {
    const entry = queue.pop();
    if (entry === undefined) break;
    const { pair } = entry;
    if (entry.count !== pair.count) {
      // The pair has become rarer, or more frequent elsewhere, since it was put there.
      entry.count = pair.count;
      queue.push(entry);
      continue;
    }
    if (pair.count < 1 || pair.count < minFrequency) break;
    const first = tokens[pair.first];
    const second = tokens[pair.second];
    const rest = prefix !== "" && second.startsWith(prefix) ? second.slice(prefix.length) : second;
    const merged = idOf(first + rest);
    merges.push([first, second]);
    words.merge(entry, merged, maxTokenLength);
    for (const fresh of words.takeFresh()) queue.push(fresh);
    if (merges.length % 256 === 0) options.onProgress?.(merges.length, goal);
  }
  options.onProgress?.(merges.length, merges.length);
  return { tokens, merges };
}

/** The characters of all words in the order of their code points, without the rarest where there is a limit. */
function alphabetOf(
  wordCounts: Map<string, number>,
  {
    limitAlphabet = Number.POSITIVE_INFINITY,
    initialAlphabet,
  }: Pick<BpeTrainerOptions, "limitAlphabet" | "initialAlphabet">,
): string[] {
  const counts = new Map<string, number>();
  for (const [word, count] of wordCounts) {
    for (const character of word) counts.set(character, (counts.get(character) ?? 0) + count);
  }
  for (const character of initialAlphabet) counts.set([...character][0], Number.POSITIVE_INFINITY);
  const byCode = (a: string, b: string) => (a.codePointAt(0) as number) - (b.codePointAt(0) as number);
  let kept = [...counts.keys()].sort(byCode);
  if (kept.length > limitAlphabet) {
    const rarestFirst = kept
      .slice()
      .sort((a, b) => (counts.get(a) as number) - (counts.get(b) as number) || byCode(b, a));
    const dropped = new Set(rarestFirst.slice(0, kept.length - limitAlphabet));
    kept = kept.filter((character) => !dropped.has(character));
  }
  return kept;
}

/** Two neighbours and how often they occur. */
interface Pair {
  first: number;
  second: number;
  count: number;
  /** Where it came into being since the last merge. */
  fresh: Entry | undefined;
}

/** A pair in the queue, with the words in which to look for it. */
interface Entry {
  pair: Pair;
  count: number;
  words: number[];
}

/** All words as symbols in one array, each with its count, and the pairs in them. */
class Words {
  private readonly pairs = new Map<number, Pair>();
  private fresh: Entry[] = [];
  /** Characters of each token. */
  private readonly lengths: number[] = [];
  private readonly symbols: Int32Array;
  private readonly starts: Int32Array;
  private readonly sizes: Int32Array;
  private readonly counts: Float64Array;

  constructor(
    wordCounts: Map<string, number>,
    alphabet: Set<string>,
    { prefix, suffix }: BpeTrainerOptions,
    idOf: (token: string) => number,
  ) {
    let total = 0;
    for (const word of wordCounts.keys()) total += word.length;
    this.symbols = new Int32Array(total);
    this.starts = new Int32Array(wordCounts.size);
    this.sizes = new Int32Array(wordCounts.size);
    this.counts = new Float64Array(wordCounts.size);
    let at = 0;
    let index = 0;
    for (const [word, count] of wordCounts) {
      const start = at;
      let position = 0;
      for (const character of word) {
        const first = position === 0;
        position += character.length;
        if (!alphabet.has(character)) continue;
        const symbol = idOf((first ? "" : prefix) + character + (position === word.length ? suffix : ""));
        this.lengths[symbol] = 1;
        this.symbols[at++] = symbol;
      }
      this.starts[index] = start;
      this.sizes[index] = at - start;
      this.counts[index] = count;
      for (let i = start + 1; i < at; i++) this.more(this.symbols[i - 1], this.symbols[i], count, index);
      index++;
    }
  }

  private pairOf(first: number, second: number): Pair {
    const key = first * 0x4000000 + second;
    let pair = this.pairs.get(key);
    if (pair === undefined) {
      pair = { first, second, count: 0, fresh: undefined };
      this.pairs.set(key, pair);
    }
    return pair;
  }

  private more(first: number, second: number, count: number, word: number): void {
    const pair = this.pairOf(first, second);
    pair.count += count;
    if (pair.fresh === undefined) {
      pair.fresh = { pair, count: 0, words: [] };
      this.fresh.push(pair.fresh);
    }
    const { words } = pair.fresh;
    if (words[words.length - 1] !== word) words.push(word);
  }

  /** The pairs that came into being since the last call, to be queued. */
  takeFresh(): Entry[] {
    const entries = this.fresh;
    this.fresh = [];
    for (const entry of entries) {
      entry.pair.fresh = undefined;
      entry.count = entry.pair.count;
    }
    return entries.filter((entry) => entry.count > 0);
  }

  /** Replaces a pair by its token in the words of an entry. */
  merge({ pair, words }: Entry, merged: number, maxLength: number): void {
    const { symbols, starts, sizes, counts, lengths } = this;
    const { first, second } = pair;
    const length = lengths[first] + lengths[second];
    lengths[merged] = length;
    for (const word of words) {
      const start = starts[word];
      const count = counts[word];
      let end = start + sizes[word];
      for (let i = start; i + 1 < end; i++) {
        if (symbols[i] !== first || symbols[i + 1] !== second) continue;
        if (i > start) {
          const before = symbols[i - 1];
          this.pairOf(before, first).count -= count;
          if (lengths[before] + length < maxLength) this.more(before, merged, count, word);
        }
        symbols[i] = merged;
        symbols.copyWithin(i + 1, i + 2, end);
        end--;
        if (i + 1 < end) {
          const after = symbols[i + 1];
          this.pairOf(second, after).count -= count;
          if (lengths[after] + length < maxLength) this.more(merged, after, count, word);
        }
      }
      sizes[word] = end - start;
    }
  }
}

/** A heap of pairs, the most frequent one first. */
class Queue {
  private readonly heap: Entry[] = [];

  /** With `texts`, ties go to the pair of greater texts instead of lower ids. */
  constructor(private readonly texts: string[] | undefined) {}

  private before(a: Entry, b: Entry): boolean {
    if (a.count !== b.count) return a.count > b.count;
    const { texts } = this;
    const [pairA, pairB] = [a.pair, b.pair];
    if (texts === undefined) {
      return pairA.first !== pairB.first ? pairA.first < pairB.first : pairA.second < pairB.second;
    }
    const order = compareBytes(texts[pairA.first], texts[pairB.first]);
    return (order !== 0 ? order : compareBytes(texts[pairA.second], texts[pairB.second])) > 0;
  }

  push(entry: Entry): void {
    const { heap } = this;
    let i = heap.length;
    heap.push(entry);
    while (i > 0) {
      const up = (i - 1) >> 1;
      if (!this.before(entry, heap[up])) break;
      heap[i] = heap[up];
      i = up;
    }
    heap[i] = entry;
  }

  pop(): Entry | undefined {
    const { heap } = this;
    const top = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.before(heap[child + 1], heap[child])) child++;
      if (!this.before(heap[child], last)) break;
      heap[i] = heap[child];
      i = child;
    }
    heap[i] = last;
    return top;
  }
}

/** Order of two tokens by the bytes they spell. */
function compareBytes(a: string, b: string): number {
  const bytesA = bytesOfTokens([a]);
  const bytesB = bytesOfTokens([b]);
  for (let i = 0; i < bytesA.length && i < bytesB.length; i++)
    if (bytesA[i] !== bytesB[i]) return bytesA[i] - bytesB[i];
  return bytesA.length - bytesB.length;
}
