/**
 * Choosing the next token from logits. In float64 on the host, from portable functions and the run's random stream:
 * equal logits, options and seed give equal tokens in every engine.
 */

import { NumericsError } from "../core/errors.js";
import { exp, log } from "../core/math.js";
import { refuseOption } from "../core/options.js";

export interface SamplingOptions {
  /** 0 takes the most likely token; 1 samples as the model says; 1 unless given. */
  temperature?: number;
  /** Only the k most likely tokens. */
  topK?: number;
  /** Only the fewest tokens whose probabilities reach p (Holtzman et al. 2019). */
  topP?: number;
  /** Only tokens at least this fraction as likely as the likeliest (Nguyen et al. 2024). */
  minP?: number;
  /** Divides (or multiplies, below 0) the logits of tokens seen before (Keskar et al. 2019); 1 changes nothing. */
  repetitionPenalty?: number;
}

export const samplingDefaults: Required<SamplingOptions> = {
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
};

/** Fills in defaults and refuses values out of range. */
export function checkSampling(options: SamplingOptions): Required<SamplingOptions> {
  const given = Object.fromEntries(
    Object.entries(options).filter(([name, value]) => name in samplingDefaults && value !== undefined),
  );
  const full = { ...samplingDefaults, ...given };
  const rules: [keyof SamplingOptions, string, (x: number) => boolean][] = [
    ["temperature", "a number from 0 up", (x) => x >= 0 && x < Number.POSITIVE_INFINITY],
    ["topK", "a whole number from 0 up (0: no limit)", (x) => Number.isSafeInteger(x) && x >= 0],
    ["topP", "a number above 0, at most 1", (x) => x > 0 && x <= 1],
    ["minP", "a number from 0 to 1", (x) => x >= 0 && x <= 1],
    ["repetitionPenalty", "a number above 0", (x) => x > 0 && x < Number.POSITIVE_INFINITY],
  ];
  for (const [name, expected, ok] of rules) {
    if (typeof full[name] !== "number" || !ok(full[name])) refuseOption("generate", name, expected, full[name]);
  }
  return full;
}

function penalized(row: ArrayLike<number>, seen: Iterable<number>, penalty: number): Float64Array {
  const logits = new Float64Array(row);
  for (const id of new Set(seen)) {
    if (id < logits.length) logits[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
  }
  return logits;
}

/** The position of the first largest; -1 where one is NaN. In one pass, since it is done for every token. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  let most = values[0];
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value <= most) continue;
    if (Number.isNaN(value)) return -1;
    most = value;
    best = i;
  }
  return best;
}

export interface Choice {
  readonly token: number;
  /**
   * log of the probability the model gave the token, before temperature and cuts (after the repetition penalty);
   * computed when it is read, since it costs an exponential for each token of the vocabulary.
   */
  readonly logprob: number;
}

/**
 * One token; the choice goes on reading `row`. `uniform` is a number in [0, 1) from the random stream; it is not used at temperature 0.
 * Order: repetition penalty, temperature, top-k, top-p, min-p.
 */
export function chooseToken(
  row: ArrayLike<number>,
  seen: Iterable<number>,
  { temperature, topK, topP, minP, repetitionPenalty }: Required<SamplingOptions>,
  uniform: () => number,
): Choice {
  const logits = repetitionPenalty === 1 ? row : penalized(row, seen, repetitionPenalty);
  const best = argmax(logits);
  if (!Number.isFinite(logits[best])) {
    throw new NumericsError("generate: needs finite logits, got NaN or an infinity.", {
      where: "generate",
      hint: "The model's weights are not finite: training went wrong before they were saved.",
    });
  }
  const chosen = (token: number): Choice => ({
    token,
    get logprob() {
      let total = 0;
      for (let id = 0; id < logits.length; id++) total += exp(logits[id] - logits[best]);
      return logits[token] - logits[best] - log(total);
    },
  });
  if (temperature === 0) return chosen(best);

  // Where some are cut, the values are sorted, and only the one that is chosen is asked whose it is.
  const sorted = topK > 0 || topP < 1 ? descending(logits, topK) : undefined;
  const values = sorted ?? logits;
  const weights = new Float64Array(values.length);
  for (let i = 0; i < weights.length; i++) weights[i] = exp((values[i] - logits[best]) / temperature);
  let count = weights.length;
  if (topP < 1) {
    const sum = weights.reduce((a, b) => a + b, 0);
    let reached = 0;
    count = 0;
    while (count < weights.length && reached < topP * sum) reached += weights[count++];
  }
  if (minP > 0) {
    // Weights are relative to the likeliest token, whose weight is 1.
    for (let i = 0; i < count; i++) if (weights[i] < minP) weights[i] = 0;
  }
  let sum = 0;
  for (let i = 0; i < count; i++) sum += weights[i];
  let left = uniform() * sum;
  let choice = 0;
  for (let i = 0; i < count; i++) {
    if (weights[i] === 0) continue;
    choice = i; // the last one if rounding leaves something
    left -= weights[i];
    if (left < 0) break;
  }
  return chosen(sorted ? idAt(logits, sorted, choice) : choice);
}

/** The values from the largest down, or the k largest. */
function descending(values: ArrayLike<number>, k: number): Float64Array {
  if (k === 0 || k > 256)
    return new Float64Array(values)
      .sort()
      .reverse()
      .subarray(0, k || undefined);
  const top = new Float64Array(Math.min(k, values.length)).fill(Number.NEGATIVE_INFINITY);
  const last = top.length - 1;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value <= top[last]) continue;
    let at = last;
    for (; at > 0 && top[at - 1] < value; at--) top[at] = top[at - 1];
    top[at] = value;
  }
  return top;
}

/** The id of one of the sorted values; equal ones are in the order of their ids. */
function idAt(values: ArrayLike<number>, sorted: Float64Array, position: number): number {
  const value = sorted[position];
  let before = position - sorted.indexOf(value);
  let id = 0;
  while (values[id] !== value || before-- > 0) id++;
  return id;
}
