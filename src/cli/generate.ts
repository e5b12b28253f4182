/** `tenon generate`: text from a run or a checkpoint, as it is made. */

import { join } from "node:path";
import { deviceChoices, init, MAX_THREADS } from "../backend/devices.js";
import { describeCapabilities } from "../backend/report.js";
import { ConfigError, RunError } from "../core/errors.js";
import { isFetched } from "../core/platform.js";
import { LanguageModel, loadModel, type Model } from "../models/index.js";
import "../node/platform.js";
import { CHECKPOINTS } from "../runs/folder.js";
import { loadRun } from "../runs/list.js";
import { usage, withArguments } from "./arguments.js";
import type { Io } from "./io.js";
import { sentence } from "./layout.js";
import { checkPlace, isFolder, isPath, locate, shortPath } from "./locate.js";
import { thousands } from "./progress.js";

const WHOLE = Number.MAX_SAFE_INTEGER;

const table = usage({
  name: "generate",
  operands: "<run or checkpoint>",
  count: [1, 1],
  about:
    "Lets a model write on. The model is a run (its ID, the start of one, or its folder), a checkpoint, or any folder or " +
    "URL in the layout of Hugging Face. Equal prompts, seeds and options give equal texts.",
  options: {
    prompt: { kind: "text", help: "what the text starts with; a line end unless told" },
    "max-tokens": { kind: { integer: [1, WHOLE] }, help: "most new tokens; 200 unless told" },
    temperature: { kind: { number: [0, 100] }, value: "T", help: "0: always the likeliest; 1 unless told" },
    "top-k": { kind: { integer: [1, WHOLE] }, value: "K", help: "choose among the K likeliest tokens" },
    "top-p": { kind: { number: [0, 1] }, value: "P", help: "choose among the likeliest that hold this probability" },
    seed: { kind: { integer: [0, WHOLE] }, help: "of the choices; 0 unless told" },
    device: { kind: deviceChoices, help: "auto: a hardware GPU, else the CPU" },
    threads: { kind: { integer: [1, MAX_THREADS] }, help: "of the CPU; all cores unless told" },
    out: { kind: "text", value: "DIR", help: 'folder that holds the runs; "runs" unless told' },
  },
});

export const run = withArguments(table, async ({ values, operands }, io: Io) => {
  const { device, threads, prompt = "\n" } = values;
  const say = values.json ? io.aside : io;
  const found = await init({
    engineFlags: true,
    ...(device ? { device } : {}),
    ...(threads ? { threads } : {}),
  });
  say.out(sentence(describeCapabilities(found), say));
  const folder = await modelFolder(operands[0], values.out);
  const model = languageModel(await loadModel<Model>(folder), folder);
  const options = {
    maxTokens: values["max-tokens"] ?? 200,
    seed: values.seed ?? 0,
    ...given("temperature", values.temperature),
    ...given("topK", values["top-k"]),
    ...given("topP", values["top-p"]),
  };
  const began = performance.now();
  const rate = (tokens: number) => (tokens / (performance.now() - began)) * 1000;
  try {
    if (values.json) {
      const result = await model.generate(prompt, options);
      const tokensPerSecond = rate(result.tokens.length);
      io.json({ model: folder, prompt, ...result, tokensPerSecond, device: found.device });
      return 0;
    }
    say.out(`Model: ${shortPath(folder)}\n`);
    let tokens = 0;
    for await (const { text } of model.stream(prompt, options)) {
      // The prompt appears once it is known to be one.
      io.write(tokens++ === 0 ? prompt.replace(/^\n+/, "") + text : text);
    }
    io.write("\n");
    if (io.isTerminal) io.out(`\n${thousands(tokens)} tokens, ${thousands(rate(tokens))} tokens/s.`);
    return 0;
  } finally {
    model.dispose();
  }
});

function languageModel(model: Model, folder: string): LanguageModel {
  if (model instanceof LanguageModel) return model;
  throw new ConfigError(`${folder}: needs a language model, got a model of the family ${model.config.model_type}.`, {
    where: folder,
    hint: "Load it with loadModel() and predict from rows: await model.predict(rows).",
  });
}

const given = <K extends string, V>(name: K, value: V | undefined) =>
  (value === undefined ? {} : { [name]: value }) as { [name in K]?: V };

/** The folder or URL of a model: a checkpoint itself, or the last good one of a run. */
async function modelFolder(name: string, dir: string | undefined): Promise<string> {
  if (isFetched(name)) return name;
  if (isPath(name, dir) && isFolder(name) && !isFolder(join(name, CHECKPOINTS))) return name;
  checkPlace(dir);
  const [run, store] = locate(name, dir);
  const loaded = await loadRun(run, { store });
  const checkpoint = await loaded.latestCheckpoint();
  if (checkpoint) return join(loaded.store.name, checkpoint.folder);
  throw new RunError(`${loaded.folder}: has no complete checkpoint to generate from.`, {
    where: loaded.folder,
    hint: "Train it further, or start it again.",
  });
}
