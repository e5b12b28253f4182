/** A prompt and what follows it, on its way and as a result. */

import type { GenerateOptions, Settings } from "./generation-options.js";
import type { LanguageModel } from "./language-model.js";
import type { Choice } from "./sampling.js";

/** What replays a generation. */
export interface GenerationRecord {
  prompt: number[];
  seed: number;
  options: Record<string, unknown>;
  tokens: number[];
  finishReason: Generation["finishReason"];
  /** Place in a batch of equally long prompts, which chooses its random numbers; 0 alone. */
  row: number;
  tokenizerHash?: string;
}

export interface Generation {
  /** The new text; empty without a tokenizer. */
  text: string;
  /** The new token ids. */
  tokens: number[];
  promptTokens: number[];
  /** Natural logarithms of the model's probabilities of `tokens`. */
  logprobs?: number[];
  finishReason: "length" | "stop" | "eos" | "aborted";
  record: GenerationRecord;
}

/** One row of a batch, on its way. */
export class Row {
  readonly tokens: number[] = [];
  readonly logprobs: number[] = [];
  text = "";
  private told = 0;
  finished: Generation["finishReason"] | undefined;
  private readonly decoder;

  constructor(
    private readonly model: LanguageModel,
    readonly prompt: number[],
    private readonly settings: Settings,
    /** Which word of a step's random numbers is its own. */
    readonly place = 0,
  ) {
    this.decoder = model.tokenizer?.decodeStream();
  }

  /** The prompt and what followed. */
  history(): number[] {
    return [...this.prompt, ...this.tokens];
  }

  /** The last `n` ids; of a row that finished with fewer, which only keeps its place in the batch, 0 before them. */
  last(n: number): number[] {
    const ids = this.history().slice(-n);
    return [...new Array<number>(n - ids.length).fill(0), ...ids];
  }

  /** Takes a chosen token; returns the text that became certain: complete characters that begin no stop text. */
  accept(choice: Choice): string {
    const { token } = choice;
    if (this.settings.eos.has(token)) {
      this.finished = "eos";
      return "";
    }
    this.tokens.push(token);
    if (this.settings.logprobs) this.logprobs.push(choice.logprob);
    const before = this.text.length;
    this.text += this.decoder?.push(token) ?? "";
    const ends = this.settings.stop
      .map((stop) => this.text.indexOf(stop, Math.max(0, before - stop.length + 1)))
      .filter((at) => at >= 0);
    if (ends.length > 0) {
      this.text = this.text.slice(0, Math.min(...ends));
      this.finished = "stop";
    } else if (this.tokens.length >= this.settings.maxTokens) this.finished = "length";
    return this.tell(this.finished === "stop" ? 0 : stopBegun(this.text, this.settings.stop));
  }

  /** Text of a character that never became complete, and what looked like a stop text and was none. */
  end(): string {
    if (this.finished !== "stop") this.text += this.decoder?.end() ?? "";
    return this.tell(0);
  }

  /** The text since the last time, but for the last `held` code units. */
  private tell(held: number): string {
    const from = this.told;
    this.told = this.text.length - held;
    return this.text.slice(from, this.told);
  }

  result(options: GenerateOptions): Generation {
    const { seed, logprobs } = this.settings;
    const { signal: _, maxNewTokens: __, ...recorded } = options;
    return {
      text: this.text,
      tokens: this.tokens,
      promptTokens: this.prompt,
      ...(logprobs ? { logprobs: this.logprobs } : {}),
      finishReason: this.finished ?? "aborted",
      record: {
        prompt: this.prompt,
        seed,
        options: { ...recorded, maxTokens: this.settings.maxTokens, seed },
        tokens: this.tokens,
        finishReason: this.finished ?? "aborted",
        row: this.place,
        ...(this.model.tokenizer ? { tokenizerHash: this.model.tokenizer.hash } : {}),
      },
    };
  }
}

/** Length of the longest end of `text` that a stop text begins with. */
function stopBegun(text: string, stop: readonly string[]): number {
  let longest = 0;
  for (const each of stop)
    for (let n = Math.min(each.length - 1, text.length); n > longest; n--)
      if (text.endsWith(each.slice(0, n))) longest = n;
  return longest;
}
