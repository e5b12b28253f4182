/** Twenty training steps of the baby GPT, whose weights every machine, engine and page must end with. */
import * as t from "tenon";
import { hashWeights } from "tenon/models";
import { randomInteger } from "../../src/core/random.js";

const shape = { n_layer: 4, n_head: 4, n_embd: 128, n_positions: 64, vocab_size: 65 };
const config = { model_type: "gpt2", ...shape, attn_pdrop: 0, embd_pdrop: 0, resid_pdrop: 0 };
const [rows, columns] = [12, 65];

/** The hash of the weights after `steps` steps on the default device. */
export async function babySteps(steps = 20): Promise<string> {
  const model = await t.createModel(config, undefined, { seed: 1337 });
  const generator = new t.Generator(1337);
  for (let step = 0; step < steps; step++) {
    const call = generator.next("batch");
    const ids = Int32Array.from({ length: rows * columns }, (_, i) => randomInteger(call, i, config.vocab_size));
    await model.trainStep({ ids, shape: [rows, columns] }, { learningRate: 1e-3, clipNorm: 1 });
  }
  const hash = await hashWeights(model);
  model.dispose();
  return hash;
}
