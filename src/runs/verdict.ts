/** What comparing a run with its repetition rests on, whole (`replay`) or by its manifest alone (`reproduce`). */

import type { RunManifest } from "../artifacts/manifest.js";

export type Verdict = "equal bits" | "within tolerance" | "differs";

/** What went into a repetition and is not what went into the run, in words: then nothing that comes out says anything. */
export function otherInputs(was: RunManifest, now: RunManifest): string[] {
  const found: string[] = [];
  if (now.data.fingerprint !== was.data.fingerprint) found.push("the data are not those of the run");
  if (now.tokenizerHash !== was.tokenizerHash) found.push("the tokenizer is not that of the run");
  if (now.initialWeights !== was.initialWeights) found.push("the initial weights are not those of the run");
  return found;
}

/** How far a number is from the recorded one, relative to that; NaN where one of them is. */
export const relativeDifference = (expected: number, got: number): number =>
  Math.abs(got - expected) / Math.max(1e-12, Math.abs(expected));
