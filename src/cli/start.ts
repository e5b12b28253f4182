/** What `npm start` runs: about a minute from nothing to a model that writes, with its loss as a plot that grows. */

import { deviceChoices, MAX_THREADS } from "../backend/devices.js";
import { type Capabilities, describeCapabilities } from "../backend/report.js";
import { talesEntropy } from "../data/tales.js";
import { type LanguageModel, loadModel } from "../models/index.js";
import "../node/platform.js";
import type { TrainingConfigInput } from "../runs/config.js";
import type { TrainingEvent } from "../runs/events.js";
import { trainConfig } from "../runs/train.js";
import { usage, withArguments } from "./arguments.js";
import type { Io } from "./io.js";
import { block, sentence } from "./layout.js";
import { plot, thinned } from "./plot.js";
import { bar, Pace, Screen, thousands, Wrapped } from "./progress.js";
import { allowEngineFlags, summary, watch } from "./train.js";

const table = usage({
  name: "start",
  operands: "",
  count: [0, 0],
  about:
    "Trains a small GPT for about a minute and lets it write: on stories of a grammar whose entropy is known, which is " +
    "the loss that no model can beat, or on a text of yours.",
  options: {
    data: { kind: "text", value: "FILE", help: "a text to learn from, in place of the stories" },
    steps: { kind: { integer: [1, Number.MAX_SAFE_INTEGER] }, help: "optimizer steps; 2000 unless told" },
    seed: { kind: { integer: [0, Number.MAX_SAFE_INTEGER] }, help: "of everything that is random; 1337 unless told" },
    device: { kind: deviceChoices, help: "auto, the CPU, unless told" },
    threads: { kind: { integer: [1, MAX_THREADS] }, help: "of the CPU; all cores unless told" },
    out: { kind: "text", value: "DIR", help: 'folder that holds the runs; "runs" unless told' },
  },
});

/**
 * A context of 128 characters spans much of a story, so that its parts can agree. For one minute a small model and many
 * small steps are best: of the shapes tried, this one had the lowest loss after equal time.
 */
const MODEL = { model_type: "gpt2", n_layer: 2, n_head: 4, n_embd: 96 };

export const run = withArguments(table, async ({ values }, io: Io) => {
  const { data, steps = 2000, seed = 1337, device, threads, out = "runs" } = values;
  const config: TrainingConfigInput = {
    data:
      data === undefined
        ? { corpus: "tales", length: 1_000_000, split: { train: 0.98, val: 0.02 } }
        : { text: data, split: { train: 0.9, val: 0.1 } },
    tokenizer: "char",
    model: MODEL,
    training: {
      steps,
      batchSize: 4,
      blockSize: 128,
      learningRate: 6e-3,
      evalEvery: Math.max(1, Math.floor(steps / 5)),
      sampleEvery: Math.max(1, Math.floor(steps / 10)),
      checkpointEvery: steps,
      sampleTokens: 160,
    },
    seed,
    out,
    ...(device ? { device } : {}),
    ...(threads ? { threads } : {}),
  };
  const say = values.json ? io.aside : io;
  const bound = data === undefined ? talesEntropy() : undefined;
  await allowEngineFlags();
  const clock = () => performance.now();
  const started = trainConfig(config, { clock });
  const screen = new Screen(say, clock);
  const view = new StartView(say, screen, new Pace(clock), data ?? "stories of a small grammar", bound);
  const result = await watch(started, screen, view);
  say.out(view.plot(true).join("\n"));
  for (const line of comparison(result.valLoss, bound)) say.out(line);
  const text = view.checkpoint && !result.stopped ? await write(await loadModel(view.checkpoint), seed, say) : "";
  say.out("");
  for (const line of summary(result)) say.out(line);
  if (values.json) io.json({ ...result, entropy: bound ?? null, text });
  return 0;
});

/** The loss beside the bound, in nats and as what it means: as unsure as among so many characters, all equally likely. */
function comparison(valLoss: number, bound: number | undefined): string[] {
  if (!Number.isFinite(valLoss)) return [];
  const choices = (nats: number) => Math.exp(nats).toFixed(2);
  return [
    "",
    `Loss on unseen text: ${valLoss.toFixed(3)} nats per character, a choice among ${choices(valLoss)} characters.`,
    ...(bound === undefined ? [] : [`Best on average:     ${bound.toFixed(3)}, a choice among ${choices(bound)}.`]),
  ];
}

/** The model writes on, character by character. */
async function write(model: LanguageModel, seed: number, io: Io): Promise<string> {
  io.out("\nNow it writes by itself:\n");
  const page = new Wrapped(io.write, io.isTerminal ? io.columns - 2 : Number.POSITIVE_INFINITY);
  let text = "";
  try {
    const start = model.tokenizer?.idOf("\n") ?? 0;
    for await (const piece of model.stream([start], { maxTokens: 600, temperature: 0.8, seed })) {
      text += piece.text;
      page.push(piece.text.replaceAll("\n", "\n\n"));
    }
    page.flush();
  } finally {
    model.dispose();
  }
  io.write("\n");
  return text;
}

class StartView {
  /** Folder of the last checkpoint. */
  checkpoint: string | undefined;
  private runDir = "";
  private readonly steps: number[] = [];
  private readonly losses: number[] = [];
  private total = 1;
  private shownShare = 0;

  constructor(
    private readonly io: Io,
    private readonly screen: Screen,
    private readonly pace: Pace,
    private readonly subject: string,
    private readonly bound: number | undefined,
  ) {}

  show(event: TrainingEvent): void {
    const { screen, pace } = this;
    switch (event.type) {
      case "start":
        this.runDir = event.runDir;
        this.total = event.steps;
        screen.line(sentence(describeCapabilities(event.environment as unknown as Capabilities), this.io));
        screen.line(
          `A GPT with ${thousands(event.parameters)} parameters that knows nothing yet reads ${this.subject}.\n`,
        );
        break;
      case "step":
        pace.step(event);
        this.step(event.step, event.loss);
        break;
      case "sample":
        screen.line(`after ${event.step} steps it writes:\n${block(event.text.trim(), this.io.columns)}\n`);
        break;
      case "checkpoint":
        this.checkpoint = `${this.runDir.slice(0, this.runDir.lastIndexOf("/"))}/${event.path}`;
        break;
      case "warning":
        screen.line(sentence(`warning: ${event.message}`, this.io));
        break;
    }
  }

  private step(step: number, loss: number): void {
    this.steps.push(step);
    this.losses.push(loss);
    const { pace, io, screen } = this;
    const text = `  step ${step} of ${this.total}  loss ${loss.toFixed(3)}  ${pace.describe()}`;
    if (io.isTerminal) {
      const width = Math.max(10, Math.min(40, io.columns - text.length - 2));
      screen.area(() => [...this.plot(), "", `${bar(pace.share, width)}${text}`]);
    } else if (step === 1 || pace.share >= this.shownShare + 0.1) {
      this.shownShare = Math.floor(pace.share * 10) / 10;
      screen.line(text.trimStart());
    }
  }

  /** The loss so far, falling towards the bound. */
  plot(whole = false): string[] {
    const { columns, rows, isTerminal } = this.io;
    const room = Math.max(4, Math.min(12, rows - 12));
    return plot([thinned({ label: "loss", steps: this.steps, values: this.losses })], {
      width: Math.max(20, Math.min(72, columns - 12)),
      height: whole ? 12 : room,
      until: whole ? undefined : this.total,
      title: "loss in nats per character",
      ascii: !isTerminal,
      ...(this.bound === undefined ? {} : { bound: { label: "entropy of the stories", value: this.bound } }),
    }).split("\n");
  }
}
