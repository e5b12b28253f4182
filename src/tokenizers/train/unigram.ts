/**
 * Training a Unigram model (Kudo 2018): start with many frequent substrings, estimate their probabilities by
 * expectation-maximization, drop those that cost the least, until the vocabulary has its size.
 */

import { exp, log } from "../../core/math.js";

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
  /** Rounds of estimation between two rounds of dropping. */
  rounds: number;
  onProgress?: (done: number, total: number) => void;
}

/** Expected counts below this drop a token. */
const LEAST_EXPECTED = 0.5;

/** Learns tokens and their log probabilities from words and how often each occurs; special tokens come first. */
export function trainUnigram(wordCounts: Map<string, number>, options: UnigramTrainerOptions): [string, number][] {
  const words = [...wordCounts].map(([word, count]) => ({ characters: [...word], count }));
  const special = [...new Set([options.unknownToken, ...options.specialTokens])];
  const wanted = Math.max(1, options.vocabSize - special.length);
  let pieces = seed(words, options);
  const required = new Set(words.flatMap(({ characters }) => characters));
  const start = pieces.size;
  for (;;) {
    for (let round = 0; round < options.rounds; round++) pieces = estimate(pieces, words, required);
    options.onProgress?.(Math.max(0, start - pieces.size), Math.max(1, start - wanted));
    if (pieces.size <= wanted * 1.1) break;
    const smaller = prune(
      pieces,
      words,
      required,
      Math.max(Math.floor(wanted * 1.1), Math.floor(pieces.size * options.shrinkingFactor)),
    );
    if (smaller.size >= pieces.size) break;
    pieces = smaller;
  }
  // All characters first, then the most probable pieces.
  const byScore = [...pieces].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const lowest = byScore.length > 0 ? byScore[byScore.length - 1][1] : 0;
  const kept = new Map<string, number>();
  for (const character of [...required].sort()) kept.set(character, pieces.get(character) ?? lowest - 1);
  for (const [piece, score] of byScore) {
    if (kept.size >= wanted) break;
    if (!special.includes(piece)) kept.set(piece, score);
  }
  const body = [...kept].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  return [...special.map((token): [string, number] => [token, 0]), ...body];
}

interface Word {
  characters: string[];
  count: number;
}

/** Characters, and the substrings of words that occur at least twice, weighed by frequency times length. */
function seed(words: Word[], { seedSize, maxTokenLength }: UnigramTrainerOptions): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { characters, count } of words) {
    for (let start = 0; start < characters.length; start++) {
      let text = "";
      for (let end = start; end < characters.length && end - start < maxTokenLength; end++) {
        text += characters[end];
        counts.set(text, (counts.get(text) ?? 0) + count);
      }
    }
  }
  const weighed: [string, number][] = [];
  for (const [text, count] of counts) {
    const length = [...text].length;
    if (length === 1 || count >= 2) weighed.push([text, count * length]);
  }
  weighed.sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const kept = weighed.filter(([text], i) => i < seedSize || [...text].length === 1);
  const total = log(kept.reduce((sum, [, weight]) => sum + weight, 0));
  return new Map(kept.map(([text, weight]) => [text, log(weight) - total]));
}

/** One round of expectation-maximization, with the correction of variational Bayes (digamma) that drops rare tokens. */
function estimate(pieces: Map<string, number>, words: Word[], required: Set<string>): Map<string, number> {
  const expected = new Map<string, number>();
  for (const { characters, count } of words) {
    for (const [piece, probability] of marginals(characters, pieces)) {
      expected.set(piece, (expected.get(piece) ?? 0) + probability * count);
    }
  }
  let total = 0;
  const kept: [string, number][] = [];
  for (const piece of pieces.keys()) {
    const count = expected.get(piece) ?? 0;
    if (count < LEAST_EXPECTED && !required.has(piece)) continue;
    kept.push([piece, Math.max(count, LEAST_EXPECTED)]);
    total += Math.max(count, LEAST_EXPECTED);
  }
  const base = digamma(total);
  return new Map(kept.map(([piece, count]) => [piece, digamma(count) - base]));
}

/** All places where a piece fits: by start, the ends and scores. */
function lattice(characters: string[], pieces: Map<string, number>, without?: string): [string, number, number][][] {
  return characters.map((_, start) => {
    const edges: [string, number, number][] = [];
    let text = "";
    for (let end = start; end < characters.length; end++) {
      text += characters[end];
      const score = text === without ? undefined : pieces.get(text);
      if (score !== undefined) edges.push([text, end + 1, score]);
      if (end - start > 32) break;
    }
    return edges;
  });
}

/** How probable it is that each piece is part of a cut of the word. */
function marginals(characters: string[], pieces: Map<string, number>): [string, number][] {
  const edges = lattice(characters, pieces);
  const { length } = characters;
  const forward = new Float64Array(length + 1).fill(Number.NEGATIVE_INFINITY);
  const backward = new Float64Array(length + 1).fill(Number.NEGATIVE_INFINITY);
  forward[0] = 0;
  for (let start = 0; start < length; start++) {
    for (const [, end, score] of edges[start]) forward[end] = logAdd(forward[end], forward[start] + score);
  }
  backward[length] = 0;
  for (let start = length - 1; start >= 0; start--) {
    for (const [, end, score] of edges[start]) backward[start] = logAdd(backward[start], backward[end] + score);
  }
  const out: [string, number][] = [];
  for (let start = 0; start < length; start++) {
    for (const [piece, end, score] of edges[start]) {
      const total = forward[start] + score + backward[end] - forward[length];
      if (total > -700) out.push([piece, exp(total)]);
    }
  }
  return out;
}

function logAdd(a: number, b: number): number {
  if (a === Number.NEGATIVE_INFINITY) return b;
  if (b === Number.NEGATIVE_INFINITY) return a;
  const high = Math.max(a, b);
  const low = Math.min(a, b);
  return low - high < -50 ? high : high + log(1 + exp(low - high));
}

/** The best cut of a word. */
function best(characters: string[], pieces: Map<string, number>, without?: string): string[] | undefined {
  const edges = lattice(characters, pieces, without);
  const scores = new Float64Array(characters.length + 1).fill(Number.NEGATIVE_INFINITY);
  const from: [number, string][] = [];
  scores[0] = 0;
  for (let start = 0; start < characters.length; start++) {
    if (scores[start] === Number.NEGATIVE_INFINITY) continue;
    for (const [piece, end, score] of edges[start]) {
      if (scores[start] + score > scores[end]) {
        scores[end] = scores[start] + score;
        from[end] = [start, piece];
      }
    }
  }
  if (scores[characters.length] === Number.NEGATIVE_INFINITY) return undefined;
  const out: string[] = [];
  for (let at = characters.length; at > 0; at = from[at][0]) out.push(from[at][1]);
  return out.reverse();
}

/** Keeps the pieces whose loss would cost the likelihood most. */
function prune(pieces: Map<string, number>, words: Word[], required: Set<string>, size: number): Map<string, number> {
  const uses = new Map<string, number>();
  let total = 0;
  for (const { characters, count } of words) {
    for (const piece of best(characters, pieces) ?? []) {
      uses.set(piece, (uses.get(piece) ?? 0) + count);
      total += count;
    }
  }
  const logTotal = log(Math.max(total, 1));
  const losses: [string, number][] = [];
  for (const piece of pieces.keys()) {
    if (required.has(piece)) {
      losses.push([piece, Number.POSITIVE_INFINITY]);
      continue;
    }
    const used = uses.get(piece);
    if (used === undefined) continue;
    const others = best([...piece], pieces, piece);
    if (others === undefined) {
      losses.push([piece, Number.POSITIVE_INFINITY]);
      continue;
    }
    // The text would be spelt with the next best cut: each of its pieces becomes more frequent.
    const logAfter = log(total + used * (others.length - 1));
    const after = others.reduce((sum, other) => sum + log((uses.get(other) ?? 0) + used) - logAfter, 0);
    losses.push([piece, used * (log(used) - logTotal - after)]);
  }
  losses.sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  return new Map(losses.slice(0, Math.max(size, required.size)).map(([piece]) => [piece, pieces.get(piece) as number]));
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
