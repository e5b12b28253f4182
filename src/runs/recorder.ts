/**
 * The folder of a run while it is written: identity and lock at the start, numbers and checkpoints on the way, the
 * sealed manifest at the end. The training loop stands on it, and users' own loops do through `startRun`.
 */

import {
  type Checkpoint,
  checkpointName,
  type FileContent,
  hashFile,
  latestCheckpoint,
  readCheckpointFile,
  writeCheckpoint,
} from "../artifacts/checkpoint.js";
import { stampedJson } from "../artifacts/format.js";
import { checkManifest, MANIFEST, type RunManifest, writeManifest } from "../artifacts/manifest.js";
import type { FileRecord } from "../artifacts/pieces.js";
import {
  readTrainingState,
  TRAINING_STATE,
  type TrainingState,
  writeTrainingState,
} from "../artifacts/training-state.js";
import { ConfigError, listOf, RunError, show } from "../core/errors.js";
import { type RunStore, writeText } from "../core/store.js";
import { codeName } from "./code.js";
import { CHECKPOINTS, LOCK } from "./folder.js";
import { claimExecution, configHash, runFingerprint, runIdOf } from "./identity.js";
import { findRunFolder, readManifestOf } from "./list.js";
import { checkStep, MetricsLog, type MetricsOptions, type Offsets } from "./metrics.js";

/** What is known of a run before its first step; the rest of the manifest follows from it. */
export type RunDraft = Omit<
  RunManifest,
  "runId" | "executionId" | "fingerprint" | "configHash" | "finalWeights" | "status" | "result" | "files" | "resumedAt"
>;

export interface RecorderOptions extends Pick<MetricsOptions, "sinks" | "onSinkError"> {
  /** The config as the user gave it, for `config.json`; the hashed one unless told. */
  readonly userConfig?: object;
}

/** How a run ended. */
export interface Ending {
  readonly status: "done" | "stopped" | "failed";
  /** `weightsHash` after the last step. */
  readonly finalWeights?: string;
  /** Reproducible results: steps, losses. */
  readonly result?: Record<string, unknown>;
  /** Times and rates, which take part in no hash and no comparison. */
  readonly wallClock?: Record<string, unknown>;
}

const ENDINGS: readonly string[] = ["done", "stopped", "failed"];
const LINE_FILES = ["config.json", "metrics.jsonl", "timing.jsonl", "samples.jsonl"];

export class RunRecorder {
  private ended = false;

  private constructor(
    readonly store: RunStore,
    private current: RunManifest,
    /** Numbers and texts go here. */
    readonly metrics: MetricsLog,
    private lock: (() => Promise<void>) | undefined,
    private last?: Checkpoint,
  ) {}

  get manifest(): RunManifest {
    return this.current;
  }
  get runId(): string {
    return this.current.runId;
  }
  get executionId(): string {
    return this.current.executionId;
  }
  /** Path of the run in its store. */
  get folder(): string {
    return this.current.executionId;
  }

  /** The last complete one, of this process or of the one before. */
  get lastCheckpoint(): Checkpoint | undefined {
    return this.last;
  }

  /** Gives the run its identity and a folder of its own: an execution that nobody had before. */
  static async start(store: RunStore, draft: RunDraft, options: RecorderOptions = {}): Promise<RunRecorder> {
    const hash = configHash(draft.config);
    const fingerprint = runFingerprint({
      configHash: hash,
      initialWeights: draft.initialWeights,
      tokenizer: draft.tokenizerHash,
      data: draft.data.fingerprint,
      packageVersion: draft.package.version,
      code: codeName(draft.code),
    });
    const runId = runIdOf(fingerprint);
    const executionId = await claimExecution(store, runId);
    let release: (() => Promise<void>) | undefined;
    try {
      release = await store.lock(`${executionId}/${LOCK}`);
      const manifest: RunManifest = {
        ...draft,
        runId,
        executionId,
        fingerprint,
        configHash: hash,
        finalWeights: null,
        status: "running",
      };
      await writeText(store, `${executionId}/config.json`, configText(options.userConfig ?? draft.config));
      await writeText(store, `${executionId}/${MANIFEST}`, writeManifest(manifest));
      const metrics = await MetricsLog.open(store, executionId, options);
      await metrics.flush();
      return new RunRecorder(store, manifest, metrics, release);
    } catch (error) {
      // A run that never began leaves no broken folder behind; why it did not is what the caller is told.
      await release?.().catch(() => undefined);
      await store.remove(executionId).catch(() => undefined);
      throw error;
    }
  }

  /**
   * Opens a run to go on from its last valid checkpoint, its line files cut back to it. Refuses a run that is done
   * (nothing is left to do), one without a checkpoint, and one that another process is writing.
   */
  static async resume(
    store: RunStore,
    name: string,
    options: RecorderOptions = {},
  ): Promise<{ recorder: RunRecorder; checkpoint: Checkpoint; state: TrainingState }> {
    const folder = await findRunFolder(store, name);
    const release = await store.lock(`${folder}/${LOCK}`);
    try {
      // What an earlier ending said holds no longer.
      const { files, result, wallClock, ...manifest } = await readManifestOf(store, folder);
      if (manifest.status === "done") {
        throw new RunError(`${folder}: is done, there is nothing to resume.`, { where: folder });
      }
      const checkpoint = await latestCheckpoint(store, `${folder}/${CHECKPOINTS}`);
      if (!checkpoint) {
        throw new RunError(`${folder}: has no complete checkpoint to resume from.`, {
          where: folder,
          hint: "Start the run again from its config.json.",
        });
      }
      const text = new TextDecoder().decode(await readCheckpointFile(checkpoint, TRAINING_STATE));
      const state = readTrainingState(text, `${checkpoint.folder}/${TRAINING_STATE}`);
      const metrics = await MetricsLog.open(store, folder, { ...options, resumeAt: state.offsets });
      const resumed: RunManifest = {
        ...manifest,
        finalWeights: null,
        status: "running",
        resumedAt: [...(manifest.resumedAt ?? []), checkpoint.step],
      };
      const recorder = new RunRecorder(store, resumed, metrics, release, checkpoint);
      await recorder.writeManifest(resumed);
      return { recorder, checkpoint, state };
    } catch (error) {
      await release();
      throw error;
    }
  }

  /**
   * Writes a checkpoint after `step`: the files given (the Hugging Face layout) and, with `state`, what resuming needs.
   * Metrics are durable before it exists. Asked again for the same step, it gives the checkpoint that is there.
   */
  async checkpoint(
    step: number,
    files: Readonly<Record<string, FileContent>>,
    state?: Omit<TrainingState, "step" | "runId" | "executionId" | "offsets">,
  ): Promise<Checkpoint> {
    this.refuseEnded();
    checkStep("checkpoint", step);
    if (this.last?.step === step) return this.last;
    await this.metrics.flush();
    const { runId, executionId } = this;
    const offsets: Offsets = this.metrics.offsets;
    const contents = state
      ? { ...files, [TRAINING_STATE]: writeTrainingState({ ...state, step, runId, executionId, offsets }) }
      : files;
    const folder = `${this.folder}/${CHECKPOINTS}/${checkpointName(step)}`;
    this.last = await writeCheckpoint(this.store, folder, step, contents);
    return this.last;
  }

  /**
   * Ends the run: everything durable, files hashed into the sealed manifest, the lock given back. Where that fails the
   * run goes on to be this process's, to be finished again.
   */
  async finish(ending: Ending): Promise<RunManifest> {
    this.refuseEnded();
    if (!ENDINGS.includes(ending.status)) {
      throw new ConfigError(`finish: needs a status ${listOf(ENDINGS, "or")}, got ${show(ending.status)}.`, {
        where: "finish",
      });
    }
    const { result, wallClock } = ending;
    // Before anything is closed: a run whose manifest cannot be read was for nothing.
    checkManifest({ ...this.current, result, wallClock }, "finish");
    await this.metrics.close();
    const files: Record<string, FileRecord> = {};
    for (const name of LINE_FILES) {
      const path = `${this.folder}/${name}`;
      if ((await this.store.size(path)) !== undefined) files[name] = await hashFile(this.store, path);
    }
    await this.writeManifest({ ...this.current, ...ending, finalWeights: ending.finalWeights ?? null, files });
    this.ended = true;
    await this.release();
    return this.current;
  }

  /** Gives the lock back, once: afterwards it may be another's. Only for runs that could not be finished. */
  async release(): Promise<void> {
    const { lock } = this;
    this.lock = undefined;
    await lock?.();
  }

  /** What is written after the end would belie the sealed manifest. */
  private refuseEnded(): void {
    if (!this.ended) return;
    throw new RunError(`${this.executionId}: has ended, nothing is added to it.`, { where: this.executionId });
  }

  private async writeManifest(manifest: RunManifest): Promise<void> {
    await writeText(this.store, `${this.folder}/${MANIFEST}`, writeManifest(manifest));
    this.current = manifest;
  }
}

/** `config.json`: what the user gave; of files from a page it says `{ "blob": name }`. */
function configText(config: object): string {
  const plain = JSON.stringify(config, (_, value) => {
    if (typeof Blob !== "undefined" && value instanceof Blob) return { blob: (value as File).name ?? "" };
    return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
  });
  return stampedJson("tenon-config", JSON.parse(plain));
}
