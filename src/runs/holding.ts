/**
 * The device, its options, the memory budget and the mode belong to the process. A run has them as it asked for while it
 * is at work, and so do others that ask for the same; afterwards the process is what it was.
 */

import { holdDevices, init, toldThreads } from "../backend/devices.js";
import { choiceInUse, type DeviceChoice, refuseChange, setChoiceInUse } from "../backend/in-use.js";
import type { Capabilities } from "../backend/report.js";
import { memoryBudget, setMemoryBudget } from "../backend/storage.js";
import { type Deterministic, determinism, setDeterminism } from "../core/determinism.js";
import { observeWarnings, type WarningListener } from "../core/warnings.js";
import type { RunSettings } from "./config.js";

/** What a run asks of the device; unless told, budget and threads are those of the process. */
export type DeviceSettings = Pick<RunSettings, "device" | "numerics" | "deterministic" | "threads" | "memoryBudget">;

/** Opens a device for the work at hand. Throws RunError while another is at work with other options. */
export type OpenDevice = (settings: DeviceSettings) => Promise<Capabilities>;

/** Those at work (runs, replays) that opened a device. */
const users = new Set<object>();

interface Outer {
  readonly mode: Deterministic;
  readonly budget: number;
  readonly putBack: () => void;
}

/** What the process was before the first of them. */
let outer: Outer | undefined;

/** Does something that may choose devices and modes, telling of its warnings; afterwards the process is what it was. */
export async function holding<T>(tell: WarningListener, work: (open: OpenDevice) => Promise<T>): Promise<T> {
  const user = {};
  const unobserve = observeWarnings(tell);
  try {
    return await work((settings) => openFor(user, settings));
  } finally {
    unobserve();
    if (users.delete(user) && users.size === 0) letGo();
  }
}

async function openFor(user: object, { deterministic, ...settings }: DeviceSettings): Promise<Capabilities> {
  outer ??= { mode: determinism(), budget: memoryBudget(), putBack: holdDevices(true) };
  const alone = [...users].every((other) => other === user);
  // What the process asked for is not weakened by the default of a config.
  const mode = outer.mode === true && deterministic === "warn" ? true : deterministic;
  const choice: DeviceChoice = {
    ...settings,
    deterministic: mode,
    memoryBudget: settings.memoryBudget ?? outer.budget,
  };
  if (alone) setChoiceInUse({ ...choice, threads: choice.threads ?? toldThreads() });
  else refuseChange("train", choice);
  users.add(user);
  const { threads, ...others } = choice;
  // A silent run makes no loud one silent.
  const joint = !alone && mode === false ? determinism() : mode;
  const opened = await init({ ...others, deterministic: joint, ...(threads === undefined ? {} : { threads }) });
  const inUse = choiceInUse();
  if (inUse?.device === "auto" && users.has(user)) setChoiceInUse({ ...inUse, device: opened.device });
  return opened;
}

function letGo(): void {
  setChoiceInUse(undefined);
  if (!outer) return;
  const { mode, budget, putBack } = outer;
  outer = undefined;
  setDeterminism(mode);
  putBack();
  setMemoryBudget(budget);
}
