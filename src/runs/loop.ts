/**
 * The training loop: micro-batches, gradients, clipping, update; metrics, validation, samples and checkpoints on the
 * way. It knows no clock and no file system: both are passed in.
 */

import { stamp } from "../artifacts/format.js";
import { safetensorsChunks } from "../artifacts/safetensors-write.js";
import { breathe } from "../core/breathe.js";
import { DataError, MemoryBudgetError, NumericsError } from "../core/errors.js";
import type { Generator } from "../core/random.js";
import { type WarningListener, warn } from "../core/warnings.js";
import { hashWeights, tensorsToWrite } from "../models/weights.js";
import { inference } from "../nn/inference.js";
import { rehearse } from "../nn/rehearse.js";
import type { StateValue } from "../nn/state.js";
import { div, stack } from "../ops/index.js";
import { clipCoefficient, gradNorm, type OptimizerState, type Schedule, type StepOptions } from "../optim/index.js";
import { tidy } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { showBudget } from "./budget.js";
import type { TrainingEvent } from "./events.js";
import type { RunRecorder } from "./recorder.js";
import { epochOf, type MicroBatch, type StepTask, type Task } from "./task.js";

export interface LoopOptions {
  readonly steps: number;
  readonly accumulate: number;
  readonly learningRate: number;
  readonly schedule: Schedule;
  readonly clipNorm: number | null;
  readonly evalEvery: number;
  readonly checkpointEvery: number;
  readonly logEvery: number;
  readonly sampleEvery: number;
}

/** What the loop asks of an optimizer; those of tenon/optim have it. */
export interface LoopOptimizer {
  /** The learning rate of the next step. */
  lr: number;
  /** Updates the parameters by their own gradients. */
  step(grads: undefined, options: StepOptions): void;
  stateDict(): OptimizerState;
  loadStateDict(state: OptimizerState<StateValue>): void;
  dispose(): void;
}

export interface LoopContext {
  readonly task: Task;
  readonly optimizer: LoopOptimizer;
  readonly generator: Generator;
  readonly recorder: RunRecorder;
  readonly emit: (event: TrainingEvent) => void;
  /** Told of warnings that concern this run alone. */
  readonly tell: WarningListener;
  readonly signal: AbortSignal;
  /** Milliseconds; absent where the caller gave no clock. */
  readonly clock?: () => number;
  /** Steps done before (a resumed run). */
  readonly fromStep: number;
  /** Tokens trained on before, and the last losses. */
  readonly progress: Progress;
}

/** What the loop carries from step to step, besides weights and optimizer. */
export interface Progress {
  tokens: number;
  trainLoss: number;
  valLoss: number;
  /** Other measures of the last validation. */
  metrics: Readonly<Record<string, number>>;
  /** The first step whose loss was NaN or infinite, though labels counted. */
  divergedAt?: number;
}

export interface LoopResult extends Progress {
  readonly step: number;
  readonly stopped: boolean;
  readonly weightsHash: string;
  /** Over the steps of this process; NaN without a clock. */
  readonly tokensPerSecond: number;
}

/** How long the loop may hold the thread before it lets the host do something else, in milliseconds. */
const YIELD_EVERY = 50;

/** One optimizer step: the losses of all micro-batches are summed and divided once by the labels that count. */
export async function trainStep(
  { task, optimizer }: { readonly task: StepTask; readonly optimizer: LoopOptimizer },
  { accumulate, clipNorm }: Pick<LoopOptions, "accumulate" | "clipNorm">,
): Promise<{ loss: number; gradNorm: number; tokens: number } | null> {
  if (task.step) {
    const own = await task.step();
    return own && { ...own, gradNorm: Number.NaN };
  }
  const batches: MicroBatch[] = [];
  while (batches.length < accumulate) {
    const batch = await task.next();
    if (batch === null) break;
    batches.push(batch);
  }
  if (batches.length === 0) return null;
  const count = batches.reduce((sum, batch) => sum + batch.count, 0);
  task.model.train();
  task.model.zeroGrad();
  await prepare(task, batches[0], count);
  const figures = tidy(() => {
    const losses = batches.map((batch) => tidy(() => backward(batch, count)));
    const norm = gradNorm(task.model.parameters());
    optimizer.step(undefined, clipNorm === null ? {} : { scale: clipCoefficient(norm, clipNorm) });
    return stack([norm, ...losses]);
  });
  task.model.zeroGrad();
  const [norm, ...parts] = await figures.data(); // the one time that the step waits for the device
  figures.dispose();
  return {
    loss: parts.reduce((sum, part) => sum + part, 0),
    gradNorm: norm,
    tokens: batches.reduce((sum, batch) => sum + batch.tokens, 0),
  };
}

const prepared = new WeakSet<StepTask>();

/** Before the first step the device prepares for it; not where the loss is a user's, who may count its calls. */
async function prepare(task: StepTask, batch: MicroBatch, count: number): Promise<void> {
  if (prepared.has(task) || !task.fits) return;
  prepared.add(task);
  await rehearse(task.model, () => {
    backward(batch, count);
    clipCoefficient(gradNorm(task.model.parameters()), 1);
  });
}

function backward(batch: MicroBatch, count: number): Tensor {
  if (batch.backward) return batch.backward(count);
  const loss = div(batch.lossSum(), count);
  loss.backward();
  return loss.detach();
}

const noBatch = () =>
  new DataError("train: needs at least one batch, got none.", {
    where: "train",
    hint: "Are the data empty, or was their iterator read to its end before?",
  });

/** Of whom warnings speak, and who hears them. */
type Told = Pick<LoopContext, "progress" | "tell">;

const toldOfLabels = new WeakSet<Progress>();

/** The mean over no labels is NaN, as PyTorch's is, with gradients of 0: that is no divergence, and told once. */
function tellLoss(
  { progress, tell }: Told,
  step: number,
  { loss, gradNorm }: { readonly loss: number; readonly gradNorm: number },
): void {
  const none = Number.isNaN(loss) && gradNorm === 0;
  if (!none) tellDivergence({ progress, tell }, step, loss);
  if (!none || toldOfLabels.has(progress)) return;
  toldOfLabels.add(progress);
  warn(
    "no-labels",
    `train: no label counts in the batch of step ${step}: its loss is NaN, and nothing is learnt from it. Are all its labels -100?`,
    { step },
    tell,
  );
}

/** Training goes on, as PyTorch's does, but whoever waits for it is told, once. */
function tellDivergence({ progress, tell }: Told, step: number, loss: number): void {
  if (Number.isFinite(loss) || progress.divergedAt !== undefined) return;
  progress.divergedAt = step;
  warn(
    "loss-not-finite",
    `train: the loss is ${loss} at step ${step}. Try a lower learningRate, more warmupSteps or a clipNorm, and look for NaN and infinity in the data.`,
    { step, loss },
    tell,
  );
}

/** A model whose weights are not finite cannot write, which is no reason to stop; its loss tells it, if not yet. */
function withoutSample(error: unknown, { progress, tell }: Told, step: number): undefined {
  if (!(error instanceof NumericsError)) throw error;
  if (progress.divergedAt === undefined)
    warn("sample-left-out", `train: no sample at step ${step}, the model's weights are not finite.`, { step }, tell);
}

async function taken(scalar: Tensor): Promise<number> {
  const value = await scalar.item();
  scalar.dispose();
  return Number(value);
}

/** Runs the steps; writes and emits everything that happens. */
export async function runLoop(context: LoopContext, options: LoopOptions): Promise<LoopResult> {
  const { task, optimizer, recorder, emit, signal, clock, progress } = context;
  const { steps, learningRate, schedule } = options;
  let step = context.fromStep;
  let lastBreath = clock?.() ?? 0;
  let timed = { tokens: 0, milliseconds: 0 };
  const due = (every: number) => every > 0 && step % every === 0;

  while (step < steps && !signal.aborted) {
    const began = clock?.();
    optimizer.lr = learningRate * schedule(step);
    const lr = optimizer.lr;
    const result = await trainStep(context, options).catch(async (error) => {
      if (!(error instanceof MemoryBudgetError)) throw error;
      throw await showBudget(error, task, (smaller) => trainStep({ task: smaller, optimizer }, options));
    });
    if (result === null) {
      if (step === 0) throw noBatch();
      const left = `train: the batches ended after step ${step} of ${steps}; they can be iterated only once.`;
      warn("batches-ended", left, { step, steps }, context.tell);
      break;
    }
    step++;
    recorder.metrics.epoch = epochOf(task.source);
    progress.tokens += result.tokens;
    progress.trainLoss = result.loss;
    tellLoss(context, step, result);
    const elapsed = clock && began !== undefined ? clock() - began : undefined;
    if (elapsed !== undefined)
      timed = { tokens: timed.tokens + result.tokens, milliseconds: timed.milliseconds + elapsed };
    if (due(options.logEvery) || step === steps) {
      recorder.metrics.log({ loss: result.loss, learningRate: lr, gradNorm: result.gradNorm }, step);
      if (elapsed !== undefined) recorder.metrics.timing(step, { milliseconds: elapsed });
    }
    emit({
      type: "step",
      step,
      steps,
      loss: result.loss,
      learningRate: lr,
      gradNorm: result.gradNorm,
      tokens: progress.tokens,
      ...(elapsed ? { tokensPerSecond: (result.tokens / elapsed) * 1000 } : {}),
    });
    if (task.evaluate && (due(options.evalEvery) || step === steps)) {
      const { loss: valLoss, metrics = {} } = await task.evaluate(step === steps);
      Object.assign(progress, { valLoss, metrics });
      tellDivergence(context, step, valLoss);
      recorder.metrics.log({ valLoss, ...metrics }, step);
      emit({ type: "eval", step, valLoss, metrics, final: step === steps });
    }
    if (task.sample && (due(options.sampleEvery) || (options.sampleEvery > 0 && step === steps))) {
      const text = await task.sample().catch((error) => withoutSample(error, context, step));
      if (text !== undefined) {
        recorder.metrics.sample(step, text);
        emit({ type: "sample", step, text });
      }
    }
    if (due(options.checkpointEvery) && step < steps) await saveCheckpoint(context, step);
    await recorder.metrics.flushIfFull();
    if (clock === undefined || clock() - lastBreath > YIELD_EVERY) {
      await breathe();
      lastBreath = clock?.() ?? 0;
    }
  }
  // One of step 0 where the run was stopped before its first: it can be resumed like any other.
  if (recorder.lastCheckpoint?.step !== step) await saveCheckpoint(context, step);
  return {
    ...progress,
    step,
    stopped: step < steps && signal.aborted,
    weightsHash: await hashWeights(task.model),
    tokensPerSecond: timed.milliseconds > 0 ? (timed.tokens / timed.milliseconds) * 1000 : Number.NaN,
  };
}

/** Weights, optimizer, random state, data position: everything that resuming needs. */
async function saveCheckpoint(context: LoopContext, step: number): Promise<void> {
  const { task, optimizer, generator, recorder, emit, progress } = context;
  const { tensors, ...optimizerState } = optimizer.stateDict();
  const files = {
    ...task.files(),
    "model.safetensors": safetensorsChunks(tensorsToWrite(task.model.stateDict())),
    "optimizer.safetensors": safetensorsChunks(tensorsToWrite(tensors), { ...stamp("tenon-optimizer") }),
  };
  const state = {
    random: generator.getState(),
    source: task.source.state(),
    optimizer: optimizerState,
    loop: { ...progress },
  };
  const checkpoint = await recorder.checkpoint(step, files, state);
  const weightsHash = checkpoint.files["model.safetensors"].sha256;
  emit({ type: "checkpoint", step, path: checkpoint.folder, weightsHash });
}

/** The mean over parts of a split, weighted by labels. */
export async function meanLoss(model: Task["model"], batches: AsyncIterable<MicroBatch>): Promise<number> {
  let total = 0;
  let count = 0;
  for await (const batch of batches) {
    total += await taken(inference(model, () => batch.lossSum()));
    count += batch.count;
  }
  return total / count;
}
