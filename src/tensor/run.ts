/** `run`: a function from a clean state, so that twice gives the same bits. */

import type { DeviceName } from "../backend/backend.js";
import { holdDevices, init } from "../backend/devices.js";
import type { Numerics } from "../backend/report.js";
import { type Deterministic, determinism, setDeterminism } from "../core/determinism.js";
import { RunError } from "../core/errors.js";
import { checkOptions } from "../core/options.js";
import { getDefaultDtype, getDefaultGenerator, manualSeed, setDefaultDtype } from "./create.js";
import { holdInterceptors } from "./dispatch.js";

/** The state that `run` starts from. */
export interface RunOptions {
  /** Of the default generator, whose streams are all at their start; 0 unless given. */
  readonly seed?: number;
  /** `cpu` unless given. */
  readonly device?: DeviceName | "auto";
  /** `portable` unless given. */
  readonly numerics?: Numerics;
  readonly deterministic?: Deterministic;
}

/** Notes the devices, modes and the default generator as they are; the function returned puts them back. */
export function holdSettings(): () => void {
  const generator = getDefaultGenerator();
  const state = generator.getState();
  const { seeded } = generator;
  const dtype = getDefaultDtype();
  const mode = determinism();
  const releases = [holdInterceptors(), holdDevices()];
  return () => {
    for (const release of releases) release();
    generator.setState(state);
    generator.seeded = seeded;
    setDefaultDtype(dtype);
    setDeterminism(mode);
  };
}

let running = false;

/**
 * Runs a function (it may return a promise) from a clean state: all streams of the default generator at their start,
 * the default dtype, no interceptors of its own left, the device and numerics asked for. Afterwards, also after a throw,
 * everything is as it was before. Runs cannot overlap: a second one at the same time is a RunError.
 */
export async function run<T>(fn: () => T | Promise<T>, options: RunOptions = {}): Promise<T> {
  checkOptions("run", options, ["seed", "device", "numerics", "deterministic"]);
  const { seed = 0, device = "cpu", numerics = "portable", deterministic = determinism() } = options;
  if (running) {
    throw new RunError("run: another run is at work, and they share the default generator.", {
      where: "run",
      hint: "Await it first.",
    });
  }
  running = true;
  const putBack = holdSettings();
  try {
    await init({ device, numerics, deterministic });
    setDefaultDtype("float32");
    manualSeed(seed);
    return await fn();
  } finally {
    putBack();
    running = false;
  }
}
