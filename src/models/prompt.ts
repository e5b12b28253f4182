/** What generation begins with: a text or token ids, checked. */

import { ConfigError, DataError, kindOf, listOf, show } from "../core/errors.js";
import { warnOnce } from "../core/warnings.js";
import { Tensor } from "../tensor/tensor.js";
import type { Tokenizer } from "../tokenizers/index.js";
import type { LanguageModel } from "./language-model.js";

/** A text (with a tokenizer) or token ids. */
export type Prompt = string | ArrayLike<number>;

/** The ids of a prompt: at least one, each in the model's vocabulary. */
export function promptIds(model: LanguageModel, prompt: Prompt): number[] {
  let ids: number[];
  if (typeof prompt === "string") {
    if (!model.tokenizer) {
      throw new ConfigError("generate: needs a tokenizer for a text prompt.", {
        where: "generate",
        hint: "Pass token ids, or set model.tokenizer.",
      });
    }
    ids = [...model.tokenizer.encode(prompt).ids];
    if (ids.length > 0) warnOfLeftOut(model.tokenizer, prompt);
  } else if (Array.isArray(prompt) || (ArrayBuffer.isView(prompt) && !(prompt instanceof DataView))) {
    ids = Array.from(prompt);
  } else {
    throw new ConfigError(`generate: needs a text or token ids for a prompt, got ${kindOf(prompt)}.`, {
      where: "generate",
      hint: prompt instanceof Tensor ? "Read it first: Array.from(await ids.data())." : undefined,
    });
  }
  if (ids.length === 0) {
    throw new DataError("generate: needs a prompt of at least one token.", {
      where: "generate",
      hint: prompt.length
        ? "No part of the text is in the tokenizer's vocabulary."
        : "Begin with the token of a line end or the start of a text.",
    });
  }
  const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= model.vocabSize);
  if (wrong !== undefined) {
    throw new DataError(`generate: needs token ids from 0 to ${model.vocabSize - 1}, got ${show(wrong)}.`, {
      where: "generate",
    });
  }
  return ids;
}

/** A tokenizer of characters leaves out those that it does not know. */
function warnOfLeftOut(tokenizer: Tokenizer, prompt: string): void {
  const known = (text: string) => tokenizer.encode(text, { addSpecialTokens: false }).ids.length > 0;
  // Tokenizers of words leave out white space, which separates them.
  const unknown = [...new Set(known(" ") ? prompt : prompt.replace(/\s/g, ""))].filter((each) => !known(each));
  if (unknown.length === 0) return;
  warnOnce(
    "prompt-characters-left-out",
    `generate: the tokenizer does not know ${listOf(unknown.map(show))}; the prompt is read without.`,
    { characters: unknown },
  );
}
