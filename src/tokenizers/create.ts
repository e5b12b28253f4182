/** From the contents of a `tokenizer.json` to a tokenizer. */

import { FormatError, show } from "../core/errors.js";
import { decoders } from "./decoder.js";
import type { Component, TokenizerDefinition } from "./definition.js";
import { createModel } from "./models/create.js";
import { normalizers } from "./normalizer.js";
import { postProcessors } from "./post-processor.js";
import { preTokenizers } from "./pre-tokenizer.js";
import type { Scanned } from "./scan.js";
import { Tokenizer, type TokenizerExtras } from "./tokenizer.js";

/** Components inside components go no deeper than this. */
const DEEPEST = 16;
/** Characters of an added token: as many may be looked at for each one of a text. */
const LONGEST_TOKEN = 1024;
/** Of objects and lists: each component in a Sequence is in its list, and has settings. */
const MOST_LEVELS = 2 * DEEPEST + 4;

/** Makes a tokenizer from the contents of a `tokenizer.json`. Throws FormatError naming what is wrong with it. */
export async function createTokenizer(
  definition: TokenizerDefinition,
  extra: TokenizerExtras = {},
  name = "tokenizer.json",
  scanned?: Scanned,
): Promise<Tokenizer> {
  checkDefinition(definition, name);
  const [model] = await Promise.all([
    createModel(definition.model, scanned),
    normalizers.load(definition.normalizer),
    preTokenizers.load(definition.pre_tokenizer),
    postProcessors.load(definition.post_processor),
    decoders.load(definition.decoder),
  ]);
  return new Tokenizer(definition, model, extra, scanned?.text);
}

/** The components, and what each calls the parts of a Sequence. */
const PARTS = {
  normalizer: "normalizers",
  pre_tokenizer: "pretokenizers",
  post_processor: "processors",
  decoder: "decoders",
} as const;

/** Refuses what is not shaped like a `tokenizer.json` before anything is built from it. */
export function checkDefinition(definition: TokenizerDefinition, name: string): void {
  const refuse = (what: string, got: unknown): never => {
    throw new FormatError(`${name}: ${what}, got ${show(got)}.`, { where: name });
  };
  const isObject = (value: unknown) => value !== null && typeof value === "object" && !Array.isArray(value);
  if (!isObject(definition)) refuse("needs an object", definition);
  if (!isObject(definition.model)) refuse("needs an object model", definition.model);
  const check = (part: Component, where: string, list: string): void => {
    if (!isObject(part)) refuse(`${where} is an object or null`, part);
    if (part.type !== "Sequence") return;
    if (!Array.isArray(part[list])) refuse(`${where} needs its parts in a list ${list}`, part[list]);
    for (const inner of part[list] as Component[]) check(inner, `${where}.${list}`, list);
  };
  // Vocabulary and merges are read by the model, or were read off the text of the file already.
  const checkDepth = (value: unknown, where: string, depth: number): void => {
    if (typeof value !== "object" || value === null) return;
    if (depth > MOST_LEVELS) refuse(`${where} nests at most ${DEEPEST} deep`, "more");
    for (const key in value) {
      if (key !== "vocab" && key !== "merges") checkDepth(value[key as never], where || key, depth + 1);
    }
  };
  checkDepth(definition, "", 0);
  for (const key of Object.keys(PARTS) as (keyof typeof PARTS)[]) {
    const part = definition[key];
    if (part !== null && part !== undefined) check(part, key, PARTS[key]);
  }
  const tokens = definition.added_tokens ?? [];
  if (!Array.isArray(tokens)) refuse("added_tokens is a list", tokens);
  for (const token of tokens) {
    if (!isObject(token) || typeof token.content !== "string") refuse("added_tokens hold objects with content", token);
    const { length } = token.content;
    if (length > LONGEST_TOKEN) refuse(`added_tokens hold at most ${LONGEST_TOKEN} characters each`, length);
  }
}
