/** What a program waits for before its first training step is done. */

import { createModel, init, type LanguageModel } from "../../src/index.js";
import { gpu } from "../costs.js";
import { gptConfig, rowsOf } from "../gpt.js";
import { type Part, tell } from "./part.js";
import { say, show } from "./report.js";
import { babyGpt } from "./steps.js";

const firstStep =
  (goal: string): Part =>
  async (given) => {
    const shape = babyGpt(given);
    const start = performance.now();
    await init({ device: "webgpu" });
    const opened = performance.now();
    const model = (await createModel(gptConfig(shape), undefined, { seed: 1 })) as LanguageModel;
    const created = performance.now();
    await model.trainStep({ ids: rowsOf(shape) }, { learningRate: 1e-3, clipNorm: 1 });
    const done = performance.now();
    const { count, atOnce } = gpu().pipelines;
    say(
      `In a fresh process, whose start and code took ${show(start)} ms, from \`init\` to the end of the first step of the ${shape.width}-wide GPT: ${show(done - start)} ms (device ${show(opened - start)}, weights and forward pipelines ${show(created - opened)}, other pipelines and the step ${show(done - created)}); ${count} pipelines, ${atOnce} of them made at once, the others ahead.`,
    );
    tell({ figures: { [goal]: done - start } });
  };

export const first = firstStep("first");
export const firstAgain = firstStep("first again");
