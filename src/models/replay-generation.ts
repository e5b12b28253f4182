/** A generation made again from its record, and compared token by token. */

import { ConfigError } from "../core/errors.js";
import { regenerate } from "./generation.js";
import type { GenerationRecord } from "./generation-row.js";
import type { LanguageModel } from "./language-model.js";

export interface GenerationReplay {
  readonly verdict: "equal" | "differs";
  /** One sentence: the verdict with its figures. */
  readonly statement: string;
  /** Tokens of the record and of its replay. */
  readonly expected: readonly number[];
  readonly got: readonly number[];
  /** Place of the first token that differs. */
  readonly at?: number;
  /** What may explain a difference. */
  readonly explanations: readonly string[];
}

/** Generates again what `generate(…).record` tells and compares. Throws ConfigError for something that is no record. */
export async function replayGeneration(model: LanguageModel, record: GenerationRecord): Promise<GenerationReplay> {
  checkRecord(record);
  const { tokens: got } = await regenerate(model, record);
  const { tokens: expected, tokenizerHash } = record;
  const at = expected.findIndex((token, i) => token !== got[i]);
  const first = at < 0 && got.length > expected.length ? expected.length : at;
  if (first < 0) {
    const statement = `Equal: all ${expected.length} tokens came out again.`;
    return { verdict: "equal", statement, expected, got, explanations: [] };
  }
  const explanations = ["the weights are others than those of the record, or the device computes with other bits"];
  const hash = model.tokenizer?.hash;
  if (tokenizerHash !== hash) {
    explanations.unshift(`the tokenizer is another one (${short(tokenizerHash)} then, ${short(hash)} now)`);
  }
  const show = (token: number | undefined) => (token === undefined ? "the end" : String(token));
  const statement = `Differs from token ${first + 1}: was ${show(expected[first])}, now ${show(got[first])}.`;
  return { verdict: "differs", statement, expected, got, at: first, explanations };
}

const short = (hash: string | undefined): string => (hash === undefined ? "none" : `${hash.slice(0, 12)}…`);

function checkRecord(record: GenerationRecord): void {
  const integers = (list: unknown) => Array.isArray(list) && list.every(Number.isInteger);
  const ok =
    typeof record === "object" &&
    record !== null &&
    integers(record.prompt) &&
    integers(record.tokens) &&
    Number.isSafeInteger(record.seed) &&
    typeof record.options === "object";
  if (ok) return;
  throw new ConfigError("replayGeneration: needs a record { prompt, seed, options, tokens }, got something else.", {
    where: "replayGeneration",
    hint: "generate(…) returns one as .record; it may travel as JSON.",
  });
}
