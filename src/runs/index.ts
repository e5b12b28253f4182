/** `tenon/runs`: training runs: config, events, metrics, sinks, stores, comparison and proof. */
export * from "./aggregates.js";
export * from "./archive.js";
export * from "./compare.js";
export * from "./config.js";
export * from "./events.js";
export * from "./find.js";
export * from "./identity.js";
export * from "./list.js";
export { MemoryStore } from "./memory-store.js";
export * from "./metrics.js";
export { OpfsStore } from "./opfs-store.js";
export * from "./recorder.js";
export { consoleSink, csvSink, jsonlSink, type Sink, type SinkRecord, type SinkTarget } from "./sinks.js";
export * from "./start-run.js";
export { openStore, type RunStore, type StoreEntry } from "./store.js";
export { type TensorboardOptions, tensorboardSink } from "./tensorboard.js";
export * from "./verify.js";
