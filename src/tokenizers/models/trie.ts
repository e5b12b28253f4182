/** A trie over small integers (symbols, UTF-16 units) in one open-addressed table. */

import { hashPair, tableSize } from "./hash.js";

export class Trie {
  /** Slots of four: node, symbol, child node, value at the child or -1. Node 0 is the root. */
  private table: Int32Array;
  private mask: number;
  private parents: Int32Array;
  nodes = 1;

  constructor(expectedNodes: number) {
    const size = tableSize(expectedNodes);
    this.table = new Int32Array(size * 4).fill(-1);
    this.mask = size - 1;
    this.parents = new Int32Array(size);
  }

  /** The slot of a node's child by symbol, or -1. */
  find(node: number, symbol: number): number {
    const { table, mask } = this;
    let slot = hashPair(node, symbol) & mask;
    for (;;) {
      const at = slot * 4;
      const key = table[at];
      if (key === node && table[at + 1] === symbol) return at;
      if (key === -1) return -1;
      slot = (slot + 1) & mask;
    }
  }

  child(slot: number): number {
    return this.table[slot + 2];
  }
  value(slot: number): number {
    return this.table[slot + 3];
  }
  setValue(slot: number, value: number): void {
    this.table[slot + 3] = value;
  }
  parent(node: number): number {
    return this.parents[node];
  }

  /** The slot of a node's child by symbol, made when it is missing. */
  add(node: number, symbol: number): number {
    const found = this.find(node, symbol);
    if (found >= 0) return found;
    if (this.nodes * 2 > this.mask) this.grow();
    const { table, mask } = this;
    let slot = hashPair(node, symbol) & mask;
    while (table[slot * 4] !== -1) slot = (slot + 1) & mask;
    const at = slot * 4;
    table[at] = node;
    table[at + 1] = symbol;
    table[at + 2] = this.nodes;
    this.parents[this.nodes++] = node;
    return at;
  }

  /** Adds a text by its units; `value` is found at its end. */
  addText(text: string, value: number): void {
    let node = 0;
    let slot = -1;
    for (let i = 0; i < text.length; i++) {
      slot = this.add(node, text.charCodeAt(i));
      node = this.child(slot);
    }
    if (slot >= 0) this.setValue(slot, value);
  }

  /** Where the text ends that `longest` found. */
  end = 0;

  /** The value of the longest text that `text` goes on with at `start`, or -1; looked for from `node` on. */
  longest(text: string, start: number, node = 0): number {
    let found = -1;
    for (let at = start; at < text.length; ) {
      const slot = this.find(node, text.charCodeAt(at++));
      if (slot < 0) break;
      node = this.child(slot);
      if (this.value(slot) < 0) continue;
      found = this.value(slot);
      this.end = at;
    }
    return found;
  }

  private grow(): void {
    const old = this.table;
    this.table = new Int32Array(old.length * 2).fill(-1);
    this.mask = this.table.length / 4 - 1;
    const parents = new Int32Array(this.mask + 1);
    parents.set(this.parents);
    this.parents = parents;
    for (let from = 0; from < old.length; from += 4) {
      if (old[from] === -1) continue;
      let slot = hashPair(old[from], old[from + 1]) & this.mask;
      while (this.table[slot * 4] !== -1) slot = (slot + 1) & this.mask;
      for (let k = 0; k < 4; k++) this.table[slot * 4 + k] = old[from + k];
    }
  }
}
