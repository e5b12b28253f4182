/** From the contents of a `tokenizer.json` to a tokenizer. */

import { FormatError } from "../core/errors.js";
import { decoders } from "./decoder.js";
import type { Component, TokenizerDefinition } from "./definition.js";
import { createModel } from "./models/create.js";
import { normalizers } from "./normalizer.js";
import { postProcessors } from "./post-processor.js";
import { preTokenizers } from "./pre-tokenizer.js";
import type { Scanned } from "./scan.js";
import { Tokenizer, type TokenizerExtras } from "./tokenizer.js";
import { describe } from "./vocabulary.js";

/** Components inside components go no deeper than this. */
const DEEPEST = 16;

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

const PARTS = ["normalizer", "pre_tokenizer", "post_processor", "decoder"] as const;
const LISTS = ["normalizers", "pretokenizers", "processors", "decoders"];

/** Refuses what is not shaped like a `tokenizer.json` before anything is built from it. */
export function checkDefinition(definition: TokenizerDefinition, name: string): void {
  const refuse = (what: string, got: unknown): never => {
    throw new FormatError(`${name}: ${what}, got ${describe(got)}.`, { where: name });
  };
  const isObject = (value: unknown) => value !== null && typeof value === "object" && !Array.isArray(value);
  if (!isObject(definition)) refuse("needs an object", definition);
  if (!isObject(definition.model)) refuse("needs an object model", definition.model);
  const check = (part: Component, where: string, depth: number): void => {
    if (!isObject(part)) refuse(`${where} is an object or null`, part);
    if (depth > DEEPEST) refuse(`${where} nests at most ${DEEPEST} deep`, "more");
    for (const list of LISTS) {
      if (part.type !== "Sequence" || !(list in part)) continue;
      if (!Array.isArray(part[list])) refuse(`${where}.${list} is a list`, part[list]);
      for (const inner of part[list] as Component[]) check(inner, `${where}.${list}`, depth + 1);
    }
    if (part.type === "Sequence" && !LISTS.some((list) => list in part)) refuse(`${where} needs its parts`, undefined);
  };
  for (const key of PARTS) {
    const part = definition[key];
    if (part !== null && part !== undefined) check(part, key, 1);
  }
  const tokens = definition.added_tokens ?? [];
  if (!Array.isArray(tokens)) refuse("added_tokens is a list", tokens);
  for (const token of tokens) {
    if (!isObject(token) || typeof token.content !== "string") refuse("added_tokens hold objects with content", token);
  }
}
