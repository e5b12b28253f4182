/** The weights of a folder in the Hugging Face layout: one file, or shards with an index. */

import { FormatError, show } from "../core/errors.js";
import { parseJson } from "../core/json.js";
import { nameProblem } from "../core/store.js";
import { duplicateKey } from "./json-keys.js";
import { type FileEntry, noTensor, openSafetensors, type TensorReader } from "./safetensors.js";
import { type Folder, sourceText } from "./sources.js";

const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";

/**
 * Opens `model.safetensors`, or the shards that `model.safetensors.index.json` lists; headers are read and checked
 * now, tensors when asked for. Every name of the index must be in its shard and in no other.
 */
export async function openWeights(folder: Folder): Promise<TensorReader> {
  const single = await folder.find(SINGLE);
  if (single) return openSafetensors(single);
  const index = await folder.find(INDEX);
  if (!index) {
    throw new FormatError(`${folder.name}: ${SINGLE} or ${INDEX} expected, found neither.`, { where: folder.name });
  }
  const where = `${folder.name}/${INDEX}`;
  const text = await sourceText(index);
  const map = (parseJson(text, { where }) as { weight_map?: unknown } | null)?.weight_map;
  const twice = duplicateKey(text);
  if (twice !== undefined)
    throw new FormatError(`${where}: every name once expected, got ${show(twice)} twice.`, { where });
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    throw new FormatError(`${where}: "weight_map" with file names by tensor expected, got ${typeof map}.`, { where });
  }
  const shards = new Map<string, TensorReader>();
  const close = async () => {
    for (const shard of shards.values()) await shard.close();
  };
  const home = new Map<string, TensorReader>();
  const entries = new Map<string, FileEntry>();
  try {
    for (const [tensor, file] of Object.entries(map as Record<string, unknown>)) {
      if (typeof file !== "string") {
        throw new FormatError(`${where}: a file name for "${tensor}" expected, got ${typeof file}.`, { where, tensor });
      }
      if (nameProblem(file) !== undefined) {
        throw new FormatError(`${where}: a plain file name for "${tensor}" expected, got ${show(file)}.`, {
          where,
          tensor,
        });
      }
      let shard = shards.get(file);
      if (!shard) shards.set(file, (shard = await openShard(folder, file, where)));
      const entry = shard.entries.get(tensor);
      if (!entry) throw noTensor(`${folder.name}/${file}`, tensor);
      home.set(tensor, shard);
      entries.set(tensor, entry);
    }
    for (const [file, shard] of shards) {
      for (const tensor of shard.entries.keys()) {
        if (home.get(tensor) === shard) continue;
        throw new FormatError(`${where}: the tensor "${tensor}" of ${file} is not listed there.`, { where, tensor });
      }
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    metadata: {},
    entries,
    async read(name) {
      const shard = home.get(name);
      if (!shard) throw noTensor(folder.name, name);
      return shard.read(name);
    },
    close,
  };
}

async function openShard(folder: Folder, file: string, where: string): Promise<TensorReader> {
  const source = await folder.find(file);
  if (!source) throw new FormatError(`${where}: lists ${file}, which is missing.`, { where, file });
  return openSafetensors(source);
}
