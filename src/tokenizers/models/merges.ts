/**
 * The merges of a byte-pair encoding (Sennrich et al. 2016): from initial symbols to tokens.
 *
 * The meaning: as long as two neighbours have a merge, apply the merge of lowest rank, the leftmost one first
 * (`mergeByRank`, a heap). The fast way does not simulate this. A sequence of tokens is the encoding of its text
 * exactly when every two neighbours are the encoding of *their* text, and that is decided by undoing merges, latest
 * first, and asking whether a merge across the boundary would have come earlier. So: take the longest token that fits,
 * check it against the one before, fall back to shorter ones (van Antwerpen and Neubeck, "So many tokens, so little
 * time", GitHub 2024). It needs ranks that grow from parts to wholes; other tables use the heap.
 */

import { hashPair } from "./hash.js";
import { PairTable } from "./pair-table.js";
import { RankHeap } from "./rank-heap.js";
import { Trie } from "./trie.js";

/** No merge: larger than every rank. */
const NONE = 0x7fffffff;

/** Up to here looking through all neighbours is faster than anything clever. */
const SHORT = 24;
/** Longer pieces are treated so, too, until that has cost as much as building the trie. */
const LONGER = 128;
const WORTH_A_TRIE = 2_000_000;

/** Neighbours in long pieces that are remembered; a power of 2. */
const REMEMBERED = 4096;

export class Merges {
  private readonly table: PairTable;
  /** Of each token: its parts, the rank of the merge that makes it (-1: an initial symbol). */
  private left = new Int32Array(0);
  private right = new Int32Array(0);
  private rank = new Int32Array(0);
  /** All tokens that can appear, by their symbols. */
  private trie = new Trie(0);
  private tokenAt = new Int32Array(0);
  private nodeOf = new Int32Array(0);
  private length = new Int32Array(0);
  /** Three for each pair of neighbours: both tokens plus 1, and what fits instead of the second. */
  private remembered = new Int32Array(0);
  /** Whether the fast way is exact for this table; undefined until it is first asked for. */
  private exact: boolean | undefined;
  private out = new Int32Array(256);
  private spans = new Int32Array(256);
  private spansKnown = false;
  /** Of each neighbour in a short piece: rank and place of their merge. */
  private readonly ranks = new Int32Array(LONGER + 1);
  private readonly places = new Int32Array(LONGER + 1);
  private longWork = 0;
  private dead = new Uint8Array(257);

  /**
   * `pairs` holds three ids for each merge in order of rank: first, second, merged. `bound` is above every id;
   * `isSymbol(id)` tells the tokens that a text can begin with.
   */
  constructor(
    private readonly pairs: Int32Array,
    private readonly bound: number,
    private readonly isSymbol: (id: number) => boolean,
  ) {
    this.table = new PairTable(pairs);
  }

  /** Whether the fast way is exact for this table. */
  get proper(): boolean {
    this.exact ??= this.buildTrie();
    return this.exact;
  }

  /** Rank of the merge of two ids, or a number above every rank. */
  private rankOf(a: number, b: number): number {
    const place = this.table.find(a, b);
    return place < 0 ? NONE : this.table.rank(place);
  }

  /** Would the texts of tokens a and b, side by side, stay apart before the merge of rank `limit`? */
  private valid(a: number, b: number, limit: number): boolean {
    const { rank } = this;
    for (;;) {
      if (this.rankOf(a, b) < limit) return false;
      const rankA = rank[a];
      const rankB = rank[b];
      if (rankA > rankB) {
        // The left token's last merge came before any merge of equal rank to its right.
        limit = rankA;
        a = this.right[a];
      } else {
        if (rankB < 0) return true;
        limit = rankB + 1;
        b = this.left[b];
      }
    }
  }

  /** The longest beginning of `token` that may stand behind `before`, or -1: pieces ask for the same again and again. */
  private firstFit(before: number, token: number): number {
    const { remembered } = this;
    const at = 3 * (hashPair(before, token) & (REMEMBERED - 1));
    if (remembered[at] !== before + 1 || remembered[at + 1] !== token + 1) {
      let fit = token;
      while (fit >= 0 && !this.valid(before, fit, NONE)) fit = this.shorter(fit);
      remembered[at] = before + 1;
      remembered[at + 1] = token + 1;
      remembered[at + 2] = fit;
    }
    return remembered[at + 2];
  }

  /**
   * Finds how each token comes about when its text is encoded alone, and puts those that do into the trie. False when
   * a token comes about by a merge that ranks before the merges of its parts: undoing by rank would go wrong.
   */
  private buildTrie(): boolean {
    const { pairs, bound } = this;
    const count = pairs.length / 3;
    const left = (this.left = new Int32Array(bound));
    const right = (this.right = new Int32Array(bound));
    const rank = (this.rank = new Int32Array(bound).fill(-1));
    const length = (this.length = new Int32Array(bound));
    const nodeOf = (this.nodeOf = new Int32Array(bound));
    let total = 0;
    for (let id = 0; id < bound; id++) if (this.isSymbol(id)) length[id] = ++total && 1;
    const open: number[] = [];
    for (let i = 0; i < count; i++) {
      const a = pairs[3 * i];
      const b = pairs[3 * i + 1];
      const merged = pairs[3 * i + 2];
      if (length[merged] === 1) return false;
      // Listed again further down, or made already by a merge of lower rank.
      if (this.rankOf(a, b) !== i || length[merged] > 0) continue;
      if (length[a] === 0 || length[b] === 0) {
        open.push(i);
        continue;
      }
      if (!this.valid(a, b, i)) continue;
      rank[merged] = i;
      left[merged] = a;
      right[merged] = b;
      length[merged] = length[a] + length[b];
      total += length[b];
    }
    if (open.some((i) => this.comesAbout(pairs[3 * i], pairs[3 * i + 1], pairs[3 * i + 2]))) return false;
    this.trie = new Trie(total);
    this.remembered = new Int32Array(3 * REMEMBERED);
    this.tokenAt = new Int32Array(total + 1).fill(-1);
    const { trie } = this;
    for (let id = 0; id < bound; id++) {
      if (length[id] !== 1) continue;
      nodeOf[id] = trie.child(trie.add(0, id));
      this.tokenAt[nodeOf[id]] = id;
    }
    const symbols: number[] = [];
    for (let i = 0; i < count; i++) {
      const merged = pairs[3 * i + 2];
      if (rank[merged] !== i) continue;
      let node = nodeOf[left[merged]];
      let slot = -1;
      symbols.length = 0;
      this.symbolsOf(right[merged], symbols);
      for (const symbol of symbols) {
        slot = trie.add(node, symbol);
        node = trie.child(slot);
      }
      trie.setValue(slot, merged);
      nodeOf[merged] = node;
      this.tokenAt[node] = merged;
    }
    return true;
  }

  /** Whether a merge of parts that were found later makes a token out of its text after all. */
  private comesAbout(a: number, b: number, merged: number): boolean {
    if (this.length[a] === 0 || this.length[b] === 0 || this.length[merged] > 0) return false;
    const symbols: number[] = [];
    this.symbolsOf(a, symbols);
    this.symbolsOf(b, symbols);
    return this.mergeByRank(Int32Array.from(symbols), symbols.length).count === 1;
  }

  private symbolsOf(token: number, out: number[]): void {
    if (this.length[token] === 1) out.push(token);
    else {
      this.symbolsOf(this.left[token], out);
      this.symbolsOf(this.right[token], out);
    }
  }

  /** The longest token that begins at `symbols[at]`. */
  private longest(symbols: Int32Array, at: number, count: number): number {
    let best = symbols[at];
    let node = this.nodeOf[best];
    const { trie } = this;
    for (let i = at + 1; i < count; i++) {
      const slot = trie.find(node, symbols[i]);
      if (slot < 0) break;
      node = trie.child(slot);
      const token = trie.value(slot);
      if (token >= 0) best = token;
    }
    return best;
  }

  /** The longest token that is a shorter beginning of this one, or -1. */
  private shorter(token: number): number {
    let node = this.trie.parent(this.nodeOf[token]);
    while (node > 0 && this.tokenAt[node] < 0) node = this.trie.parent(node);
    return node === 0 ? -1 : this.tokenAt[node];
  }

  /** Tokens of the first `count` symbols; the result is valid until the next call. */
  encode(symbols: Int32Array, count: number): { tokens: Int32Array; count: number } {
    if (count > this.out.length) {
      this.out = new Int32Array(count * 2);
      this.dead = new Uint8Array(count * 2 + 1);
    }
    const { out } = this;
    this.spansKnown = false;
    if (count < 2) {
      out[0] = symbols[0];
      this.spans[0] = 1;
      this.spansKnown = true;
      return { tokens: out, count };
    }
    if (count <= SHORT) return { tokens: out, count: this.mergeShort(symbols, count) };
    if (this.exact === undefined && count <= LONGER && this.longWork < WORTH_A_TRIE) {
      this.longWork += count * count;
      return { tokens: out, count: this.mergeShort(symbols, count) };
    }
    if (!this.proper) return this.mergeByRank(symbols, count);
    const { length, dead } = this;
    let position = 0;
    let found = 0;
    let deadTo = 0;
    let token = this.longest(symbols, 0, count);
    while (position < count) {
      if (found > 0) token = this.firstFit(out[found - 1], token);
      if (token >= 0) {
        const end = position + length[token];
        if (dead[end] === 0) {
          out[found++] = token;
          position = end;
          if (end < count) token = this.longest(symbols, end, count);
          continue;
        }
        token = this.shorter(token);
        if (token >= 0) continue;
      }
      // No token fits here: never come back, and shorten the token before.
      dead[position] = 1;
      if (position >= deadTo) deadTo = position + 1;
      token = out[--found];
      position -= length[token];
    }
    if (deadTo > 0) dead.fill(0, 0, deadTo);
    return { tokens: out, count: found };
  }

  /** For a few symbols: looks through all neighbours for the lowest rank, again and again. */
  private mergeShort(symbols: Int32Array, count: number): number {
    const { out, spans, ranks, places, table } = this;
    for (let i = 0; i < count; i++) {
      out[i] = symbols[i];
      spans[i] = 1;
    }
    this.spansKnown = true;
    ranks[count - 1] = NONE;
    for (let i = 0; i + 1 < count; i++) this.look(i);
    let n = count;
    for (;;) {
      let best = NONE;
      let at = -1;
      for (let i = 0; i + 1 < n; i++) {
        if (ranks[i] < best) {
          best = ranks[i];
          at = i;
        }
      }
      if (at < 0) return n;
      out[at] = table.merged(places[at]);
      spans[at] += spans[at + 1];
      n--;
      for (let i = at + 1; i < n; i++) {
        out[i] = out[i + 1];
        spans[i] = spans[i + 1];
        ranks[i] = ranks[i + 1];
        places[i] = places[i + 1];
      }
      if (at + 1 < n) this.look(at);
      else ranks[at] = NONE;
      if (at > 0) this.look(at - 1);
    }
  }

  /** Notes the merge of the token at `i` with the one behind it. */
  private look(i: number): void {
    const { table } = this;
    const place = table.findAgain(this.out[i], this.out[i + 1]);
    this.places[i] = place;
    this.ranks[i] = place < 0 ? NONE : table.rank(place);
  }

  /** The meaning of the merges, step by step. `skip`, when given, leaves out a merge at random (BPE dropout). */
  mergeByRank(symbols: Int32Array, count: number, skip?: () => boolean): { tokens: Int32Array; count: number } {
    const { table } = this;
    const ids = symbols.slice(0, count);
    const next = new Int32Array(count);
    const previous = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      next[i] = i + 1 < count ? i + 1 : -1;
      previous[i] = i - 1;
    }
    const heap = new RankHeap(count);
    const offer = (at: number) => {
      if (at < 0 || next[at] < 0) return;
      const place = table.find(ids[at], ids[next[at]]);
      if (place >= 0) heap.push(table.rank(place), at, table.merged(place));
    };
    for (let i = 0; i + 1 < count; i++) offer(i);
    const skipped: number[] = [];
    while (heap.size > 0) {
      const { rank, at, merged } = heap.pop();
      if (skip?.()) {
        skipped.push(rank, at, merged);
        continue;
      }
      for (let i = 0; i < skipped.length; i += 3) heap.push(skipped[i], skipped[i + 1], skipped[i + 2]);
      skipped.length = 0;
      const neighbour = next[at];
      if (ids[at] < 0 || neighbour < 0) continue;
      const place = table.find(ids[at], ids[neighbour]);
      if (place < 0 || table.merged(place) !== merged) continue;
      ids[at] = merged;
      ids[neighbour] = -1;
      next[at] = next[neighbour];
      if (next[at] >= 0) previous[next[at]] = at;
      offer(previous[at]);
      offer(at);
    }
    const tokens = new Int32Array(count);
    if (this.spans.length < count) this.spans = new Int32Array(count * 2);
    let n = 0;
    for (let i = 0; i >= 0 && i < count; i = next[i]) {
      this.spans[n] = (next[i] < 0 ? count : next[i]) - i;
      tokens[n++] = ids[i];
    }
    this.spansKnown = true;
    return { tokens, count: n };
  }

  /** Symbols in token number `index` of the last result. */
  spanOf(index: number, token: number): number {
    return this.spansKnown ? this.spans[index] : Math.max(1, this.length[token]);
  }
}
