/** Greedy decoding with a cache in the shape of GPT-2 124M: tokens per second beside what the card's memory allows. */

import { type DType, init, type LanguageModel } from "../../src/index.js";
import { decodeDispatches, gpu } from "../costs.js";
import type { Shape } from "../gpt.js";
import { reasonOf } from "../turns.js";
import { randomGpt } from "./model.js";
import { type Given, type Part, percent, tell } from "./part.js";
import { say, share, show, table } from "./report.js";

/** Bytes that a token needs: the weights but for the other positions' embeddings, and keys and values so far. */
function bytesOf(model: LanguageModel, { layers, width, context }: Shape, positions: number, dtype: DType): number {
  const width16 = dtype === "float16" ? 2 : 4;
  const weights = [...model.parameters()].reduce((sum, { size, ndim }) => sum + (ndim === 2 ? width16 : 4) * size, 0);
  return weights - width16 * context * width + 4 * 2 * layers * width * positions;
}

/** Does something with the norm of a row in a launch of its own, not in that of the product which reads it. */
async function normsApart<T>(work: () => Promise<T>): Promise<T> {
  const card: { prologueOf?: unknown } = gpu();
  card.prologueOf = () => undefined; // in place of the method
  try {
    return await work();
  } finally {
    delete card.prologueOf;
  }
}

/** Milliseconds of a token: the mean of a round, whose first tokens are the prompt's and may wait for pipelines. */
async function tokenTime(model: LanguageModel, ids: number[], tokens: number, skipped: number): Promise<number> {
  const times: number[] = [];
  for await (const _ of model.stream(ids, { maxTokens: tokens, temperature: 0, ignoreEos: true }))
    times.push(performance.now());
  return (times[tokens - 1] - times[skipped - 1]) / (tokens - skipped);
}

/** Of the fastest rounds, which take turns; on a card for as long as its clocks take to rise, and then some. */
async function inTurns({ small }: Given, works: readonly (() => Promise<number>)[]): Promise<number[]> {
  const best = works.map(() => Number.POSITIVE_INFINITY);
  const end = performance.now() + (small ? 0 : 4000);
  for (let round = 0; round < (small ? 1 : 3) || performance.now() < end; round++)
    for (const [i, work] of works.entries()) best[i] = Math.min(best[i], await work());
  return best;
}

export const decode: Part = async (given) => {
  await init({ device: "webgpu" });
  const { small, measured, nominal } = given;
  const shape: Shape = small
    ? { layers: 2, heads: 2, width: 32, context: 64, batch: 1, vocabulary: 257 }
    : { layers: 12, heads: 12, width: 768, context: 1024, batch: 1, vocabulary: 50257 };
  const [prompt, tokens, skipped] = small ? [24, 8, 2] : [208, 96, 8];
  const ids = Array.from({ length: prompt }, (_, i) => (i * 7919) % shape.vocabulary);
  const positions = prompt + tokens / 2;
  const row = table(
    ...["matrices", "tokens/s", "ms per token", "MB read per token", "GB/s", "of measured bandwidth", "of nominal"],
    ...["dispatches per token", "per layer"],
  );
  const sentences: string[] = [];
  let most = 0;
  for (const dtype of ["float32", "float16"] as const) {
    try {
      const model = randomGpt(shape, dtype);
      const round = () => tokenTime(model, ids, tokens, skipped);
      const [time, apart] = await inTurns(given, [round, () => normsApart(round)]);
      const bytes = bytesOf(model, shape, positions, dtype);
      const whole = await decodeDispatches(model, ids);
      const wholeApart = await normsApart(() => decodeDispatches(model, ids));
      model.dispose();
      const less = randomGpt({ ...shape, layers: shape.layers - 1 }, dtype);
      const layer = whole - (await decodeDispatches(less, ids));
      less.dispose();
      const rate = (1000 * bytes) / time;
      most = Math.max(most, layer);
      tell({
        figures: {
          [`decode ${dtype} of measured`]: percent(rate, measured.bandwidth),
          [`decode ${dtype} of nominal`]: percent(rate, nominal.bandwidth),
          "decode layer": most,
        },
      });
      // Not on software adapters.
      if (wholeApart > whole) {
        tell({ figures: { [`norm ${dtype}`]: apart / time } });
        sentences.push(
          `${dtype}: with the norms in launches of their own a token takes ${show(apart)} ms and ${wholeApart} dispatches; in the launch of the product that reads them it is ${(apart / time).toFixed(3)}x as fast, with ${whole}.`,
        );
      }
      row(
        ...[dtype, show(1000 / time), show(time), show(bytes / 1e6), show(rate / 1e9)],
        ...[share(rate, measured.bandwidth), share(rate, nominal.bandwidth), String(whole), String(layer)],
      );
    } catch (error) {
      row(dtype, "absent", reasonOf(error), ...Array(6).fill("–"));
    }
  }
  say();
  say(
    `${shape.layers} layers, ${shape.heads} heads, ${shape.width} wide, ${shape.vocabulary} tokens, random weights, vectors float32; greedy, positions ${prompt + skipped} to ${prompt + tokens}, the likeliest token goes on as the next input on the card, while its logits are read whole.`,
  );
  for (const sentence of sentences) say(sentence);
};
