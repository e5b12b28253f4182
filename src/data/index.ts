/** `tenon/data`: from any file to reproducible batches. */

export type { BatchSource, Json, TokenBatch } from "./batch-source.js";
export { contiguousParts, type Ratios, splitText } from "./ratio.js";
export {
  type BlockOptions,
  SequentialBlocks,
  type SequentialBlocksOptions,
  TokenBlocks,
  type TokenBlocksOptions,
} from "./token-blocks.js";
export { type TokenArray, type TokenSequence, tokenRange, tokensInMemory } from "./tokens.js";
