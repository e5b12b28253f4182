/** `tenon train`: shows the events of a run as they come. */

import { dirname } from "node:path";
import { sourceText } from "../artifacts/sources.js";
import { deviceChoices, init, MAX_THREADS, numericsChoices } from "../backend/devices.js";
import { type Capabilities, describeCapabilities } from "../backend/report.js";
import { showBytes } from "../backend/storage.js";
import { parseJson } from "../core/json.js";
import { platform } from "../core/platform.js";
import { setWarningListener } from "../core/warnings.js";
import "../node/platform.js";
import { override, type TrainingConfigInput } from "../runs/config.js";
import type { TrainingEvent, TrainingResult, TrainingRun } from "../runs/events.js";
import { showNumber } from "../runs/sinks.js";
import { trainConfig } from "../runs/train.js";
import { type Option, UsageError, usage, withArguments } from "./arguments.js";
import { type Io, whenReaderLeaves } from "./io.js";
import { block, sentence } from "./layout.js";
import { locate, shellWord, shortPath, toType } from "./locate.js";
import { bar, Pace, Screen, thousands } from "./progress.js";

const WHOLE = Number.MAX_SAFE_INTEGER;

/** Flags that set a field of the config, by its path. A run that is resumed is what it was: only `free` ones may change. */
const fields = {
  steps: { path: "training.steps", kind: { integer: [1, WHOLE] }, help: "optimizer steps" },
  seed: { path: "seed", kind: { integer: [0, WHOLE] }, help: "of everything that is random" },
  device: { path: "device", kind: deviceChoices, help: "auto: the CPU; with fast numerics a hardware GPU" },
  threads: {
    path: "threads",
    free: true,
    kind: { integer: [1, MAX_THREADS] },
    help: "of the CPU; all cores unless told, the result is the same",
  },
  numerics: { path: "numerics", kind: numericsChoices, help: "portable: the same bits on every machine" },
  "memory-budget": {
    path: "memoryBudget",
    free: true,
    kind: { bytes: true },
    help: "bytes that all tensors together may use, e.g. 500MB",
  },
  out: { path: "out", free: true, kind: "text", value: "DIR", help: "folder that holds the runs" },
} as const satisfies Record<string, Option & { path: string; free?: true }>;

const table = usage({
  name: "train",
  operands: "<config.json>",
  count: [0, 1],
  about:
    "Trains a model as the config says and keeps the run in a folder of its own. Ctrl-C saves a checkpoint and says " +
    "how to go on; a second Ctrl-C ends at once. Of a resumed run only threads and memory can change.",
  options: {
    ...fields,
    resume: { kind: "text", value: "RUN", help: "go on with this run from its last checkpoint" },
  },
});

export const run = withArguments(table, async ({ values, operands }, io: Io) => {
  const { resume } = values;
  if (operands.length === 0 && resume === undefined) throw new UsageError("needs <config.json>, or --resume RUN.");
  const given = Object.entries(fields).filter(([flag]) => values[flag as keyof typeof fields] !== undefined);
  const changed = resume === undefined ? undefined : given.find(([, field]) => !("free" in field));
  if (changed) throw new UsageError(`--${changed[0]} cannot change in a run that is resumed.`);
  let config = operands.length === 0 ? {} : await readConfig(operands[0]);
  for (const [flag, { path }] of given) config = override(config, path, values[flag as keyof typeof fields]);
  const [name, store] = resume === undefined ? [] : locate(resume, config?.["out"] as string | undefined);
  await allowEngineFlags();
  const say = values.json ? io.aside : io;
  const clock = () => performance.now();
  const started = trainConfig(config as unknown as TrainingConfigInput, {
    ...(name === undefined ? {} : { resume: name, store }),
    clock,
    where: operands[0] ?? "config",
  });
  const screen = new Screen(say, clock);
  const result = await watch(started, screen, new View(say, screen, new Pace(clock)));
  for (const line of summary(result)) say.out(line);
  if (values.json) io.json(result);
  return 0;
});

async function readConfig(path: string): Promise<Record<string, unknown>> {
  const source = await platform().openFile!(path);
  return parseJson(await sourceText(source), { where: path }) as Record<string, unknown>;
}

/** The command line may set engine flags; the device itself is opened by whoever knows which one is wanted. */
export async function allowEngineFlags(): Promise<void> {
  await init({ engineFlags: true, device: "reference" });
}

/**
 * Stops the run at Ctrl-C, once: a second one has its usual effect; and when nobody reads what it tells. Returns what
 * ends that.
 */
function stopOnInterrupt(run: TrainingRun, screen: Screen): () => void {
  // Whoever reads the events sees how it ended.
  const stop = () => void run.stop().catch(() => undefined);
  const interrupt = () => {
    release();
    screen.line("\nStopping after this step and saving a checkpoint. Ctrl-C again ends at once.");
    stop();
  };
  const release = () => {
    process.removeListener("SIGINT", interrupt);
    process.removeListener("SIGTERM", interrupt);
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  whenReaderLeaves(stop);
  return () => {
    release();
    whenReaderLeaves();
  };
}

/** Gives the events of a run to who shows them until it ends; Ctrl-C stops it. */
export async function watch(
  run: TrainingRun,
  screen: Screen,
  view: { show(event: TrainingEvent): void },
): Promise<TrainingResult> {
  const release = stopOnInterrupt(run, screen);
  // Warnings arrive as events.
  const listener = setWarningListener(undefined);
  try {
    for await (const event of run) view.show(event);
    return await run;
  } finally {
    screen.clear();
    release();
    setWarningListener(listener);
  }
}

class View {
  private valLoss: number | undefined;
  private nextLine = 1;

  constructor(
    private readonly io: Io,
    private readonly screen: Screen,
    private readonly pace: Pace,
  ) {}

  show(event: TrainingEvent): void {
    const { screen, pace } = this;
    switch (event.type) {
      case "start": {
        pace.startFrom(event.fromStep);
        pace.unit = event.unit;
        screen.line(sentence(describeCapabilities(event.environment as unknown as Capabilities), this.io));
        const from = event.fromStep > 0 ? ` going on after step ${thousands(event.fromStep)},` : "";
        screen.line(
          `Run ${shortPath(event.runDir)}:${from} ${thousands(event.parameters)} parameters, ${thousands(event.steps)} steps.`,
        );
        break;
      }
      case "step":
        pace.step(event);
        this.step(event);
        break;
      case "eval":
        this.valLoss = event.valLoss;
        screen.line(
          `step ${event.step}  validation loss ${event.valLoss.toFixed(4)}${measures(event.metrics)}${event.final ? " (all of it)" : ""}`,
        );
        break;
      case "sample":
        screen.line(`step ${event.step}  a sample:\n${block(event.text, this.io.columns)}`);
        break;
      case "checkpoint":
        screen.line(`step ${event.step}  checkpoint saved`);
        break;
      case "warning":
        screen.line(sentence(`warning: ${event.message}`, this.io));
        break;
    }
  }

  private step(event: Extract<TrainingEvent, { type: "step" }>): void {
    const { step, steps, loss } = event;
    const facts = `loss ${loss.toFixed(4)}`;
    if (this.io.isTerminal) {
      this.screen.area(() => {
        const validation = this.valLoss === undefined ? "" : `  validation ${this.valLoss.toFixed(4)}`;
        const text = `  step ${step} of ${steps}  ${facts}${validation}  ${this.pace.describe()}`;
        const width = Math.max(10, Math.min(40, this.io.columns - text.length - 2));
        return [`${bar(step / steps, width)}${text}`];
      });
    } else if (step >= this.nextLine || step === steps) {
      this.screen.line(`step ${step} of ${steps}  ${facts}  ${this.pace.describe()}`);
      // About twenty lines for a run; the first steps show that it works.
      this.nextLine = step + Math.max(1, Math.min(Math.ceil(steps / 20), step * 9));
    }
  }
}

/** Measures besides the loss: `, accuracy 0.9733`. */
const measures = (metrics: Readonly<Record<string, number>>): string =>
  Object.entries(metrics)
    .map(([name, value]) => `, ${name.replace(/^val(?=[A-Z])/, "").toLowerCase()} ${showNumber(value)}`)
    .join("");

/** What can be done with a model, by what it reads. */
const nextStep: Record<TrainingResult["unit"], (folder: string) => string[]> = {
  tokens: (folder) => ["Let it write with:", `  ${toType(`generate ${shellWord(folder)} --prompt "…"`)}`],
  rows: () => [],
};

/** What came out of a run, and what can be done now. */
export function summary(result: TrainingResult): string[] {
  const { steps, trainLoss, valLoss, metrics, weightsHash, tokensPerSecond, runDir, executionId, stopped } = result;
  // As it was in the run, which gave its device back.
  const { peak, live, pooled } = result.memory;
  const validation = Number.isFinite(valLoss) ? `, validation loss ${valLoss.toFixed(4)}${measures(metrics)}` : "";
  const rate = Number.isFinite(tokensPerSecond) ? `${thousands(tokensPerSecond)} ${result.unit}/s; ` : "";
  const folder = shortPath(runDir);
  const out = shortPath(dirname(runDir));
  const resume = toType(`train --resume ${executionId}${out === "runs" ? "" : ` --out ${shellWord(out)}`}`);
  const done = `after step ${thousands(steps)}: training loss ${trainLoss.toFixed(4)}${validation}`;
  return [
    steps === 0 ? "Stopped before the first step." : `${stopped ? "Stopped" : "Done"} ${done}.`,
    `${rate}memory: peak ${showBytes(peak)}, live ${showBytes(live)}, pooled ${showBytes(pooled)}.`,
    `Weights ${weightsHash}`, // with the folder in one line they would not fit into it
    `in ${folder}.`,
    ...(stopped ? ["Go on with:", `  ${resume}`] : nextStep[result.unit](folder)),
  ];
}
