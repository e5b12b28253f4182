/** The one thing the training loop knows about data. */

/** A JSON value: what cursors are made of, so that they survive a file and another process. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/**
 * Makes batches, one after the other, and can say where it stands.
 *
 * A source is owned by one reader: calls of `next` must not overlap. Sources that draw at random never end; sources
 * that pass over data end with `null`, and stay there until `restore`.
 */
export interface BatchSource<B> {
  /** The next batch, or `null` once the source is exhausted. */
  next(): B | null | Promise<B | null>;
  /** Where the source stands: the batches still to come are a function of this record and the source's own options. */
  state(): Json;
  /** Continues from a record that `state()` gave, in this or another process. Throws DataError on any other record. */
  restore(state: Json): void;
  /** SHA-256, 64 hex digits, of content, split and transformations: equal fingerprints give equal batches. */
  fingerprint(): Promise<string>;
}

/** A batch for language models: rows of token ids, the batch dimension first. */
export interface TokenBatch {
  /** Row-major, `shape[0] * shape[1]` ids. Never overwritten by a later batch. */
  ids: Int32Array;
  /**
   * Same shape as `ids` and aligned with them, as Hugging Face expects: the model shifts by one inside, -100 does not
   * count. Absent where every id is its own label.
   */
  labels?: Int32Array;
  /** Same shape, 1 for real tokens and 0 for padding. Absent where nothing is padded. */
  attentionMask?: Uint8Array;
  /** `[batch, time]`. */
  shape: [number, number];
}
