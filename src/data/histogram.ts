/** A histogram made in one pass, without knowing the range: bins are powers of two wide and double when they must. */

const BINS = 64;
const SHOWN = 16;

export class Histogram {
  count = 0;
  min = Number.POSITIVE_INFINITY;
  max = Number.NEGATIVE_INFINITY;
  private width = 0;
  /** Number of the first bin: it starts at `first * width`. */
  private first = 0;
  private counts = new Array<number>(BINS).fill(0);

  add(value: number): void {
    this.count++;
    if (value < this.min) this.min = value;
    if (value > this.max) this.max = value;
    if (this.width === 0) {
      this.width = smallWidth(value);
      this.first = Math.floor(value / this.width);
    }
    while (!this.holds(value)) this.grow(value);
    this.counts[Math.floor(value / this.width) - this.first]++;
  }

  private holds(value: number): boolean {
    const bin = Math.floor(value / this.width);
    return bin >= this.first && bin < this.first + BINS;
  }

  /** Moves the window where that loses nothing, else doubles the width. */
  private grow(value: number): void {
    const low = Math.min(Math.floor(this.min / this.width), Math.floor(value / this.width));
    const high = Math.max(Math.floor(this.max / this.width), Math.floor(value / this.width));
    const next = new Array<number>(BINS).fill(0);
    if (high - low < BINS) {
      for (let i = 0; i < BINS; i++) if (this.counts[i] > 0) next[i + this.first - low] += this.counts[i];
      this.first = low;
    } else {
      const first = Math.floor(this.first / 2);
      for (let i = 0; i < BINS; i++) next[Math.floor((this.first + i) / 2) - first] += this.counts[i];
      this.first = first;
      this.width *= 2;
    }
    this.counts = next;
  }

  /** At most 16 bins from the first to the last that hold something. */
  bins(): { start: number; width: number; counts: number[] } {
    let { width, first, counts } = this;
    const trim = () => {
      const from = counts.findIndex((count) => count > 0);
      const to = counts.findLastIndex((count) => count > 0);
      counts = counts.slice(from, to + 1);
      first += from;
    };
    trim();
    while (counts.length > SHOWN) {
      const half = Math.floor(first / 2);
      const next = new Array<number>(Math.floor((first + counts.length - 1) / 2) - half + 1).fill(0);
      counts.forEach((count, i) => {
        next[Math.floor((first + i) / 2) - half] += count;
      });
      [first, counts, width] = [half, next, width * 2];
    }
    return { start: first * width, width, counts };
  }
}

/** A power of two about 2^-12 of the value, so that later values set the scale; 1 for whole numbers that are small. */
function smallWidth(value: number): number {
  if (Number.isInteger(value) && Math.abs(value) < 4096) return 1;
  let width = 1;
  const size = Math.abs(value) / 4096;
  while (width > size && width > 1e-300) width /= 2;
  while (width < size) width *= 2;
  return width;
}
