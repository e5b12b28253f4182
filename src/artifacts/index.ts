/** `tenon/artifacts`: safetensors, checkpoints, manifests: what a model or run is on disk. */
export { type Checkpoint, checkpointProblems, latestCheckpoint, openCheckpoint } from "./checkpoint.js";
export type { FileDTypeName, TensorBytes } from "./dtypes.js";
export {
  type DataReference,
  type Determinism,
  parseManifest,
  type RunManifest,
  readManifest,
  writeManifest,
} from "./manifest.js";
export type { FileRecord } from "./pieces.js";
export {
  type FileEntry,
  type FileTensor,
  openSafetensors,
  readSafetensors,
  type Safetensors,
  type TensorReader,
} from "./safetensors.js";
export {
  safetensorsChunks,
  type TensorsToWrite,
  type TensorToWrite,
  weightsHash,
  writeSafetensors,
} from "./safetensors-write.js";
export { blobSource, bytesSource, type Folder, type FolderLike, openFolder, urlSource } from "./sources.js";
export { openWeights } from "./weights.js";
