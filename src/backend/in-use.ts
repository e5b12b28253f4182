/**
 * The device and its options while runs compute with them. They are the process's: what one run or `init` changes, all
 * others have from then on, in the middle of a step. So nothing changes them until the last of those at work has ended.
 */

import type { Deterministic } from "../core/determinism.js";
import { RunError, show } from "../core/errors.js";
import type { DeviceName } from "./backend.js";
import type { Numerics } from "./report.js";

/** What is computed with. Absent is what does not matter to whoever asks. */
export interface DeviceChoice {
  readonly device?: DeviceName | "auto";
  readonly numerics?: Numerics;
  readonly threads?: number;
  readonly deterministic?: Deterministic;
  readonly memoryBudget?: number;
}

let inUse: DeviceChoice | undefined;

/** What those at work were promised; undefined where nothing is. */
export const choiceInUse = (): DeviceChoice | undefined => inUse;

/** Notes what is computed with from now on. */
export function setChoiceInUse(choice: DeviceChoice | undefined): void {
  inUse = choice;
}

/** `auto` where the same bits are wanted everywhere is the CPU; elsewhere it is whatever is open. */
const deviceOf = ({ device, numerics, deterministic }: DeviceChoice) =>
  device !== "auto" ? device : numerics === "portable" || deterministic === true ? "cpu" : undefined;

/** Throws where what `where` asks for differs from what runs are at work with. Silent modes and loud ones get along. */
export function refuseChange(where: string, asked: DeviceChoice & { readonly engineFlags?: boolean }): void {
  if (!inUse) return;
  const strict = (mode: unknown) => mode === true;
  const pairs: [name: string, now: unknown, then: unknown][] = [
    ["device", deviceOf(asked), deviceOf(inUse) ?? inUse.device],
    ["numerics", asked.numerics, inUse.numerics],
    ["threads", asked.threads, inUse.threads],
    ["memoryBudget", asked.memoryBudget, inUse.memoryBudget],
    ["engineFlags", asked.engineFlags, false],
  ];
  if (strict(asked.deterministic) !== strict(inUse.deterministic))
    pairs.push(["deterministic", asked.deterministic, inUse.deterministic]);
  const other = pairs.find(([, now, then]) => now !== undefined && now !== then);
  if (!other) return;
  const [name, got, needed] = other;
  const told = needed === undefined ? "unset" : show(needed);
  throw new RunError(
    `${where}: needs ${name} ${told}, with which another run is at work in this process, got ${show(got)}.`,
    { where, option: name, hint: "Await that run first, or train in a worker of its own (serveTraining, connect)." },
  );
}
