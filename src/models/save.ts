/** A model on disk: the Hugging Face layout, and a manifest that says what wrote it and the hash of its weights. */

import { stampedJson } from "../artifacts/format.js";
import { measured } from "../artifacts/pieces.js";
import { safetensorsChunks } from "../artifacts/safetensors-write.js";
import { openTarget, type RunStore, type SaveTarget, writeText } from "../core/store.js";
import { VERSION } from "../core/version.js";
import { loadTokenizer } from "../tokenizers/index.js";
import type { Model } from "./model.js";
import { tensorsToWrite } from "./weights.js";

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
