/** `tenon/data`: from any file to reproducible batches. */

export type { BatchSource, Json, TokenBatch } from "./batch-source.js";
export { type Batch, Batches, type BatchesState, type BatchOptions } from "./batches.js";
export type { BucketOptions } from "./bucket.js";
export type { BytesOptions, DataSource } from "./bytes.js";
export {
  type CheckOptions,
  type CheckReport,
  type ColumnSummary,
  checkDataset,
  type SplitSummary,
} from "./check.js";
export type { BatchColumn, CollateOptions } from "./collate.js";
export { type DataFormat, type DatasetConfig, openDataset } from "./config.js";
export { type CsvOptions, fromCsv } from "./csv.js";
export { Dataset, type DatasetState, type OpeningDataset } from "./dataset.js";
export type { TextOptions } from "./decode.js";
export { fromIdx, type IdxArray, type IdxOptions, readIdx } from "./idx.js";
export { fromJson, fromJsonl, type JsonlOptions, type JsonOptions } from "./json.js";
export {
  type ChatMessage,
  collectTokens,
  type DocumentOptions,
  encodeInstructions,
  encodeTexts,
  type InstructionExample,
  type InstructionOptions,
  instructionStep,
  type TextPart,
  type TextTokenizer,
  tokenizeDocuments,
  tokenStep,
} from "./language.js";
export type { MapContext, MapOptions, Mapper, StepIdentity } from "./map.js";
export type { PackOptions, TokenBlock } from "./pack.js";
export { fromParquet, type ParquetOptions } from "./parquet.js";
export type { Provenance } from "./provenance.js";
export { contiguousParts, type Ratios, splitText } from "./ratio.js";
export type { Row } from "./row.js";
export { fromRows } from "./rows.js";
export type { Field, FieldType, Schema, SchemaInput } from "./schema.js";
export type { ShuffleOptions } from "./shuffle.js";
export type { SourceOptions } from "./source.js";
export type { SplitByOptions, SplitOptions } from "./split.js";

export {
  decodeTarget,
  type EncodedRow,
  encodeRow,
  type FeatureEncoding,
  fitTable,
  type TableEncoding,
  type TableOptions,
  type TargetEncoding,
} from "./table.js";
export { type TalesOptions, tales, talesEntropy } from "./tales.js";
export { fromText, type TextSourceOptions } from "./text.js";
export { TokenBatches } from "./token-batches.js";
export {
  type BlockOptions,
  SequentialBlocks,
  type SequentialBlocksOptions,
  TokenBlocks,
  type TokenBlocksOptions,
} from "./token-blocks.js";
export { openTokenFile, type TokenFile, type TokenFileOptions, tokenFileBytes, verifyTokenFile } from "./token-file.js";
export { type TokenArray, type TokenSequence, tokenRange, tokensInMemory } from "./tokens.js";
export type { ReadReport, Violation, ViolationPolicy } from "./violation.js";
