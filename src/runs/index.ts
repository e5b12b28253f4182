/** `tenon/runs`: training runs: config, events, metrics, sinks, stores, comparison and proof. */

export { OpfsStore } from "../artifacts/opfs-store.js";
export type { Aggregate } from "./aggregates.js";
export { exportRun, importRun } from "./archive.js";
export {
  type Comparison,
  type ComparisonFormat,
  compareRuns,
  type Difference,
  formatComparison,
} from "./compare.js";
export {
  type RunSettings,
  resolveConfig,
  type TokenizerConfig,
  type TrainingConfig,
  type TrainingConfigInput,
  type TrainingOptions,
} from "./config.js";
export type { DataConfig, DataPlace } from "./data-config.js";
export { createRun, type Run, type TrainingEvent, type TrainingResult, type TrainingRun } from "./events.js";
export { type Content, type ContentKind, findContent, findRuns, findWeights, loadDataReference } from "./find.js";
export { type LoadedRun, listRuns, loadRun, type RunAggregates, type RunEntry } from "./list.js";
export { MemoryStore } from "./memory-store.js";
export type { MetricRecord } from "./metrics.js";
export type { ModelConfig } from "./model-config.js";
export type { CodeTask } from "./module-task.js";
export { connect, type Endpoint, type RemoteOptions, serveTraining } from "./remote.js";
export { type Replay, type ReplayDifference, type ReplayOptions, replay } from "./replay.js";
export { type ReproduceOptions, type Reproduction, reproduce } from "./reproduce.js";
export { consoleSink, csvSink, jsonlSink, type Sink, type SinkRecord, type SinkTarget } from "./sinks.js";
export { type StartedRun, type StartRunOptions, startRun } from "./start-run.js";
export { openStore, type RunStore, type StoreEntry, type StoreOption } from "./store.js";
export type { DataInput, DataStream } from "./stored-data.js";
export { type TensorboardOptions, tensorboardSink } from "./tensorboard.js";
export { type CodeConfig, type TrainOptions, train } from "./train.js";
export { type Verification, type VerifyOptions, verify } from "./verify.js";
