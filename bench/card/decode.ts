/** Greedy decoding with a cache in the shape of GPT-2 124M: tokens per second beside what the card's memory allows. */

import { type DType, init, type LanguageModel } from "../../src/index.js";
import { decodeDispatches } from "../costs.js";
import type { Shape } from "../gpt.js";
import { randomGpt } from "./model.js";
import type { Part } from "./part.js";
import { reasonOf, say, share, show, table } from "./report.js";

/** Bytes that a token needs: the weights but for the other positions' embeddings, and keys and values so far. */
function bytesOf(model: LanguageModel, { layers, width, context }: Shape, positions: number, dtype: DType): number {
  const width16 = dtype === "float16" ? 2 : 4;
  const weights = [...model.parameters()].reduce((sum, { size, ndim }) => sum + (ndim === 2 ? width16 : 4) * size, 0);
  return weights - width16 * context * width + 4 * 2 * layers * width * positions;
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
  for (const dtype of ["float32", "float16"] as const) {
    try {
      const model = randomGpt(shape, dtype);
      const times: number[] = [];
      let last = 0;
      for (let round = 0; round < (small ? 1 : 3); round++)
        for await (const _ of model.stream(ids, { maxTokens: tokens, temperature: 0, ignoreEos: true })) {
          const now = performance.now();
          times.push(now - last);
          last = now;
        }
      // Of each round the first token is the prompt's, and those after it may wait for pipelines.
      const rounds = Array.from({ length: times.length / tokens }, (_, i) => times.slice(i * tokens, (i + 1) * tokens));
      const means = rounds.map((round) => round.slice(skipped).reduce((a, b) => a + b, 0) / (tokens - skipped));
      const time = Math.min(...means);
      const bytes = bytesOf(model, shape, positions, dtype);
      const whole = await decodeDispatches(model, ids);
      model.dispose();
      const less = randomGpt({ ...shape, layers: shape.layers - 1 }, dtype);
      const layer = whole - (await decodeDispatches(less, ids));
      less.dispose();
      const rate = (1000 * bytes) / time;
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
  return undefined;
};
