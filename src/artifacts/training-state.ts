/** `training_state.json` of a checkpoint: what a run needs besides weights and optimizer state to go on bit for bit. */

import { FormatError } from "../core/errors.js";
import type { RandomState } from "../core/random.js";
import { parseStamped, stampedJson } from "./format.js";
import { anything, check, integer, object, record, text } from "./schema.js";

export const TRAINING_STATE = "training_state.json";

export interface TrainingState {
  /** Optimizer steps done. */
  readonly step: number;
  readonly runId: string;
  readonly executionId: string;
  /** The run's generator. */
  readonly random: RandomState;
  /** Position of the batch source, as its `state()` gave it. */
  readonly source: unknown;
  /** What the optimizer keeps besides tensors (its step count, for one). */
  readonly optimizer: unknown;
  /** Lengths in bytes of the run's line files (`metrics.jsonl`, …) at this moment: resuming cuts them back to these. */
  readonly offsets: Readonly<Record<string, number>>;
  /** Anything else the loop wants back: best values, sums of the running aggregates. */
  readonly loop: unknown;
}

const schema = object(
  {
    step: integer({ min: 0 }),
    runId: text(),
    executionId: text(),
    random: object({ seed: integer({ min: 0 }), calls: record(integer({ min: 0 })) }),
    source: anythingOrNull(),
    optimizer: anythingOrNull(),
    offsets: record(integer({ min: 0 })),
    loop: anythingOrNull(),
  },
  { open: true },
);

function anythingOrNull() {
  return { ...anything, default: null };
}

/** The text of the file. */
export const writeTrainingState = (state: TrainingState): string => stampedJson("tenon-training-state", state);

/** Reads and checks the file; `where` names it in errors. */
export const readTrainingState = (json: string, where: string): TrainingState =>
  check(schema, parseStamped(json, "tenon-training-state", where), where, FormatError) as TrainingState;
