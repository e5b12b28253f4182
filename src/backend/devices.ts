/** Which devices there are, which is the default, and why something is missing. */

import { type Deterministic, determinism, notDeterministic, setDeterminism } from "../core/determinism.js";
import { ConfigError, DeterminismError, DeviceError, listOf, show } from "../core/errors.js";
import { checkOptions } from "../core/options.js";
import { platform } from "../core/platform.js";
import { setWarningListener, type WarningListener, warn, warnOnce } from "../core/warnings.js";
import type { Backend, DeviceName } from "./backend.js";
import { choiceInUse, refuseChange } from "./in-use.js";
import { type Capabilities, capabilitiesOf, type MemoryReport, memoryOf, type Numerics } from "./report.js";
import { setMemoryBudget } from "./storage.js";
import { createCpuBackend } from "./wasm/backend.js";
import type { WebGpuBackend } from "./webgpu/backend.js";

/** Threads that the cpu device may have. */
export const MAX_THREADS = 64;

/** What may be asked for. */
export const deviceChoices = ["auto", "cpu", "webgpu", "reference"] as const satisfies (DeviceName | "auto")[];
export const numericsChoices = ["portable", "fast"] as const satisfies Numerics[];

/** What `init` takes. */
export interface InitOptions {
  /** `auto`: a hardware WebGPU adapter, else the CPU. */
  device?: DeviceName | "auto";
  /** Threads of the cpu device; the number of cores unless given. Results do not depend on it. */
  threads?: number;
  /** `portable` (default): the same bits everywhere; `fast`: fused multiply-add where the processor has it. */
  numerics?: Numerics;
  /**
   * `true`: results are the same on every machine; what cannot give that is refused, and `auto` is the CPU. `"warn"`
   * (default): it is told once. docs/determinism.md says what is promised.
   */
  deterministic?: Deterministic;
  /** Bytes that all tensors together may use. */
  memoryBudget?: number;
  /** Allow setting JavaScript engine flags that unlock WebAssembly features (Node only). */
  engineFlags?: boolean;
  /** Receives warnings in place of the console. */
  onWarning?: WarningListener;
}

const backends = new Map<DeviceName, Backend>();
/** Those closed by a change of options on which something lives. */
const retired = new Set<Backend>();
let defaultName: DeviceName | undefined;
let reason = "";
let cpuOptions: { threads?: number; numerics: Numerics; engineFlags: string[] } = {
  numerics: "portable",
  engineFlags: [],
};
const unavailable = new Map<DeviceName, string>();

/** Makes the reference device, once its code is loaded: a page whose cpu device works never carries it. */
let makeReference: (() => Backend) | undefined;

/** For hosts where size is no matter: gives the reference device's code in advance, so that it opens without waiting. */
export function provideReference(make: () => Backend): void {
  makeReference = make;
}

async function loadReference(): Promise<Backend> {
  makeReference ??= (await import("./reference/backend.js")).createReferenceBackend;
  return openReference();
}

function openReference(): Backend {
  const open = backends.get("reference");
  if (open) return open;
  if (!makeReference) {
    throw new DeviceError("reference: is not loaded yet.", {
      where: "reference",
      hint: `${unavailable.has("cpu") ? `The cpu device cannot start: ${unavailable.get("cpu")} ` : ""}Call await init() first.`,
    });
  }
  const backend = makeReference();
  backends.set("reference", backend);
  return backend;
}

/** The cpu device, or undefined where WebAssembly or its SIMD is forbidden or absent; the reason is kept. */
function tryCpu(): Backend | undefined {
  const existing = backends.get("cpu");
  if (existing || unavailable.has("cpu")) return existing;
  try {
    const backend = createCpuBackend(cpuOptions);
    backends.set("cpu", backend);
    return backend;
  } catch (error) {
    const why = (error as Error).message;
    unavailable.set("cpu", why);
    warn("cpu-unavailable", `The cpu device cannot start: ${why} Using the slow reference device.`);
    return undefined;
  }
}

const openCpu = (): Backend => tryCpu() ?? openReference();

/** Opens a device, waiting for what it loads or starts; the default one unless named. WebGPU must have been opened by `init`. */
export async function openDevice(device?: DeviceName): Promise<Backend> {
  if ((device ?? defaultName) === "reference") await loadReference();
  else if ((device ?? defaultName ?? "cpu") === "cpu" && !tryCpu()) await loadReference();
  const backend = backendOf(device);
  await backend.ready?.();
  return backend;
}

/** Opens the graphics card; a lost one anew. Its code is loaded here, so that nobody else carries it. */
async function openWebGpu(allowSoftware: boolean): Promise<Backend> {
  const existing = backends.get("webgpu") as WebGpuBackend | undefined;
  if (existing?.usable && (allowSoftware || !existing.info.details["software"])) return existing;
  const { createWebGpuBackend } = await import("./webgpu/backend.js");
  const backend = await createWebGpuBackend({ allowSoftware });
  unavailable.delete("webgpu");
  backends.set("webgpu", backend);
  return backend;
}

/** `auto`: a graphics card, unless results are to be the same everywhere; else the CPU. Never a software adapter. */
async function openBest(sameEverywhere: boolean): Promise<void> {
  if (sameEverywhere) {
    await openDefaultCpu("the same bits everywhere were asked for; the CPU gives them");
    return;
  }
  try {
    const backend = await openWebGpu(false);
    defaultName = backend.device;
    reason = `a graphics card: ${backend.info.details["adapter"]}`;
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    const why = (error.details["reason"] as string | undefined) ?? error.message;
    if (!backends.has("webgpu")) unavailable.set("webgpu", why);
    await openDefaultCpu(`no WebGPU graphics card (${why}); the CPU is used`);
  }
}

async function openDefaultCpu(why: string): Promise<void> {
  const backend = tryCpu() ?? (await loadReference());
  await backend.ready?.();
  defaultName = backend.device;
  reason = backend.device === "cpu" ? why : unavailable.get("cpu")!;
}

/** The backend of a device, opened on first use. WebGPU must have been opened by `init`. */
export function backendOf(device?: DeviceName): Backend {
  const name = device ?? defaultName;
  if (name === undefined) {
    const backend = openCpu();
    defaultName = backend.device;
    reason = "init() was not called; the CPU is the default";
    return backend;
  }
  if (name === "webgpu" && determinism() === true) notDeterministic("webgpu", "Its bits are those of one device.");
  const open = backends.get(name);
  if (open) return open;
  if (name === "reference") return openReference();
  if (name === "cpu") {
    const backend = openCpu();
    if (backend.device === "cpu") return backend;
    throw new DeviceError(`cpu: is not available, ${unavailable.get("cpu")}`, { where: "cpu" });
  }
  throw new DeviceError(`${name}: is not open.`, {
    where: name,
    hint:
      name === "webgpu"
        ? 'Call await init({ device: "webgpu" }) first.'
        : `Devices are ${listOf(["reference", "cpu", "webgpu"])}.`,
  });
}

/** Runs a function with another default device: what it makes without naming one lies there. Synchronous. */
export function withDevice<T>(device: DeviceName | undefined, fn: () => T): T {
  const before = defaultName;
  defaultName = backendOf(device).device;
  try {
    return fn();
  } finally {
    defaultName = before;
  }
}

/**
 * Prepares the devices and picks the default one. Calling it again changes the default and the options given; RunError
 * where a run is at work with others.
 */
export async function init(options: InitOptions = {}): Promise<Capabilities> {
  checkInit(options);
  refuseChangeBy(options);
  if (options.deterministic !== undefined) setDeterminism(options.deterministic);
  if (options.onWarning) setWarningListener(options.onWarning);
  if ("memoryBudget" in options) setMemoryBudget(options.memoryBudget);
  const numerics = options.numerics ?? cpuOptions.numerics;
  const threads = options.threads ?? cpuOptions.threads;
  const engineFlags = options.engineFlags ? (platform().setEngineFlags?.() ?? []) : cpuOptions.engineFlags;
  if (
    numerics !== cpuOptions.numerics ||
    threads !== cpuOptions.threads ||
    engineFlags.length > cpuOptions.engineFlags.length
  ) {
    retire("cpu");
  }
  cpuOptions = { threads, numerics, engineFlags };
  const sameEverywhere = determinism() === true || options.numerics === "portable";
  const asked = options.device ?? "auto";
  // What a run is at work with stays, where no other device is asked for.
  const wanted = asked === "auto" && !sameEverywhere ? (choiceInUse()?.device ?? asked) : asked;
  if (wanted === "reference") {
    defaultName = (await loadReference()).device;
    reason = "asked for";
  } else if (wanted === "webgpu") {
    const backend = await openWebGpu(true);
    defaultName = backend.device;
    reason = `asked for: ${backend.info.details["adapter"]}`;
  } else if (wanted === "cpu") {
    await openDefaultCpu("asked for");
  } else {
    await openBest(sameEverywhere);
  }
  sayWhatDiffers(defaultName, numerics);
  const { cores } = platform();
  if (threads !== undefined && threads > cores && defaultName === "cpu") {
    const why = "they take turns, which is slower; the results are the same";
    warnOnce("threads-above-cores", `init: ${threads} threads on ${cores} core${cores === 1 ? "" : "s"}: ${why}.`);
  }
  return capabilities();
}

/** What runs are at work with is not changed under them. */
function refuseChangeBy(options: InitOptions): void {
  const { device = "auto", deterministic = determinism() } = options;
  refuseChange("init", {
    ...options,
    device,
    deterministic,
    memoryBudget: "memoryBudget" in options ? (options.memoryBudget ?? Number.POSITIVE_INFINITY) : undefined,
    engineFlags: (options.engineFlags && cpuOptions.engineFlags.length === 0) || undefined,
  });
}

/** Threads that the cpu device was told to have; undefined for all cores. */
export const toldThreads = (): number | undefined => cpuOptions.threads;

/** Under `deterministic: true` these were refused before anything was opened. */
function sayWhatDiffers(device: DeviceName | undefined, numerics: Numerics): void {
  if (device === "webgpu")
    notDeterministic("webgpu", "It repeats its bits on one device and is close to the CPU elsewhere.");
  if (numerics === "fast" && device === "cpu")
    notDeterministic('numerics "fast"', "Its bits are those of machines with fused multiply-add, or of those without.");
}

/**
 * Notes the default device, the CPU and its options; the function returned puts them back, so that what was made before
 * goes on. With `keepFirst` a default stays where there was none before.
 */
export function holdDevices(keepFirst = false): () => void {
  const before = { name: defaultName, reason, cpuOptions };
  const cpu = backends.get("cpu");
  return () => {
    if (keepFirst && before.name === undefined) return;
    const { numerics, threads } = before.cpuOptions;
    const back = cpu && retired.delete(cpu) ? cpu : undefined;
    if (back || numerics !== cpuOptions.numerics || threads !== cpuOptions.threads) retire("cpu");
    if (back) backends.set("cpu", back);
    ({ name: defaultName, reason, cpuOptions } = before);
  };
}

/** A device whose options changed is closed once nothing lives on it, and opened anew at next use. */
function retire(name: DeviceName): void {
  const backend = backends.get(name);
  if (!backend) return;
  backends.delete(name);
  const { free } = backend;
  retired.add(backend);
  const closeUnused = () => {
    if (retired.has(backend) && backend.memory().live > 0) return;
    backend.free = free;
    // One that was put back goes on.
    if (retired.delete(backend)) backend.destroy();
  };
  backend.free = (handle, bytes) => {
    free(handle, bytes);
    closeUnused();
  };
  closeUnused();
}

const optionNames = ["device", "threads", "numerics", "deterministic", "memoryBudget", "engineFlags", "onWarning"];

function checkInit(options: InitOptions): void {
  checkOptions("init", options, optionNames);
  const { device, threads, numerics, memoryBudget, deterministic = determinism() } = options;
  const refuse = (name: string, expected: string, got: unknown) => {
    throw new ConfigError(`init: needs ${expected} for ${name}, got ${show(got)}.`, { where: "init" });
  };
  const refuseAllBut = (choices: readonly string[], name: string, got: string | undefined) => {
    if (got !== undefined && !choices.includes(got)) refuse(name, listOf(choices.map(show), "or"), got);
  };
  refuseAllBut(deviceChoices, "device", device);
  refuseAllBut(numericsChoices, "numerics", numerics);
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= MAX_THREADS))
    refuse("threads", `an integer from 1 to ${MAX_THREADS}`, threads);
  if (memoryBudget !== undefined && !(memoryBudget > 0))
    refuse("memoryBudget", "a number of bytes above 0", memoryBudget);
  if (![true, false, "warn"].includes(deterministic)) refuse("deterministic", 'true, false or "warn"', deterministic);
  const refused = [
    ...(device === "webgpu" ? ['device "webgpu"'] : []),
    ...((numerics ?? cpuOptions.numerics) === "fast" ? ['numerics "fast"'] : []),
  ];
  if (deterministic === true && refused.length > 0) {
    throw new DeterminismError(`init: deterministic: true refuses ${listOf(refused)}.`, {
      where: "init",
      refused,
      hint: 'Use the CPU with numerics "portable"; docs/determinism.md says what is promised, and where.',
    });
  }
}

/** What this machine and page offer, and the reason for each thing that is missing. */
export const capabilities = (): Capabilities => capabilitiesOf(backends, unavailable, backendOf(), reason);

/** Live, pooled and peak bytes, in all and by device; and by what allocated them, while that is traced. */
export const memory = (): MemoryReport => memoryOf(backends, retired);
