/** `tenon/tokenizers`: text to ids and back. */

export { byteTokenizer, charTokenizer } from "./builtin.js";
export { applyChatTemplate, type ChatMessage, type ChatOptions, type Jinja } from "./chat.js";
export { createTokenizer } from "./create.js";
export type { DecodeStream } from "./decode-stream.js";
export type { AddedTokenDefinition, Component, Padding, TokenizerDefinition, Truncation } from "./definition.js";
export { Encoding, type OffsetUnit } from "./encoding.js";
export { type LoadOptions, loadTokenizer, type TokenizerSource, type VocabAndMerges } from "./load.js";
export { type CorpusMetrics, compareTokenizers, type TokenizerMetrics, tokenizerMetrics } from "./metrics.js";
export { type DecodeOptions, type EncodeOptions, Tokenizer, type TokenizerExtras } from "./tokenizer.js";
export { type Corpus, type TrainOptions, trainTokenizer } from "./train/train.js";
export type { PaddingOptions, TruncationOptions } from "./truncation.js";
