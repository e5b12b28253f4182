/**
 * All ways to cut words into pieces: of each position, the pieces that begin there. Worked out once; as pieces are
 * dropped, the lists become shorter.
 */

import { log } from "../../core/math.js";
import { Trie } from "../models/trie.js";

/** The number of the piece that stands for an unknown character. */
export const UNKNOWN = 0;

/** An edge holds the number of a piece and, in its lowest bits, the length in characters. */
const LENGTH_BITS = 6;
const LENGTH_MASK = (1 << LENGTH_BITS) - 1;

/** Products below 2^-300 are made larger by 2^300, which rounds nothing. */
const TINY = 4.909093465297727e-91;
const HUGE = 2.037035976334486e90;

export class Lattices {
  private readonly starts: Int32Array;
  private readonly counts: Float64Array;
  /** Edges from each position: `edges[from[p], from[p + 1])`. */
  private readonly from: Int32Array;
  private edges: Int32Array;
  private readonly longest: number;
  private readonly total: number;
  private forward = new Float64Array(64);
  private backward = new Float64Array(64);
  private shifts = new Int32Array(64);
  private through = new Int32Array(64);

  /** `texts` are the pieces by number, the one for unknown characters first. */
  constructor(wordCounts: Map<string, number>, texts: string[], maxTokenLength: number) {
    this.longest = Math.min(maxTokenLength, LENGTH_MASK);
    const trie = new Trie(texts.length * 2);
    for (let id = 1; id < texts.length; id++) {
      let slot = -1;
      for (const character of texts[id])
        slot = trie.add(slot < 0 ? 0 : trie.child(slot), character.codePointAt(0) as number);
      if (slot >= 0) trie.setValue(slot, id);
    }
    this.starts = new Int32Array(wordCounts.size + 1);
    this.counts = Float64Array.from(wordCounts.values());
    this.total = this.counts.reduce((sum, count) => sum + count, 0);
    const symbols: number[] = [];
    let word = 0;
    for (const text of wordCounts.keys()) {
      for (const character of text) symbols.push(character.codePointAt(0) as number);
      this.starts[++word] = symbols.length;
    }
    this.from = new Int32Array(symbols.length + 1);
    let edges = new Int32Array(symbols.length * 4 + 16);
    let used = 0;
    for (word = 0; word < wordCounts.size; word++) {
      const end = this.starts[word + 1];
      for (let at = this.starts[word]; at < end; at++) {
        this.from[at] = used;
        if (used + this.longest > edges.length) {
          const larger = new Int32Array(edges.length * 2);
          larger.set(edges);
          edges = larger;
        }
        let node = 0;
        for (let i = at; i < end && i - at < this.longest; i++) {
          const slot = trie.find(node, symbols[i]);
          if (slot < 0) break;
          node = trie.child(slot);
          const id = trie.value(slot);
          if (id > 0) edges[used++] = (id << LENGTH_BITS) | (i - at + 1);
        }
      }
    }
    this.from[symbols.length] = used;
    this.edges = edges.slice(0, used);
  }

  /** Pieces other than these are dropped; the new number of `kept[i]` is i + 1. */
  keep(kept: number[]): void {
    const { edges, from } = this;
    const most = kept.reduce((high, id) => Math.max(high, id), 0);
    const numbers = new Int32Array(most + 1).fill(-1);
    kept.forEach((id, i) => {
      numbers[id] = i + 1;
    });
    let used = 0;
    for (let at = 0; at + 1 < from.length; at++) {
      const [first, end] = [from[at], from[at + 1]];
      from[at] = used;
      for (let k = first; k < end; k++) {
        const id = edges[k] >> LENGTH_BITS;
        const number = id <= most ? numbers[id] : -1;
        if (number > 0) edges[used++] = (number << LENGTH_BITS) | (edges[k] & LENGTH_MASK);
      }
    }
    from[from.length - 1] = used;
  }

  private makeRoom(length: number): void {
    if (length < this.forward.length) return;
    this.forward = new Float64Array(length * 2);
    this.backward = new Float64Array(length * 2);
    this.shifts = new Int32Array(length * 2);
    this.through = new Int32Array(length * 2);
  }

  /**
   * How often each piece is expected in all words, given the pieces' probabilities (forward and backward sums over all
   * ways), and the mean negative log likelihood of a word.
   */
  expectations(probability: Float64Array): { expected: Float64Array; objective: number } {
    const expected = new Float64Array(probability.length);
    let objective = 0;
    for (let word = 0; word < this.counts.length; word++) {
      objective -= this.counts[word] * this.addExpectations(word, probability, expected);
    }
    return { expected, objective: objective / this.total };
  }

  /** Adds one word's expectations; returns its log likelihood. */
  private addExpectations(word: number, probability: Float64Array, expected: Float64Array): number {
    const start = this.starts[word];
    const n = this.starts[word + 1] - start;
    this.makeRoom(n + 1);
    const { forward, backward, shifts, from, edges, longest } = this;
    forward.fill(0, 0, n + 1);
    forward[0] = 1;
    let shift = 0;
    for (let at = 0; at < n; at++) {
      if (forward[at] < TINY) {
        for (let k = at; k <= n && k < at + longest; k++) forward[k] *= HUGE;
        shift++;
      }
      shifts[at] = shift;
      const here = forward[at];
      let single = false;
      for (let k = from[start + at]; k < from[start + at + 1]; k++) {
        const length = edges[k] & LENGTH_MASK;
        if (length === 1) single = true;
        forward[at + length] += here * probability[edges[k] >> LENGTH_BITS];
      }
      if (!single) forward[at + 1] += here * probability[UNKNOWN];
    }
    const all = forward[n];
    const weight = this.counts[word] / all;
    backward[n] = 1;
    let back = 0;
    for (let at = n - 1; at >= 0; at--) {
      // Sums ahead are in one measure; `scale` brings them and the sums behind to the measure of the whole.
      let scale = weight * forward[at];
      for (let k = shifts[at] + back - shift; k > 0; k--) scale *= TINY;
      for (let k = shifts[at] + back - shift; k < 0; k++) scale *= HUGE;
      let sum = 0;
      let single = false;
      for (let k = from[start + at]; k < from[start + at + 1]; k++) {
        const length = edges[k] & LENGTH_MASK;
        const id = edges[k] >> LENGTH_BITS;
        if (length === 1) single = true;
        const ahead = probability[id] * backward[at + length];
        sum += ahead;
        expected[id] += scale * ahead;
      }
      if (!single) sum += probability[UNKNOWN] * backward[at + 1];
      backward[at] = sum;
      if (sum < TINY) {
        for (let k = at; k <= n && k < at + longest; k++) backward[k] *= HUGE;
        back++;
      }
    }
    return log(all) + shift * log(TINY);
  }

  /** Frequencies of the pieces in the best way to cut each word, and how many words (by count) hold each. */
  bestPaths(scores: Float64Array): { frequency: Float64Array; wordFrequency: Float64Array; words: number } {
    const frequency = new Float64Array(scores.length);
    const wordFrequency = new Float64Array(scores.length);
    for (let word = 0; word < this.counts.length; word++) {
      for (const id of this.best(word, scores)) {
        frequency[id] += this.counts[word];
        wordFrequency[id] += this.counts[word];
      }
    }
    return { frequency, wordFrequency, words: this.total };
  }

  /** The pieces of the best way to cut a word, without the piece `left` where one is named; none if there is no way. */
  best(word: number, scores: Float64Array, left = -1): number[] {
    const start = this.starts[word];
    const n = this.starts[word + 1] - start;
    this.makeRoom(n + 1);
    const { forward: best, through, from, edges } = this;
    best.fill(Number.NEGATIVE_INFINITY, 0, n + 1);
    best[0] = 0;
    for (let at = 0; at < n; at++) {
      if (best[at] === Number.NEGATIVE_INFINITY) continue;
      let single = false;
      for (let k = from[start + at]; k < from[start + at + 1]; k++) {
        const edge = edges[k];
        const length = edge & LENGTH_MASK;
        if (length === 1) single = true;
        const id = edge >> LENGTH_BITS;
        const score = best[at] + scores[id];
        if (id !== left && score > best[at + length]) {
          best[at + length] = score;
          through[at + length] = edge;
        }
      }
      if (!single && best[at] + scores[UNKNOWN] > best[at + 1]) {
        best[at + 1] = best[at] + scores[UNKNOWN];
        through[at + 1] = (UNKNOWN << LENGTH_BITS) | 1;
      }
    }
    const out: number[] = [];
    if (best[n] === Number.NEGATIVE_INFINITY) return out;
    for (let at = n; at > 0; at -= through[at] & LENGTH_MASK) out.push(through[at] >> LENGTH_BITS);
    return out.reverse();
  }
}
