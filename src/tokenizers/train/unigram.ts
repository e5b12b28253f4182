/**
 * Training a Unigram model (Kudo 2018), step by step as SentencePiece and Hugging Face's trainer do it: many frequent
 * substrings to start with; their probabilities by expectation-maximization; the pieces whose loss costs the
 * likelihood least are dropped; and again, until the vocabulary has its size.
 */

import { ConfigError } from "../../core/errors.js";
import { exp, log } from "../../core/math.js";
import { Lattices, UNKNOWN } from "./lattices.js";
import { repeats } from "./repeats.js";

export interface UnigramTrainerOptions {
  vocabSize: number;
  specialTokens: string[];
  unknownToken: string;
  /** Substrings to start with. */
  seedSize: number;
  /** Longest token in characters. */
  maxTokenLength: number;
  /** Part of the vocabulary that a round keeps. */
  shrinkingFactor: number;
  /** Steps of expectation-maximization between two rounds of dropping. */
  rounds: number;
  onProgress?: (done: number, total: number) => void;
  /** Called after each step of expectation-maximization. */
  onStep?: (step: {
    pieces: number;
    /** Mean negative log likelihood of a word. */
    objective: number;
  }) => void;
}

/** Pieces of smaller expected frequency are dropped. */
const LEAST_EXPECTED = 0.5;
/** How much more probable each further character is that no piece stands for any more. */
const UNSEEN_STEP = 0.0001;

/** Pieces by number; number 0 stands for unknown characters. */
interface Pieces {
  texts: string[];
  scores: Float64Array;
  /** The number that each piece had among the seeds. */
  origins: Int32Array;
}

/** Learns tokens and their log probabilities from words and how often each occurs; special tokens come first. */
export function trainUnigram(wordCounts: Map<string, number>, options: UnigramTrainerOptions): [string, number][] {
  const special = [...new Set([options.unknownToken, ...options.specialTokens])];
  const wanted = options.vocabSize - special.length;
  const characters = [...new Set([...wordCounts.keys()].flatMap((word) => [...word]))].sort();
  if (characters.length > wanted) {
    throw new ConfigError(
      `trainTokenizer: vocabSize needs room for ${special.length} special tokens and ${characters.length} characters, got ${options.vocabSize}.`,
      { where: "trainTokenizer", hint: "Normalize the texts, or train on bytes with model bpe." },
    );
  }
  const target = Math.floor((options.vocabSize * 11) / 10);
  let pieces = seed(wordCounts, options);
  const words = new Lattices(wordCounts, pieces.texts, options.maxTokenLength);
  // Each seed is a word of its own: how would it be spelt if it were gone?
  const own = new Lattices(new Map(pieces.texts.map((text) => [text, 1])), pieces.texts, options.maxTokenLength);
  const keep = (kept: number[], scores: ArrayLike<number>): Pieces => {
    words.keep(kept);
    own.keep(kept);
    return chosen(pieces, kept, scores);
  };
  const start = pieces.texts.length;
  for (;;) {
    for (let round = 0; round < options.rounds; round++) {
      const { expected, objective } = words.expectations(probabilities(pieces));
      pieces = maximized(expected, keep);
      options.onStep?.({ pieces: pieces.texts.length, objective });
    }
    options.onProgress?.(Math.max(0, start - pieces.texts.length), Math.max(1, start - target));
    if (pieces.texts.length <= target) break;
    const size = Math.max(target, Math.floor(pieces.texts.length * options.shrinkingFactor));
    const before = pieces.texts.length;
    pieces = keep(mostUseful(pieces, words, own, size), pieces.scores);
    // What has no alternative is never dropped.
    if (pieces.texts.length >= before) break;
  }
  const body = finished(pieces, characters, wanted, new Set(special));
  return [...special.map((token): [string, number] => [token, 0]), ...body];
}

/** The characters, and the substrings that occur in several places, weighed by frequency times length. */
function seed(wordCounts: Map<string, number>, { seedSize, maxTokenLength }: UnigramTrainerOptions): Pieces {
  const counts = new Map<string, number>();
  for (const [word, count] of wordCounts) {
    for (const character of word) counts.set(character, (counts.get(character) ?? 0) + count);
  }
  const byWeight = (a: [string, number], b: [string, number]) => b[1] - a[1] || byCodePoints(b[0], a[0]);
  const seeds = [...counts].sort(byWeight);
  const substrings = repeats([...wordCounts.keys()], maxTokenLength).sort(byWeight);
  for (const substring of substrings) {
    if (seeds.length >= seedSize) break;
    seeds.push(substring);
  }
  const total = log(seeds.reduce((sum, [, weight]) => sum + weight, 0));
  return {
    texts: ["", ...seeds.map(([text]) => text)],
    scores: Float64Array.from([0, ...seeds.map(([, weight]) => log(weight) - total)]),
    origins: Int32Array.from({ length: seeds.length + 1 }, (_, id) => id),
  };
}

/** The pieces `kept` in their new order, with the scores of their old numbers. */
function chosen({ texts, origins }: Pieces, kept: number[], scores: ArrayLike<number>): Pieces {
  const all = [UNKNOWN, ...kept];
  return {
    texts: all.map((id) => texts[id]),
    scores: Float64Array.from(all, (id) => scores[id]),
    origins: Int32Array.from(all, (id) => origins[id]),
  };
}

/** Order by code points, which that of UTF-16 units is not. */
function byCodePoints(a: string, b: string): number {
  const [left, right] = [[...a], [...b]];
  for (let i = 0; i < left.length && i < right.length; i++) {
    if (left[i] !== right[i]) return (left[i].codePointAt(0) as number) - (right[i].codePointAt(0) as number);
  }
  return left.length - right.length;
}

/** How much less probable than the least probable piece an unknown character is, as in `encode`. */
const UNKNOWN_PENALTY = 10;

/** The scores with that of unknown characters in the place of number 0. */
function withUnknown({ scores }: Pieces): Float64Array {
  const all = scores.slice();
  let lowest = 0;
  for (let id = 1; id < all.length; id++) if (all[id] < lowest) lowest = all[id];
  all[UNKNOWN] = lowest - UNKNOWN_PENALTY;
  return all;
}

const probabilities = (pieces: Pieces): Float64Array => withUnknown(pieces).map(exp);

/** New scores from expected frequencies; the digamma function makes rare pieces rarer (Liang and Klein 2007). */
function maximized(expected: Float64Array, keep: (kept: number[], scores: ArrayLike<number>) => Pieces): Pieces {
  const kept: number[] = [];
  let total = 0;
  for (let id = 1; id < expected.length; id++) {
    if (expected[id] < LEAST_EXPECTED) continue;
    kept.push(id);
    total += expected[id];
  }
  const base = digamma(total);
  return keep(
    kept,
    expected.map((count, id) => (id === UNKNOWN ? 0 : digamma(Math.max(count, LEAST_EXPECTED)) - base)),
  );
}

/** The `size` pieces (that of unknown characters among them) whose loss would cost the likelihood most. */
function mostUseful(pieces: Pieces, words: Lattices, own: Lattices, size: number): number[] {
  const scores = withUnknown(pieces);
  const { frequency, wordFrequency, words: all } = words.bestPaths(scores);
  const total = frequency.reduce((sum, count) => sum + count, 0);
  const logTotal = log(total);
  const kept: number[] = [];
  const candidates: { id: number; loss: number }[] = [];
  for (let id = 1; id < scores.length; id++) {
    const best = own.best(pieces.origins[id], scores);
    const others = best.length > 1 ? [] : own.best(pieces.origins[id], scores, id);
    if (frequency[id] === 0 && best.length > 1) continue;
    if (others.length === 0) {
      kept.push(id);
      continue;
    }
    if (frequency[id] === 0) continue;
    // The text would be spelt with the others, each of which becomes more frequent. The number of all pieces in the
    // place of that of the others is how both libraries compute it.
    const logAfter = log(total + frequency[id] * (scores.length - 1));
    const after = others.reduce((sum, other) => sum + log(frequency[other] + frequency[id]) - logAfter, 0);
    candidates.push({ id, loss: (wordFrequency[id] / all) * (log(frequency[id]) - logTotal - after) });
  }
  candidates.sort((a, b) => b.loss - a.loss);
  for (const { id } of candidates) {
    if (kept.length + 1 >= size) break;
    kept.push(id);
  }
  return kept;
}

/** All characters, then the pieces in their order, up to the size wanted; the most probable first. */
function finished(
  { texts, scores }: Pieces,
  characters: string[],
  wanted: number,
  taken: Set<string>,
): [string, number][] {
  const known = new Map(texts.map((text, id) => [text, scores[id]]));
  const lowest = scores.reduce((low, score) => Math.min(low, score), 0);
  let unseen = 0;
  const out = new Map<string, number>();
  for (const character of characters) out.set(character, known.get(character) ?? lowest + UNSEEN_STEP * unseen++);
  for (let id = 1; id < texts.length && out.size < wanted; id++) {
    if (!out.has(texts[id]) && !taken.has(texts[id])) out.set(texts[id], scores[id]);
  }
  return [...out].sort((a, b) => b[1] - a[1]);
}

/** The derivative of the logarithm of the gamma function: recurrence up to 7, then the asymptotic series. */
function digamma(x: number): number {
  let result = 0;
  let y = x;
  while (y < 7) result -= 1 / y++;
  y -= 0.5;
  const inverse = 1 / (y * y);
  return result + log(y) + inverse * (1 / 24 - inverse * (7 / 960 - inverse * (31 / 8064 - inverse * (127 / 30720))));
}
