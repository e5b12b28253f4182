/** Writing a tokenizer as the files that Hugging Face's libraries load. */

import { openTarget, type SaveTarget, writeText } from "../core/store.js";
import type { Tokenizer } from "./tokenizer.js";

/** A path that ends in `.json` is the file itself; anything else is a folder. */
const FILE = /^(.*?)([^/\\]+\.json)$/;

/** See `Tokenizer.save`. */
export async function saveTokenizer(tokenizer: Tokenizer, target: SaveTarget): Promise<void> {
  const [, parent, file] = (typeof target === "string" && FILE.exec(target)) || [];
  const { store, folder } = openTarget(file === undefined ? target : parent || ".", "save");
  const path = (name: string) => (folder === "" ? name : `${folder}/${name}`);
  const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;
  await writeText(store, path(file ?? "tokenizer.json"), json(tokenizer));
  const { config } = tokenizer.extras;
  if (file === undefined && config !== undefined) await writeText(store, path("tokenizer_config.json"), json(config));
}
