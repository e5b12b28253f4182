/** What callers hand over is looked at before it is encoded: a wrong option would only show in the ids. */

import { ConfigError, DataError, show } from "../core/errors.js";
import { checkOptions } from "../core/options.js";
import type { DecodeOptions, EncodeOptions } from "./tokenizer.js";

const OPTIONS = ["textPair", "addSpecialTokens", "truncation", "padding", "offsetUnit", "dropoutSeed"];
const UNITS = ["utf16", "codepoint", "byte"];

const wrong = (where: string, rule: string, got: unknown, hint?: string) =>
  new ConfigError(`${where}: needs ${rule}, got ${show(got)}.`, { where, hint });

/** Throws ConfigError for a text that is none. */
export function checkText(where: string, text: unknown): void {
  if (typeof text !== "string") throw wrong(where, "a text", text);
}

/** Throws ConfigError for a text that is none, and for options that are unknown or of no meaning. */
export function checkEncode(text: unknown, options: EncodeOptions): void {
  checkOptions("encode", options, OPTIONS);
  const { textPair, offsetUnit = "utf16" } = options;
  if (typeof text !== "string") throw wrong("encode", "a text", text, "Several texts go to encodeBatch.");
  if (textPair !== undefined && typeof textPair !== "string") throw wrong("encode", "a text as textPair", textPair);
  if (!UNITS.includes(offsetUnit)) throw wrong("encode", "an offsetUnit of utf16, codepoint or byte", offsetUnit);
}

/** Throws ConfigError for ids that come in no list, and for unknown options. */
export function checkDecode(ids: unknown, options: DecodeOptions): void {
  if (!isList(ids)) throw wrong("decode", "a list of ids", ids);
  checkOptions("decode", options, ["skipSpecialTokens"]);
}

const isList = (ids: unknown) => typeof (ids as ArrayLike<number> | null | undefined)?.length === "number";

/** Throws ConfigError for a batch that is no list of lists of ids. */
export function checkIdBatch(batch: unknown): void {
  if (!Array.isArray(batch)) throw wrong("decodeBatch", "a list of lists of ids", batch);
  const odd = batch.findIndex((ids) => !isList(ids));
  if (odd >= 0) throw wrong("decodeBatch", `a list of ids at ${odd}`, batch[odd]);
}

/** Throws ConfigError for a batch that is no list of texts and of pairs of texts. */
export function checkBatch(texts: unknown): void {
  if (!Array.isArray(texts)) throw wrong("encodeBatch", "a list of texts", texts);
  const isText = (text: unknown) => typeof text === "string";
  const odd = texts.findIndex(
    (text) => !isText(text) && !(Array.isArray(text) && text.length === 2 && text.every(isText)),
  );
  if (odd >= 0) throw wrong("encodeBatch", `a text, or two in a list, at ${odd}`, texts[odd]);
}

/** One text or several, as several. Throws ConfigError for what holds none. */
export function textsOf(where: string, texts: string | Iterable<string>): Iterable<string> {
  if (typeof texts === "string") return [texts];
  if (typeof Object(texts)[Symbol.iterator] !== "function") throw wrong(where, "a text, or several in a list", texts);
  return texts;
}

/** Throws ConfigError for what is neither a text nor a Blob in a corpus. */
export function checkCorpusText(item: unknown): void {
  if (typeof item !== "string" && !(item instanceof Blob)) {
    throw wrong("trainTokenizer", "a corpus of texts and Blobs", item);
  }
}

/** Throws DataError where a tokenizer would be made of nothing. */
export function checkLearns(where: string, characters: number): void {
  if (characters === 0) throw new DataError(`${where}: needs a text to learn from, got none.`, { where });
}

/** UTF-16 units of a text or a pair. */
export const sizeOfText = (text: string | readonly [string, string]): number =>
  typeof text === "string" ? text.length : text[0].length + text[1].length;
