/** Files that are no JSON: told apart by their first bytes, and turned into a `tokenizer.json`. */

import { FormatError, show } from "../../core/errors.js";
import type { TokenizerDefinition } from "../definition.js";
import { text } from "../files.js";
import type { LoadOptions } from "../load.js";

/** Whatever it is, and wherever it is cut. */
const beginning = (bytes: Uint8Array, length: number): string => new TextDecoder().decode(bytes.subarray(0, length));

export async function readOther(bytes: Uint8Array, name: string, options: LoadOptions): Promise<TokenizerDefinition> {
  if (/\.txt($|\?)/.test(name)) {
    const { readVocabText } = await import("./vocab-files.js");
    return readVocabText(text(bytes, name), name, options.config?.do_lower_case !== false);
  }
  if (/^[A-Za-z0-9+/=]+ \d+\r?\n/.test(beginning(bytes, 2000))) {
    const { readTiktoken } = await import("./tiktoken.js");
    return readTiktoken(text(bytes, name), name, options);
  }
  if (bytes[0] === 0x0a) {
    const { readSentencePiece } = await import("./sentencepiece.js");
    return readSentencePiece(bytes, name);
  }
  const got = show(beginning(bytes, 40));
  throw new FormatError(`${name}: needs a tokenizer.json, a tiktoken or a SentencePiece file, got ${got}.`, {
    where: name,
  });
}
