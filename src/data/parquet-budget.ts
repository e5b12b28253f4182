/** Memory that a row group may take, as its headers and levels announce it: counted before any of it is taken. */

import { Breach } from "./parquet-breach.js";

/** Every group may take so much: a quarter of a GiB fits beside anything. */
const FREE = 2 ** 28;
/** Codecs and runs make so many bytes of one; beyond it a count is no honest one. */
const MOST_RATIO = 1100;
/** More than this must stand in the file, compressed 16 times at most: no small file fills the memory. */
const MOST_BEYOND_FILE = 2 ** 31;
const LARGE_RATIO = 16;

/** What V8 takes, measured and rounded: a place in an array, an empty list, a list with one item, a BigInt, Date or view. */
const SLOT = 8;
const EMPTY_LIST = 32;
const LIST = 160;
const OBJECT = 64;

/** What decoding a page makes. */
export interface PageCost {
  /** Places, those without a value included. */
  readonly places: number;
  /** Places without a value in a nested column, which hold an empty list. */
  readonly empty: number;
  /** Lists around values. */
  readonly lists: number;
  /** Values that are objects of their own. */
  readonly objects: number;
}

/** What a row group may still take. */
export class ExpansionBudget {
  private left: number;
  constructor(
    private readonly compressed: number,
    limit?: number,
  ) {
    const honest = Math.min(MOST_RATIO * compressed, Math.max(MOST_BEYOND_FILE, LARGE_RATIO * compressed));
    this.left = limit ?? Math.max(FREE, honest);
  }

  /** Throws Breach when `length` further bytes are too many. */
  take(length: number): void {
    this.left -= length;
    if (this.left < 0) {
      throw new Breach(
        `a row group of ${this.compressed} bytes claims to expand beyond its limit`,
        "If the file is trusted, pass a larger maxDecompressedBytes.",
      );
    }
  }

  takePage({ places, empty, lists, objects }: PageCost): void {
    this.take(SLOT * places + EMPTY_LIST * empty + LIST * lists + OBJECT * objects);
  }
}
