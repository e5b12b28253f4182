/** How well a tokenizer fits texts. */

import { log } from "../core/math.js";
import { textsOf } from "./arguments.js";
import { modelType } from "./models/create.js";
import { byteLength } from "./models/model.js";
import type { Tokenizer } from "./tokenizer.js";

export interface TokenizerMetrics {
  texts: number;
  /** UTF-8 bytes, code points, and words (runs without white space). */
  bytes: number;
  characters: number;
  words: number;
  tokens: number;
  /** Tokens for each word. */
  fertility: number;
  /** Bytes for each token. */
  compression: number;
  /** Part of the tokens that are the unknown token. */
  unknownRate: number;
  /** Part of the characters that decode to themselves. */
  coverage: number;
  /** Entropy of the distribution of tokens, in bits. */
  entropy: number;
  /** Different tokens used, and which part of the vocabulary that is. */
  usedTokens: number;
  vocabularyUse: number;
}

export interface CorpusMetrics extends TokenizerMetrics {
  /** The same for each text alone. */
  perText: TokenizerMetrics[];
}

/** Measures a tokenizer on texts, all together and each alone. */
export function tokenizerMetrics(tokenizer: Tokenizer, texts: string | Iterable<string>): CorpusMetrics {
  const perText: TokenizerMetrics[] = [];
  const counts = new Map<number, number>();
  const sums = emptySums();
  for (const text of textsOf("tokenizerMetrics", texts)) {
    const own = new Map<number, number>();
    const part = measure(tokenizer, text, own);
    for (const [id, count] of own) counts.set(id, (counts.get(id) ?? 0) + count);
    for (const name of Object.keys(sums) as (keyof Sums)[]) sums[name] += part[name];
    perText.push(conclude(part, own, tokenizer));
  }
  return { ...conclude(sums, counts, tokenizer), perText };
}

/** Several tokenizers on the same texts, a row for each: for `console.table`. */
export function compareTokenizers(
  tokenizers: Record<string, Tokenizer>,
  texts: string | Iterable<string>,
): Record<string, TokenizerMetrics> {
  const list = [...textsOf("compareTokenizers", texts)];
  const rows: Record<string, TokenizerMetrics> = {};
  for (const [name, tokenizer] of Object.entries(tokenizers)) {
    const { perText: _, ...row } = tokenizerMetrics(tokenizer, list);
    rows[name] = row;
  }
  return rows;
}

interface Sums {
  texts: number;
  bytes: number;
  characters: number;
  words: number;
  tokens: number;
  unknown: number;
  covered: number;
}

const emptySums = (): Sums => ({ texts: 0, bytes: 0, characters: 0, words: 0, tokens: 0, unknown: 0, covered: 0 });

/** The id of the model's unknown token, by the default of its kind where the file leaves it out. */
function unknownId(tokenizer: Tokenizer): unknown {
  const { model } = tokenizer.toJSON();
  const { unk_id, unk_token } = model;
  const type = modelType(model);
  const name = unk_token ?? (type === "WordPiece" ? "[UNK]" : type === "WordLevel" ? "<unk>" : undefined);
  return typeof name === "string" ? tokenizer.idOf(name) : (unk_id ?? undefined);
}

function measure(tokenizer: Tokenizer, text: string, counts: Map<number, number>): Sums {
  const sums = emptySums();
  const { ids } = tokenizer.encode(text, { addSpecialTokens: false });
  const unknown = unknownId(tokenizer);
  sums.texts = 1;
  sums.bytes = byteLength(text);
  sums.words = text.split(/\s+/u).filter((word) => word !== "").length;
  sums.tokens = ids.length;
  for (const id of ids) {
    counts.set(id, (counts.get(id) ?? 0) + 1);
    if (id === unknown) sums.unknown++;
  }
  // A character is covered when it comes back: counted by kinds, since decoders may move spaces.
  const back = new Map<string, number>();
  for (const character of tokenizer.decode(ids, { skipSpecialTokens: false })) {
    back.set(character, (back.get(character) ?? 0) + 1);
  }
  for (const character of text) {
    sums.characters++;
    const left = back.get(character) ?? 0;
    if (left > 0) {
      back.set(character, left - 1);
      sums.covered++;
    }
  }
  return sums;
}

function conclude(sums: Sums, counts: Map<number, number>, tokenizer: Tokenizer): TokenizerMetrics {
  const { texts, bytes, characters, words, tokens, unknown, covered } = sums;
  const ratio = (a: number, b: number) => (b === 0 ? 0 : a / b);
  let entropy = 0;
  for (const id of [...counts.keys()].sort((a, b) => a - b)) {
    const share = (counts.get(id) as number) / tokens;
    entropy -= (share * log(share)) / log(2);
  }
  return {
    texts,
    bytes,
    characters,
    words,
    tokens,
    fertility: ratio(tokens, words),
    compression: ratio(bytes, tokens),
    unknownRate: ratio(unknown, tokens),
    coverage: characters === 0 ? 1 : covered / characters,
    entropy: Math.max(0, entropy),
    usedTokens: counts.size,
    vocabularyUse: ratio(counts.size, tokenizer.vocabSize),
  };
}
