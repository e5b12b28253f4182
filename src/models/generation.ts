/**
 * Generation with a key-value cache. Prompts of equal length run as one batch; every row gets the logits it would get
 * alone, and draws random numbers of its own. The model sees at most its context: of a longer prompt the last tokens, and
 * when the window is full during generation it slides, keeping the last half.
 */

import { backendOf } from "../backend/devices.js";
import { breathe } from "../core/breathe.js";
import { Generator, randomBits } from "../core/random.js";
import { warnOnce } from "../core/warnings.js";
import { rehearse } from "../nn/rehearse.js";
import { Decoder } from "./decoder.js";
import { type GenerateOptions, type Settings, settings } from "./generation-options.js";
import { type Generation, type GenerationRecord, Row } from "./generation-row.js";
import type { LanguageModel } from "./language-model.js";
import { type Prompt, promptIds } from "./prompt.js";
import { type Choice, chooseToken } from "./sampling.js";

export interface StreamedToken {
  /** The end-of-text token comes only where it sets free text that was held back. */
  id: number;
  /**
   * Text that became certain with this token: a character of several tokens comes with its last one, and what may
   * begin a stop text once it does not.
   */
  text: string;
  /** Computed when it is read. */
  readonly logprob: number;
}

/**
 * Tokens that a device may be ahead of this side. Word of a finished pass takes a page a millisecond or so; a card may need
 * a quarter of that for the next.
 */
const MOST_AHEAD = 4;

/** Runs rows of one prompt length together; yields after each step. */
async function* decode(
  model: LanguageModel,
  rows: readonly Row[],
  { sampling, seed, signal, maxTokens }: Settings,
): AsyncGenerator<{ row: Row; choice: Choice; text: string }> {
  if (maxTokens === 0) {
    for (const row of rows) row.finished = "length";
    return;
  }
  const context = model.contextLength;
  const generator = new Generator(seed);
  // Ids that the next forward pass reads, per row; the cache holds what came before them.
  let pending = rows.map((row) => row.prompt.slice(-context));
  if (rows[0].prompt.length > context) {
    warnOnce(
      "prompt-cut",
      `generate: the prompt has ${rows[0].prompt.length} tokens, the model sees the last ${context}.`,
    );
  }
  const capacity = Math.min(context, pending[0].length + maxTokens);
  // Where values come later, the device goes on with the likeliest tokens while this side still waits for them.
  const ahead = sampling.temperature === 0 && sampling.repetitionPenalty === 1 && !backendOf(model.device).view;
  const decoder = new Decoder(model, rows.length, capacity, ahead);
  const { cache } = decoder;
  const weights = ahead ? [...model.parameters()] : [];
  const changes = () => weights.reduce((sum, { storage }) => sum + storage.version, 0);
  /** Logits on their way, of the next token first. */
  const arriving: Promise<Float32Array>[] = [];
  const pass = (ids?: readonly number[]) => {
    const logits = decoder.next(ids);
    const data = logits.data() as Promise<Float32Array>;
    data.catch(() => {}); // nobody waits for it yet, and perhaps nobody will
    logits.dispose();
    arriving.push(data);
  };
  try {
    for (let step = 0; rows.some((row) => !row.finished); step++) {
      if (signal?.aborted) return;
      if (arriving.length === 0) {
        if (cache.length + pending[0].length > context) {
          const kept = Math.ceil(context / 2);
          pending = rows.map((row) => row.last(kept));
          cache.length = 0;
        }
        pass(pending.flat());
      }
      const before = changes();
      while (ahead && arriving.length <= MOST_AHEAD && step + arriving.length < maxTokens && cache.length < context) {
        await undefined; // what was recorded sets off
        pass();
      }
      const data = (await arriving.shift()) as Float32Array;
      // Row r draws word r of the step's call: the first row of a batch samples like the prompt alone.
      const words = randomBits(generator.at("sample", step), rows[rows.length - 1].place + 1);
      for (const [r, row] of rows.entries()) {
        if (row.finished) continue;
        const scores = data.subarray(r * model.vocabSize, (r + 1) * model.vocabSize);
        const seen = sampling.repetitionPenalty === 1 ? [] : row.history();
        const choice = chooseToken(scores, seen, sampling, () => words[row.place] * 2 ** -32);
        yield { row, choice, text: row.accept(choice) };
      }
      await breathe(); // on the CPU nothing else lets others have their turn
      // Finished rows stay in the batch with their last token, so that the others keep their places and bits.
      pending = rows.map((row) => row.last(1));
      if (changes() !== before) {
        // Whoever took the tokens trained the model in between.
        cache.length -= arriving.length;
        arriving.length = 0;
      }
    }
  } finally {
    decoder.dispose();
  }
}

/** Lets the device prepare for a prompt, the token after it, and one at the end of a full context. */
export const prepareGeneration = (model: LanguageModel): Promise<void> =>
  rehearse(model, () => {
    const { contextLength } = model;
    const prompt = Math.max(1, Math.min(16, contextLength - 1));
    // A cache for each, so that a full context that is too large for the memory leaves the others prepared.
    const pass = (length: number, before: number) => {
      const end = before + length;
      if (end > contextLength) return;
      const decoder = new Decoder(model, 1, end, true);
      try {
        decoder.cache.length = before;
        decoder.next(new Array(length).fill(0));
      } finally {
        decoder.dispose();
      }
    };
    pass(prompt, 0);
    pass(1, prompt);
    pass(1, contextLength - 1);
  });

export async function generate(
  model: LanguageModel,
  prompt: Prompt | readonly Prompt[],
  options: GenerateOptions = {},
): Promise<Generation | Generation[]> {
  const rules = settings(model, options);
  const many = Array.isArray(prompt) && typeof prompt[0] !== "number" && prompt.length > 0;
  const prompts = (many ? prompt : [prompt]) as readonly Prompt[];
  const byLength = new Map<number, Row[]>();
  const rows = prompts.map((each) => {
    const ids = promptIds(model, each);
    const group = byLength.get(ids.length) ?? [];
    const row = new Row(model, ids, rules, group.length);
    byLength.set(ids.length, [...group, row]);
    return row;
  });
  for (const group of byLength.values()) {
    for await (const _ of decode(model, group, rules));
    for (const row of group) row.end();
  }
  const results = rows.map((row) => row.result(options));
  return many ? results : results[0];
}

/** What a record says, made again: the same prompt, options, seed and place in the batch. */
export async function regenerate(model: LanguageModel, record: GenerationRecord): Promise<Generation> {
  const rules = settings(model, { ...(record.options as GenerateOptions), seed: record.seed });
  const maxTokens = record.finishReason === "aborted" ? record.tokens.length : rules.maxTokens;
  const row = new Row(model, promptIds(model, record.prompt), { ...rules, maxTokens }, record.row ?? 0);
  for await (const _ of decode(model, [row], { ...rules, maxTokens }));
  row.end();
  return row.result(record.options as GenerateOptions);
}

export async function* stream(
  model: LanguageModel,
  prompt: Prompt,
  options: GenerateOptions = {},
): AsyncGenerator<StreamedToken, Generation, undefined> {
  const rules = settings(model, options);
  const row = new Row(model, promptIds(model, prompt), rules);
  for await (const { choice, text } of decode(model, [row], rules)) {
    const rest = row.finished ? row.end() : "";
    if (row.finished === "eos" && rest === "") break;
    yield {
      id: choice.token,
      text: text + rest,
      get logprob() {
        return choice.logprob;
      },
    };
  }
  if (!row.finished) row.end(); // aborted: what was held back is part of the result
  return row.result(options);
}
