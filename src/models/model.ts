/** What all models share: a config, files, a place on a device. A kind of model adds what it computes. */

import type { DeviceName } from "../backend/backend.js";
import type { RunStore } from "../core/store.js";
import type { InitialRule } from "../nn/init.js";
import { Module } from "../nn/module.js";
import type { Fields } from "./config.js";
import { saveModel } from "./save.js";

/** Reads small files of a model's folder; undefined where there is none of that name. */
export interface FolderReader {
  readonly name: string;
  json(name: string): Promise<Record<string, unknown> | undefined>;
  text(name: string): Promise<string | undefined>;
}

/** A module with a config, which is saved and loaded as a folder. */
export abstract class Model extends Module {
  abstract readonly config: Fields;
  /** How parameters of a new model get their values; their layers know unless the family does. */
  get initialRule(): InitialRule | undefined {
    return undefined;
  }

  get device(): DeviceName {
    for (const parameter of this.parameters()) return parameter.device;
    return "cpu";
  }

  /** Hash of the tokenizer that belongs to the model; null where it needs none. */
  get tokenizerHash(): string | null {
    return null;
  }

  /** The small files of a checkpoint besides the weights, as text by name. */
  files(): Record<string, string> {
    return { "config.json": jsonFile(this.config) };
  }

  /** Takes from a model's folder what `files()` writes besides config.json. */
  async readFiles(_folder: FolderReader): Promise<void> {}

  /** Lets the device prepare what the model will ask of it; `createModel` and `loadModel` wait for it. */
  async warmUp(): Promise<void> {}

  /**
   * Writes `files()`, model.safetensors and manifest.json. The tokenizer of another model that was saved there before
   * is removed; one that was put there in another way stays.
   */
  async save(target: string | { store: RunStore; folder: string }): Promise<void> {
    await saveModel(this, target);
  }
}

export const jsonFile = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
