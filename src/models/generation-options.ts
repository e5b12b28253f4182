/** What a generation is asked for. */

import { ConfigError, kindOf, show } from "../core/errors.js";
import { checkCounts, checkOptions } from "../core/options.js";
import type { LanguageModel } from "./language-model.js";
import { checkSampling, type SamplingOptions, samplingDefaults } from "./sampling.js";

export interface GenerateOptions extends SamplingOptions {
  /** Most new tokens; 100 unless given. `maxNewTokens` is the same; only one of them is given. */
  maxTokens?: number;
  maxNewTokens?: number;
  /** Ends the text before the first of these (needs a tokenizer). */
  stop?: string | readonly string[];
  /** Seed of the sampling stream; 0 unless given. */
  seed?: number;
  /** Also return the log-probability of each token. */
  logprobs?: boolean;
  /** Go on after an end-of-text token. */
  ignoreEos?: boolean;
  signal?: AbortSignal;
}

const optionNames = () => [
  ...Object.keys(samplingDefaults),
  "maxTokens",
  "maxNewTokens",
  "stop",
  "seed",
  "logprobs",
  "ignoreEos",
  "signal",
];

/** The options with their defaults, checked. */
export interface Settings {
  readonly sampling: Required<SamplingOptions>;
  readonly maxTokens: number;
  readonly stop: readonly string[];
  readonly seed: number;
  readonly eos: ReadonlySet<number>;
  readonly signal?: AbortSignal;
  readonly logprobs: boolean;
}

export function settings(model: LanguageModel, options: GenerateOptions): Settings {
  checkOptions("generate", options, optionNames());
  if (options.maxTokens !== undefined && options.maxNewTokens !== undefined) {
    const { maxTokens, maxNewTokens } = options;
    const got = `${show(maxTokens)} and ${show(maxNewTokens)}`;
    throw new ConfigError(`generate: needs maxTokens or maxNewTokens, which are the same, got both, ${got}.`, {
      where: "generate",
    });
  }
  const maxTokens = options.maxTokens ?? options.maxNewTokens ?? 100;
  checkCounts("generate", { maxTokens }, 0);
  const stop = typeof options.stop === "string" ? [options.stop] : (options.stop ?? []);
  if (!Array.isArray(stop) || stop.some((text) => typeof text !== "string" || text === "")) {
    throw new ConfigError("generate: needs texts that are not empty for stop.", { where: "generate" });
  }
  if (stop.length > 0 && !model.tokenizer)
    throw new ConfigError("generate: needs a tokenizer for stop.", { where: "generate" });
  if (options.signal !== undefined && typeof options.signal?.aborted !== "boolean") {
    throw new ConfigError(`generate: needs an AbortSignal for signal, got ${kindOf(options.signal)}.`, {
      where: "generate",
    });
  }
  const eos = options.ignoreEos ? null : (model.generationConfig?.eos_token_id ?? model.config.eos_token_id ?? null);
  return {
    sampling: checkSampling(options),
    maxTokens,
    stop,
    seed: options.seed ?? 0,
    eos: new Set(eos === null ? [] : Array.isArray(eos) ? (eos as number[]) : [eos as number]),
    signal: options.signal,
    logprobs: options.logprobs ?? false,
  };
}
