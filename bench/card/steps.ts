/** Training steps by `trainStep`: time, what this side does of it, and use of the card. */

import { init, type LanguageModel, memory } from "../../src/index.js";
import { AdamW } from "../../src/optim/index.js";
import { gpu, issuing, stepCosts, stepParts } from "../costs.js";
import { rowsOf, type Shape, stepFlops } from "../gpt.js";
import { reasonOf } from "../turns.js";
import { randomGpt } from "./model.js";
import { type Given, type Part, percent, tell } from "./part.js";
import { say, share, show, table } from "./report.js";

const sizes: Record<"card" | "small", [string, Shape][]> = {
  card: [
    ["baby GPT", { layers: 4, heads: 4, width: 128, context: 64, batch: 12, vocabulary: 65 }],
    ["384 wide", { layers: 6, heads: 6, width: 384, context: 256, batch: 8, vocabulary: 65 }],
    ["GPT-2 124M", { layers: 12, heads: 12, width: 768, context: 512, batch: 4, vocabulary: 50257 }],
  ],
  small: [
    ["baby GPT", { layers: 2, heads: 2, width: 16, context: 8, batch: 2, vocabulary: 17 }],
    ["384 wide", { layers: 2, heads: 2, width: 32, context: 16, batch: 2, vocabulary: 65 }],
  ],
};
export const babyGpt = ({ small }: Given): Shape => sizes[small ? "small" : "card"][0][1];

/** The fastest of the steps that fit into some seconds. */
async function fastest(seconds: number, least: number, step: () => Promise<unknown>): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  const end = performance.now() + 1000 * seconds;
  for (let i = 0; i < least || performance.now() < end; i++) {
    const start = performance.now();
    await step();
    best = Math.min(best, performance.now() - start);
  }
  return best;
}

/** Dispatches that a layer more takes. */
async function layerCosts(model: LanguageModel, optimizer: AdamW, shape: Shape) {
  const less = randomGpt({ ...shape, layers: shape.layers - 1 });
  const ofLess = new AdamW(less.namedParameters(), { lr: 1e-3 });
  const [all, fewer] = [await stepParts(model, optimizer, rowsOf(shape)), await stepParts(less, ofLess, rowsOf(shape))];
  ofLess.dispose();
  less.dispose();
  return { forward: all.forward - fewer.forward, backward: all.backward - fewer.backward };
}

export const steps: Part = async (given) => {
  await init({ device: "webgpu" });
  const { small, measured, nominal } = given;
  const row = table(
    ...["training step", "ms", "tokens/s", "dispatches", "submits", "recording", "MFU, measured roof", "MFU, nominal"],
    ...["back to back, ms", "MFU, measured roof", "peak memory", "of a layer: forward", "backward"],
  );
  const layer = { forward: 0, backward: 0 }; // of the model that needs most
  for (const [name, shape] of sizes[small ? "small" : "card"]) {
    const { layers, heads, width, context, batch, vocabulary } = shape;
    const title = `${name}: ${layers} layers, ${heads} heads, ${width} wide, ${batch} x ${context} tokens of ${vocabulary}`;
    try {
      const model = randomGpt(shape);
      const optimizer = new AdamW(model.namedParameters(), { lr: 1e-3 });
      const ids = rowsOf(shape);
      const { whole, recording, step } = await stepCosts(model, optimizer, ids, small ? 1 : 30);
      tell({ figures: { [`recording ${name}`]: percent(recording, step) } });
      const time = await fastest(small ? 0 : 4, 2, () => model.trainStep({ ids }, { optimizer, clipNorm: 1 }));

      // Steps that nobody waits for, each submitted once it is recorded; the last loss is read.
      const many = small ? 3 : Math.max(4, Math.min(50, Math.ceil(1500 / time)));
      const issue = issuing(model, optimizer);
      const together = await fastest(small ? 0 : 3, 2, async () => {
        for (let i = 1; i < many; i++) {
          issue(ids).dispose();
          gpu().flush();
        }
        const loss = issue(ids);
        await loss.item();
        loss.dispose();
      });
      const peak = memory().peak;
      const ofLayer = await layerCosts(model, optimizer, shape);
      for (const way of ["forward", "backward"] as const) layer[way] = Math.max(layer[way], ofLayer[way]);
      tell({ figures: layer });
      const use = (peak: number | undefined, ms: number) => share((stepFlops(shape) / ms) * 1e3, peak);
      row(
        ...[title, show(time), show((1000 * batch * context) / time), String(whole.dispatches), String(whole.submits)],
        ...[share(recording, step), use(measured.flops, time), use(nominal.flops, time)],
        ...[show(together / many), use(measured.flops, together / many), `${show(peak / 2 ** 20)} MiB`],
        ...[String(ofLayer.forward), String(ofLayer.backward)],
      );
      optimizer.dispose();
      model.dispose();
    } catch (error) {
      row(title, "absent", reasonOf(error), ...Array(10).fill("–"));
    }
  }
  say();
  say(
    "Forward, backward, clipping and AdamW in float32. MFU: operations of the step's matrix products over time and roof. For C wide, L layers, V words, T tokens of context and n tokens in all those are 6 n (12 L C² + V C + L T C): forward once, backward twice, of attention the causal half. Recording: the share of a step in which this side records commands. Back to back: steps issued by hand, each submitted by itself, and only the last loss read; `trainStep` reads each.",
  );
};
