/** `tenon/artifacts`: safetensors, checkpoints, manifests: what a model or run is on disk. */
export * from "./checkpoint.js";
export * from "./dtypes.js";
export * from "./format.js";
export * from "./manifest.js";
export { type FileRecord, hashBytes } from "./pieces.js";
export * from "./safetensors.js";
export * from "./safetensors-write.js";
export * from "./sources.js";
export * from "./training-state.js";
export * from "./weights.js";
