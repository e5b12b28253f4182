/** A prepared run from its first step, or its last checkpoint, to the sealed manifest. */

import { type Checkpoint, readCheckpointFile } from "../artifacts/checkpoint.js";
import { checkStamp } from "../artifacts/format.js";
import type { RunManifest } from "../artifacts/manifest.js";
import { readSafetensors } from "../artifacts/safetensors.js";
import type { TrainingState } from "../artifacts/training-state.js";
import { memory } from "../backend/devices.js";
import { RunError, TenonError } from "../core/errors.js";
import { type WarningListener, warn } from "../core/warnings.js";
import { hashWeights, stateValues } from "../models/weights.js";
import { codeName } from "./code.js";
import { differences } from "./compare.js";
import type { TrainingOptions } from "./config.js";
import { otherBuild } from "./draft.js";
import { type TrainingEvent, type TrainingResult, warningsTo } from "./events.js";
import { readManifestOf } from "./list.js";
import { type LoopOptions, type LoopResult, type Progress, runLoop } from "./loop.js";
import { scheduleOf } from "./optimizer.js";
import type { TrainOptions } from "./options.js";
import type { Prepared } from "./prepare.js";
import { RunRecorder } from "./recorder.js";
import { configChanged } from "./resume.js";
import { type Sink, warnOf } from "./sinks.js";

/** Runs it; what fails ends the run as failed, and its lock is given back either way. */
export async function execute(
  prepared: Prepared,
  options: TrainOptions,
  emit: (event: TrainingEvent) => void,
  signal: AbortSignal,
): Promise<TrainingResult> {
  const { settings, store, task, optimizer, generator, capabilities, resume } = prepared;
  let recorder: RunRecorder | undefined;
  let fromStep = 0;
  let began = false;
  const tell = warningsTo(emit);
  const onSinkError = (sink: Sink, error: unknown) => warnOf(sink, error, tell);
  const progress: Progress = { tokens: 0, trainLoss: Number.NaN, valLoss: Number.NaN, metrics: {} };
  try {
    if (resume !== undefined) {
      // Before anything of the run is cut back or written.
      refuseOther(prepared, await readManifestOf(store, resume), tell);
      const { checkpoint, state, ...opened } = await RunRecorder.resume(store, resume, {
        sinks: options.sinks,
        onSinkError,
      });
      recorder = opened.recorder;
      await restore(prepared, checkpoint, state);
      fromStep = state.step;
      const { metrics = {}, ...losses } = state.loop as Progress;
      Object.assign(progress, numbers(losses), { metrics: numbers(metrics) });
    } else {
      const draft = prepared.draft(await hashWeights(task.model));
      const { userConfig } = prepared;
      recorder = await RunRecorder.start(store, draft, { sinks: options.sinks, onSinkError, userConfig });
    }
    const run = recorder as RunRecorder;
    const runDir = `${store.name}/${run.folder}`;
    const parameters = [...task.model.parameters()].reduce((sum, { size }) => sum + size, 0);
    emit({
      type: "start",
      runId: run.runId,
      executionId: run.executionId,
      runDir,
      steps: settings.training.steps,
      fromStep,
      environment: { ...capabilities },
      parameters,
      unit: task.unit,
    });
    began = true;
    const result = await runLoop(
      { task, optimizer, generator, recorder: run, emit, tell, signal, clock: options.clock, fromStep, progress },
      loopOptions(settings.training),
    );
    return await finish(prepared, run, runDir, result, emit);
  } catch (error) {
    await recorder?.finish({ status: "failed" }).catch(() => recorder?.release().catch(() => undefined));
    const { lastCheckpoint } = recorder ?? {};
    throw recorder && began && lastCheckpoint ? howToGoOn(error, recorder.executionId, lastCheckpoint) : error;
  } finally {
    await prepared.release();
  }
}

/** What failed is not lost: the error names the run and the checkpoint. Errors of users' own code stay what they are. */
function howToGoOn(error: unknown, executionId: string, { step }: Checkpoint): unknown {
  if (!(error instanceof TenonError)) return error;
  const goOn = `Go on from the checkpoint of step ${step}: train(config, { resume: "${executionId}" }) or tenon train --resume ${executionId}.`;
  const { hint = "", details, modulePath } = error;
  const isLast = error.message.endsWith(hint);
  const said = isLast ? error.message.slice(0, error.message.length - hint.length).trim() : error.message;
  // A lost device is opened anew by whoever goes on: no other step comes first.
  const hints = details["lost"] || !isLast ? goOn : `${hint} ${goOn}`.trim();
  const Kind = error.constructor as typeof TenonError;
  return Object.assign(new Kind(said, { ...details, cause: error, hint: hints }), { modulePath });
}

/** JSON writes NaN and infinities as texts. */
const numbers = (values: object): Record<string, number> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value)]));

const loopOptions = (training: TrainingOptions): LoopOptions => ({ ...training, schedule: scheduleOf(training) });

/** Going on is for the same run: the same data, device and settings. */
function refuseOther({ draft }: Prepared, manifest: RunManifest, tell: WarningListener): void {
  const where = manifest.executionId;
  const now = draft(manifest.initialWeights);
  if (now.data.fingerprint !== manifest.data.fingerprint) {
    throw new RunError(
      `${where}: cannot go on, its data changed (fingerprint ${manifest.data.fingerprint.slice(0, 12)}…, now ${now.data.fingerprint.slice(0, 12)}…).`,
      {
        where,
        hint: "Bring the data back as they were, or start a new run.",
      },
    );
  }
  if (now.device !== manifest.device || now.numerics !== manifest.numerics) {
    throw new RunError(
      `${where}: was run on ${manifest.device} with ${manifest.numerics} numerics, got ${now.device} with ${now.numerics}.`,
      { where },
    );
  }
  const [then, here] = [manifest.package.version, now.package.version];
  if (then !== here) {
    throw new RunError(`${where}: cannot go on, it was made by tenon ${then}, this is ${here}.`, {
      where,
      hint: "Versions make no promise of each other's bits: use that one, or start a new run.",
    });
  }
  const [thenCode, nowCode] = [codeName(manifest.code), codeName(now.code)];
  if (thenCode !== nowCode) {
    throw new RunError(
      `${where}: cannot go on, its code changed: it was ${thenCode ?? "unnamed"}, is ${nowCode ?? "unnamed"}.`,
      {
        where,
        hint: "Bring that code (codeVersion, or the commit) back, or start a new run.",
      },
    );
  }
  const [build] = otherBuild(manifest);
  if (build) warn("other-build", `${where}: goes on with ${build}; its bits may differ.`, { run: where }, tell);
  const [changed] = differences([manifest.config, now.config]);
  if (changed) throw configChanged(where, [changed]);
}

/** Puts a run back to where its checkpoint left it. */
async function restore(
  { task, optimizer, generator }: Prepared,
  checkpoint: Checkpoint,
  state: TrainingState,
): Promise<void> {
  const weights = readSafetensors(await readCheckpointFile(checkpoint, "model.safetensors"), "model.safetensors");
  task.model.loadStateDict(stateValues(weights.tensors));
  const moments = readSafetensors(
    await readCheckpointFile(checkpoint, "optimizer.safetensors"),
    "optimizer.safetensors",
  );
  checkStamp(moments.metadata, "tenon-optimizer", `${checkpoint.folder}/optimizer.safetensors`);
  optimizer.loadStateDict({ ...(state.optimizer as any), tensors: stateValues(moments.tensors) });
  generator.setState(state.random);
  task.source.restore(state.source as never);
}

async function finish(
  { capabilities, task: { unit } }: Prepared,
  recorder: RunRecorder,
  runDir: string,
  result: LoopResult,
  emit: (event: TrainingEvent) => void,
): Promise<TrainingResult> {
  const { step, trainLoss, valLoss, metrics, divergedAt, weightsHash, tokensPerSecond, stopped } = result;
  const diverged = divergedAt === undefined ? {} : { divergedAt };
  const { runId, executionId } = recorder;
  const { live, pooled, peak } = memory();
  const bytes = { live, pooled, peak };
  await recorder.finish({
    status: stopped ? "stopped" : "done",
    finalWeights: weightsHash,
    result: { steps: step, trainLoss, valLoss, ...metrics, ...diverged },
    wallClock: { tokensPerSecond, memory: bytes },
  });
  const { device, threads, numerics } = capabilities;
  const outcome: TrainingResult = {
    runId,
    executionId,
    runDir,
    steps: step,
    trainLoss,
    valLoss,
    metrics,
    weightsHash,
    tokensPerSecond,
    unit,
    device,
    threads,
    numerics,
    memory: bytes,
    ...diverged,
    ...(stopped ? { stopped } : {}),
  };
  if (stopped) emit({ type: "stopped", step, executionId, resume: executionId });
  else emit({ type: "done", result: outcome });
  return outcome;
}
