/** Merges that wait for their turn. */

/** A binary heap of (rank, position), smallest first, in typed arrays. */
export class RankHeap {
  size = 0;
  private keys: Float64Array;
  private merged: Int32Array;

  constructor(capacity: number) {
    this.keys = new Float64Array(capacity + 1);
    this.merged = new Int32Array(capacity + 1);
  }

  /** Rank and position in one number: 2^21 ranks' worth of exact integers remain above 2^31 positions. */
  push(rank: number, at: number, merged: number): void {
    if (this.size + 1 >= this.keys.length) {
      const keys = new Float64Array(this.keys.length * 2);
      keys.set(this.keys);
      this.keys = keys;
      const ids = new Int32Array(keys.length);
      ids.set(this.merged);
      this.merged = ids;
    }
    const { keys } = this;
    const key = rank * 0x80000000 + at;
    let i = this.size++;
    while (i > 0) {
      const up = (i - 1) >> 1;
      if (keys[up] <= key) break;
      keys[i] = keys[up];
      this.merged[i] = this.merged[up];
      i = up;
    }
    keys[i] = key;
    this.merged[i] = merged;
  }

  pop(): { rank: number; at: number; merged: number } {
    const { keys } = this;
    const top = keys[0];
    const merged = this.merged[0];
    const key = keys[--this.size];
    const id = this.merged[this.size];
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= this.size) break;
      if (child + 1 < this.size && keys[child + 1] < keys[child]) child++;
      if (keys[child] >= key) break;
      keys[i] = keys[child];
      this.merged[i] = this.merged[child];
      i = child;
    }
    keys[i] = key;
    this.merged[i] = id;
    const rank = Math.floor(top / 0x80000000);
    return { rank, at: top - rank * 0x80000000, merged };
  }
}
