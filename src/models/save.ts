/** A model on disk: the Hugging Face layout, and a manifest that says what wrote it and the hash of its weights. */

import { asArray } from "../artifacts/dtypes.js";
import { stampedJson } from "../artifacts/format.js";
import { measured } from "../artifacts/pieces.js";
import { safetensorsChunks, type TensorsToWrite, weightsHash } from "../artifacts/safetensors-write.js";
import { openTarget, type RunStore, type SaveTarget, writeText } from "../core/store.js";
import { VERSION } from "../core/version.js";
import type { Module } from "../nn/index.js";
import { loadTokenizer } from "../tokenizers/index.js";
import type { Model } from "./model.js";

/** A module's parameters and buffers as safetensors entries; data are read when their turn comes. */
export function tensorsToWrite(state: ReturnType<Module["stateDict"]>): TensorsToWrite {
  const names = { float32: "F32", float16: "F16", bfloat16: "BF16", int32: "I32", uint8: "U8", bool: "BOOL" } as const;
  return Object.fromEntries(
    Object.entries(state).map(([name, tensor]) => {
      const dtype = names[tensor.dtype];
      return [name, { dtype, shape: tensor.shape, data: async () => asArray(dtype, await tensor.bytes()) }];
    }),
  );
}

/** SHA-256 of the canonical `model.safetensors` of a module: what `sha256sum` prints for the saved file. */
export const hashWeights = (model: Module): Promise<string> => weightsHash(tensorsToWrite(model.stateDict()));

export async function saveModel(model: Model, target: SaveTarget): Promise<void> {
  const { store, folder } = openTarget(target, "save");
  const path = (name: string) => (folder === "" ? name : `${folder}/${name}`);
  // Hashed on its way: what is read from the device is read once.
  const weights = measured(safetensorsChunks(tensorsToWrite(model.stateDict())));
  const files = model.files();
  const foreign = await isForeignTokenizer(store, path, model.tokenizerHash);
  for (const [name, text] of Object.entries(files)) await writeText(store, path(name), text);
  await store.write(path("model.safetensors"), weights);
  // Beside this model they would be taken for its own.
  if (foreign) for (const name of TOKENIZER_FILES) if (!(name in files)) await store.remove(path(name));
  const manifest = {
    package: { name: "tenon", version: VERSION },
    weightsHash: weights.record().sha256,
    tokenizerHash: model.tokenizerHash,
  };
  await writeText(store, path("manifest.json"), stampedJson("tenon-model", manifest));
}

const TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json"];

/** Did an earlier save leave the tokenizer of another model in the folder? One that came there in another way is not. */
async function isForeignTokenizer(
  store: RunStore,
  path: (name: string) => string,
  own: string | null,
): Promise<boolean> {
  try {
    const { format, tokenizerHash } = JSON.parse(new TextDecoder().decode(await store.read(path("manifest.json"))));
    if (format !== "tenon-model" || !tokenizerHash || tokenizerHash === own) return false;
    const { hash } = await loadTokenizer(await store.read(path("tokenizer.json")));
    return hash === tokenizerHash;
  } catch {
    return false; // one of the two is not there, or is not ours
  }
}
