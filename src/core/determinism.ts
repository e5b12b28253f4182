/**
 * What may happen where equal bits were asked for. `true` refuses what can differ between machines or runs, `"warn"`
 * says so once, `false` is silent. docs/determinism.md tells what is promised.
 */

import { DeterminismError } from "./errors.js";
import { Generator, type RandomCall, type RandomState } from "./random.js";
import { warnOnce } from "./warnings.js";

export type Deterministic = boolean | "warn";

const HINT = "docs/determinism.md says what is promised, and where.";

let mode: Deterministic = "warn";

export const determinism = (): Deterministic => mode;

/** Sets the mode; returns the previous one. */
export function setDeterminism(next: Deterministic): Deterministic {
  const previous = mode;
  mode = next;
  return previous;
}

/** Called where something happens whose bits are not the same everywhere: `what` names it, `why` is a sentence. */
export function notDeterministic(what: string, why: string): void {
  if (mode === true) {
    throw new DeterminismError(`${what}: is refused by deterministic: true. ${why}`, { where: what, hint: HINT });
  }
  if (mode === "warn") warnOnce("not-deterministic", `${what}: ${why} ${HINT}`);
}

/**
 * The default generator starts at seed 0 in every process. So what it gives is reproducible, but it depends on all that
 * drew before: `deterministic: true` wants `manualSeed` first, and `"warn"` says so at the first draw.
 */
export class DefaultGenerator extends Generator {
  /** Was its state ever set? */
  seeded = false;
  private told = false;

  override setState(state: RandomState): void {
    super.setState(state);
    this.seeded = true;
  }

  override at(stream: string, call: number): RandomCall {
    if (!this.seeded && (mode === true || (mode === "warn" && !this.told))) {
      this.told = mode === "warn";
      notDeterministic(
        `${stream} (default generator)`,
        "Its seed was not set, so its numbers depend on all that drew before: call manualSeed(seed) first.",
      );
    }
    return super.at(stream, call);
  }
}
