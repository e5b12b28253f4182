/** A model on disk: the Hugging Face layout, and a manifest that says what wrote it and the hash of its weights. */

import { stampedJson } from "../artifacts/format.js";
import { measured } from "../artifacts/pieces.js";
import { safetensorsChunks, type TensorsToWrite, weightsHash } from "../artifacts/safetensors-write.js";
import { openTarget, type SaveTarget, writeText } from "../core/store.js";
import { VERSION } from "../core/version.js";
import type { Module } from "../nn/index.js";
import type { Model } from "./model.js";

/** A module's parameters and buffers as safetensors entries; data are read when their turn comes. */
export function tensorsToWrite(state: ReturnType<Module["stateDict"]>): TensorsToWrite {
  const names = { float32: "F32", float16: "F16", bfloat16: "BF16", int32: "I32", uint8: "U8", bool: "BOOL" } as const;
  return Object.fromEntries(
    Object.entries(state).map(([name, tensor]) => [
      name,
      {
        dtype: names[tensor.dtype],
        shape: tensor.shape,
        data: async () => storedArray(tensor.dtype, await tensor.bytes()),
      },
    ]),
  );
}

function storedArray(dtype: string, bytes: Uint8Array) {
  const { buffer, byteOffset, byteLength } = bytes;
  if (dtype === "float32") return new Float32Array(buffer, byteOffset, byteLength / 4);
  if (dtype === "int32") return new Int32Array(buffer, byteOffset, byteLength / 4);
  return dtype === "float16" || dtype === "bfloat16" ? new Uint16Array(buffer, byteOffset, byteLength / 2) : bytes;
}

/** SHA-256 of the canonical `model.safetensors` of a module: what `sha256sum` prints for the saved file. */
export const hashWeights = (model: Module): Promise<string> => weightsHash(tensorsToWrite(model.stateDict()));

export async function saveModel(model: Model, target: SaveTarget): Promise<void> {
  const { store, folder } = openTarget(target, "save");
  const path = (name: string) => (folder === "" ? name : `${folder}/${name}`);
  // Hashed on its way: what is read from the device is read once.
  const weights = measured(safetensorsChunks(tensorsToWrite(model.stateDict())));
  for (const [name, text] of Object.entries(model.files())) await writeText(store, path(name), text);
  await store.write(path("model.safetensors"), weights);
  const manifest = {
    package: { name: "tenon", version: VERSION },
    weightsHash: weights.record().sha256,
    tokenizerHash: model.tokenizerHash,
  };
  await writeText(store, path("manifest.json"), stampedJson("tenon-model", manifest));
}
