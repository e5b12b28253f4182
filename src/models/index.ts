/** `tenon/models`: language models, small models of tables, and the functions that make, load and run them. */

export type { ConvNet, ConvNetConfig } from "./convnet.js";
export type { StreamedToken } from "./generation.js";
export type { GenerateOptions } from "./generation-options.js";
export type { Generation, GenerationRecord } from "./generation-row.js";
export { Gpt2, type Gpt2Config } from "./gpt2.js";
export type { TokenIds } from "./ids.js";
export { LanguageModel } from "./language-model.js";
export { type CreateOptions, createModel, type LoadOptions, loadModel } from "./load.js";
export type { Mlp, MlpConfig } from "./mlp.js";
export { Model } from "./model.js";
export type { Prompt } from "./prompt.js";
export { type GenerationReplay, replayGeneration } from "./replay-generation.js";
export type { SamplingOptions } from "./sampling.js";
export type { Prediction, TableBatch, TableConfig, TableModel } from "./table-model.js";
export type { Batch, StepResult, TrainStepOptions } from "./trainer.js";
export { hashWeights, loadWeights, saveWeights, stateValues, type Weights } from "./weights.js";
