/** Blocks of tokens for language models: drawn at random for training, in order for evaluation. */

import { ConfigError, DataError } from "../core/errors.js";
import { canonicalJson } from "../core/json.js";
import { Generator, type RandomCall, randomInteger } from "../core/random.js";
import { sha256Hex } from "../core/sha256.js";
import type { BatchSource, Json, TokenBatch } from "./batch-source.js";
import { checkKinds } from "./options.js";
import { type TokenArray, type TokenSequence, tokensInMemory } from "./tokens.js";

export interface BlockOptions {
  /** Rows of a batch. */
  batchSize: number;
  /** T: ids of a row. */
  blockSize: number;
  /**
   * Adds the id that follows the block: rows of T + 1 ids. A model's `loss(ids, labels)` shifts by one inside, so a row
   * of T ids trains T - 1 positions and a row of T + 1 ids trains T, which is what a block size of T promises. The
   * training loop asks for it; false unless told.
   */
  nextToken?: boolean;
}

const BLOCK_KINDS = { batchSize: "other", blockSize: "other", nextToken: "flag" } as const;

export interface TokenBlocksOptions extends BlockOptions {
  /** Seed of the random stream, an integer from 0 to 2^53 - 1. */
  seed: number;
  /** Name of the random stream; `shuffle` unless told. */
  stream?: string;
}

/**
 * An endless source of blocks at random offsets of one long sequence, with replacement (the sampling of nanoGPT).
 *
 * Offset i of batch n is the bounded integer number i of call n of the stream: a function of (seed, stream, n, i), so
 * the whole state is the number of the next batch. Batches carry `ids` alone: every id is its own label.
 *
 * @example
 * const source = new TokenBlocks(ids, { batchSize: 12, blockSize: 64, seed: 1337, nextToken: true });
 * const { ids, shape } = await source.next(); // shape [12, 65]
 */
export class TokenBlocks implements BatchSource<TokenBatch> {
  private readonly tokens: TokenSequence;
  private readonly options: Required<TokenBlocksOptions>;
  private readonly generator: Generator;
  private readonly width: number;
  private batch = 0;

  /** Throws DataError when the tokens do not fill one block. */
  constructor(tokens: TokenArray | TokenSequence, options: TokenBlocksOptions) {
    checkKinds("TokenBlocks", options, { ...BLOCK_KINDS, seed: "other", stream: "text" });
    this.tokens = asSequence(tokens);
    this.options = { nextToken: false, stream: "shuffle", ...options };
    this.width = rowWidth(this.options);
    this.generator = new Generator(this.options.seed);
    requireBlock(this.tokens, this.width, this.options.blockSize);
  }

  /** A batch `[batchSize, blockSize]` (or `blockSize + 1`); at once where the tokens lie in memory. */
  next(): TokenBatch | Promise<TokenBatch> {
    const { stream, batchSize } = this.options;
    const call = this.generator.at(stream, this.batch++);
    const places = this.tokens.length - this.width + 1;
    const offsetOf = (row: number) => randomOffset(call, row, batchSize, places);
    return orBack(readRows(this.tokens, batchSize, offsetOf, this.width), () => {
      this.batch--;
    });
  }

  state(): { batch: number } {
    return { batch: this.batch };
  }

  restore(state: Json): void {
    this.batch = stateNumber(state, "batch", "TokenBlocks");
  }

  async fingerprint(): Promise<string> {
    return sha256Hex(canonicalJson({ tokenBlocks: this.options, tokens: await this.tokens.contentHash() }));
  }
}

export interface SequentialBlocksOptions extends BlockOptions {
  /**
   * Part of the blocks to use, above 0 up to 1, taken at even distances over the whole sequence; 1 unless told.
   * At least one block is used.
   */
  fraction?: number;
}

/**
 * One pass over a sequence in contiguous blocks, in order, the same every time: for evaluation. Block i starts at
 * `i * blockSize`, so with `nextToken` each position is predicted once. Tokens after the last whole block are left out
 * (fewer than one block); the last batch may have fewer rows. Ends with `null`.
 */
export class SequentialBlocks implements BatchSource<TokenBatch> {
  private readonly tokens: TokenSequence;
  private readonly options: Required<SequentialBlocksOptions>;
  private readonly width: number;
  /** Blocks of the pass. */
  readonly blocks: number;
  private readonly available: number;
  private block = 0;

  /** Throws DataError when the tokens do not fill one block. */
  constructor(tokens: TokenArray | TokenSequence, options: SequentialBlocksOptions) {
    checkKinds("SequentialBlocks", options, { ...BLOCK_KINDS, fraction: "other" });
    this.tokens = asSequence(tokens);
    this.options = { nextToken: false, fraction: 1, ...options };
    this.width = rowWidth(this.options);
    const { fraction, blockSize } = this.options;
    if (!(fraction > 0 && fraction <= 1)) {
      throw new ConfigError(`fraction: needs a number above 0 and at most 1, got ${fraction}.`, { where: "fraction" });
    }
    requireBlock(this.tokens, this.width, blockSize);
    this.available = Math.floor((this.tokens.length - this.width) / blockSize) + 1;
    this.blocks = Math.max(1, Math.floor(this.available * fraction));
  }

  /** Batches of the pass. */
  get batches(): number {
    return Math.ceil(this.blocks / this.options.batchSize);
  }

  next(): TokenBatch | null | Promise<TokenBatch> {
    const { batchSize, blockSize } = this.options;
    const rows = Math.min(batchSize, this.blocks - this.block);
    if (rows <= 0) return null;
    const first = this.block;
    const offsetOf = (row: number) => Math.floor(((first + row) * this.available) / this.blocks) * blockSize;
    this.block += rows;
    return orBack(readRows(this.tokens, rows, offsetOf, this.width), () => {
      this.block -= rows;
    });
  }

  state(): { block: number } {
    return { block: this.block };
  }

  restore(state: Json): void {
    this.block = stateNumber(state, "block", "SequentialBlocks");
  }

  async fingerprint(): Promise<string> {
    return sha256Hex(canonicalJson({ sequentialBlocks: this.options, tokens: await this.tokens.contentHash() }));
  }
}

/** Uniform in [0, places), for any `places` up to 2^53: two words and rejection where one word does not reach. */
function randomOffset(call: RandomCall, row: number, rows: number, places: number): number {
  if (places <= 4294967296) return randomInteger(call, row, places);
  const highs = Math.ceil(places / 4294967296);
  for (let attempt = 0; ; attempt++) {
    const index = 2 * (row + attempt * rows);
    const offset = randomInteger(call, index, highs) * 4294967296 + randomInteger(call, index + 1, 4294967296);
    if (offset < places) return offset;
  }
}

/** Reads rows of `width` ids, each at its offset. Waits only where the sequence does. */
function readRows(
  tokens: TokenSequence,
  rows: number,
  offsetOf: (row: number) => number,
  width: number,
): TokenBatch | Promise<TokenBatch> {
  const ids = new Int32Array(rows * width);
  const batch: TokenBatch = { ids, shape: [rows, width] };
  const waiting: Promise<void>[] = [];
  for (let row = 0; row < rows; row++) {
    const offset = offsetOf(row);
    const read = tokens.read(offset, offset + width);
    if (read instanceof Promise) waiting.push(read.then((block) => ids.set(block, row * width)));
    else ids.set(read, row * width);
  }
  return waiting.length > 0 ? Promise.all(waiting).then(() => batch) : batch;
}

/** A batch that could not be read was not given: who asks again gets the same one. */
const orBack = (batch: TokenBatch | Promise<TokenBatch>, back: () => void): TokenBatch | Promise<TokenBatch> =>
  batch instanceof Promise
    ? batch.catch((error) => {
        back();
        throw error;
      })
    : batch;

const asSequence = (tokens: TokenArray | TokenSequence): TokenSequence =>
  typeof (tokens as TokenSequence | null)?.read === "function"
    ? (tokens as TokenSequence)
    : tokensInMemory(tokens as TokenArray);

function rowWidth({ batchSize, blockSize, nextToken }: BlockOptions): number {
  for (const [name, value] of Object.entries({ batchSize, blockSize })) {
    if (!(Number.isSafeInteger(value) && value > 0)) {
      throw new ConfigError(`${name}: needs a positive integer, got ${value}.`, { where: name, got: value });
    }
  }
  return blockSize + (nextToken ? 1 : 0);
}

function requireBlock(tokens: TokenSequence, width: number, blockSize: number): void {
  if (tokens.length >= width) return;
  throw new DataError(`${tokens.name}: needs at least ${width} tokens for one block, got ${tokens.length}.`, {
    where: tokens.name,
    hint: `Use a blockSize below ${blockSize}, more text, or a larger part of the split.`,
  });
}

/** The non-negative integer `key` of a cursor; DataError on anything else. */
export function stateNumber(state: Json, key: string, where: string): number {
  const value = (state as Record<string, Json> | null)?.[key];
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new DataError(`${where}.restore: needs a state with "${key}", got ${JSON.stringify(state)}.`, {
    where,
    hint: "Restore the record that state() of the same kind of source gave.",
  });
}
