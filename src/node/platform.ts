/** The Node platform: worker threads, files, core count. Imported for its effect by every Node entry point. */
import { createHash } from "node:crypto";
import { constants, open, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import * as os from "node:os";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import { ConfigError, DataError } from "../core/errors.js";
import { type ByteSource, type Platform, type PlatformWorker, setPlatform, WorkerExit } from "../core/platform.js";
import { codeState } from "./code.js";
import { FileStore } from "./file-store.js";
import { readInto } from "./read.js";

/** V8 on x64 then computes pairs of 128-bit vectors as one of 256 bits (AVX2): nearly twice the rate in matrix products. */
const WIDE_VECTORS = "--experimental-wasm-revectorize";
let wideVectors = process.execArgv.includes(WIDE_VECTORS);

function spawn(script: string, name: string): PlatformWorker {
  const worker = new Worker(script, { eval: true, name, execArgv: [] }); // `--input-type=module` is not for it
  // A worker keeps the process alive until it has reported once (its start is awaited), and never after that: it may
  // sleep in Atomics.wait for ever. Listening for messages would hold the process again.
  worker.once("message", () => worker.unref());
  let over = false;
  return {
    post: (message, transfer = []) => worker.postMessage(message, transfer as never),
    onMessage: (listener) => worker.on("message", listener),
    onError(listener) {
      const tell = (error: Error) => {
        if (!over) listener(error);
        over = true;
      };
      worker.on("error", tell);
      worker.on("exit", (code) => tell(new WorkerExit(code)));
    },
    terminate() {
      over = true;
      void worker.terminate();
    },
  };
}

/** Gives a module what the global scope of a browser's worker would give it, then loads it. */
const moduleScript = (url: string): string => `
"use strict";
const { parentPort } = require("node:worker_threads");
globalThis.postMessage = (message, transfer) => parentPort.postMessage(message, transfer);
globalThis.addEventListener = (type, listener) => parentPort.on(type, (data) => listener({ data }));
import(${JSON.stringify(url)});
`;

const nodePlatform: Platform = {
  name: "node",
  cores: os.availableParallelism(),
  spawn,
  spawnModule: (path, base) => spawn(moduleScript(new URL(path, base).href), path),
  openFile,
  isDirectory: async (path) => {
    try {
      return (await stat(path)).isDirectory();
    } catch {
      return false;
    }
  },
  openStore: (root) => new FileStore(root.startsWith("file:") ? fileURLToPath(root) : root),
  setEngineFlags() {
    const flags: string[] = [];
    const major = Number(process.versions.node.split(".")[0]);
    if (major < 22) flags.push("--experimental-wasm-relaxed-simd");
    if (major >= 24 && process.arch === "x64") flags.push(WIDE_VECTORS);
    for (const flag of flags) setFlagsFromString(flag);
    wideVectors ||= flags.includes(WIDE_VECTORS);
    return flags;
  },
  get wideVectors() {
    return wideVectors;
  },
  async gpu() {
    // Deno has one of its own.
    const { navigator } = globalThis as { navigator?: { gpu?: GPU } };
    if (navigator?.gpu) return { gpu: navigator.gpu };
    const specifier = "webgpu"; // an optional peer: bundlers and type checkers must not insist on it
    try {
      const { create, globals } = await import(/* webpackIgnore: true */ /* @vite-ignore */ specifier);
      // Dawn complains on standard error when there is no Vulkan loader: look before it does.
      if (os.platform() === "linux" && !hasLibrary("libvulkan.so.1"))
        return { reason: "this system has no Vulkan loader (libvulkan.so.1, which comes with graphics drivers)" };
      Object.assign(globalThis, globals);
      // The object must stay referenced for the life of the process: a collected instance crashes the driver.
      // What Dawn calls unsafe are its experiments: subgroup matrices are among them.
      dawn ??= create(["enable-dawn-features=allow_unsafe_apis"]) as GPU;
      return { gpu: dawn };
    } catch (cause) {
      // Node's code begins with ERR_, Jest's does not.
      const missing = /MODULE_NOT_FOUND$/.test((cause as { code?: string }).code ?? "");
      return {
        reason: missing ? "the optional package 'webgpu' is not installed (npm install webgpu)" : String(cause),
      };
    }
  },
  createSha256() {
    const hash = createHash("sha256");
    return {
      update(bytes) {
        hash.update(bytes);
        return this;
      },
      digest: () => hash.digest("hex"),
    };
  },
  codeState,
  environment: () => ({
    host: "node",
    node: process.versions.node,
    v8: process.versions.v8,
    os: `${os.platform()} ${os.release()}`,
    arch: os.arch(),
    cpu: os.cpus()[0]?.model ?? "unknown",
  }),
};

let dawn: GPU | undefined;

/** Can the dynamic linker find a library? Loading one that is no Node module fails always, but not for that reason. */
function hasLibrary(name: string): boolean {
  try {
    process.dlopen({ exports: {} }, name);
    return true;
  } catch (error) {
    return !/cannot open shared object file/.test((error as Error).message);
  }
}

/** Opens a file for random access. Throws DataError naming the path when it cannot be read. */
async function openFile(path: string): Promise<ByteSource> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    // A pipe would wait for a writer, perhaps for ever.
    handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const why = code === "ENOENT" ? "no such file" : code === "EACCES" ? "permission denied" : String(code);
    throw new DataError(`${path}: cannot be read, ${why}.`, { where: path, cause });
  }
  const info = await handle.stat();
  if (!info.isFile()) {
    await handle.close();
    const kind = info.isDirectory() ? "a directory" : "a pipe or a device";
    throw new DataError(`${path}: is ${kind}, a file was expected.`, { where: path });
  }
  const source: ByteSource = {
    name: path,
    byteLength: info.size,
    async read(start, end) {
      const bytes = new Uint8Array(Math.max(0, end - start));
      const found = await readInto(handle, bytes, start);
      if (found === bytes.length) return bytes;
      throw new DataError(`${path}: ends at byte ${start + found}, expected ${end}.`, { where: path });
    },
    close() {
      dropped.unregister(source);
      return handle.close();
    },
  };
  dropped.register(source, handle, source);
  return source;
}

/** Files that nobody can close any more, such as those of a pass that was left in the middle. */
const dropped = new FinalizationRegistry<{ close(): Promise<void> }>((handle) => void handle.close().catch(() => {}));

/**
 * Refuses loaders that make CommonJS of this package's modules (tsx, for programs that are no ES modules): what `import()`
 * loads later would be a second copy, with other classes and no platform. Bundles, which are one file, are left alone.
 */
function refuseCommonJs(): void {
  const url: string | undefined = import.meta.url;
  if (!url || !/\/tenon\/dist\/chunks\/[^/]+$/.test(url)) return;
  if (process.versions["bun"] !== undefined) return; // its `require.cache` lists ES modules too
  if (createRequire(url).cache?.[fileURLToPath(url)] === undefined) return;
  throw new ConfigError(
    "tenon: needs a loader that leaves ES modules as they are, got one that makes CommonJS of them.",
    {
      where: "tenon",
      hint: 'Write "type": "module" into your package.json, or name the program .mts.',
    },
  );
}

refuseCommonJs();
setPlatform(nodePlatform);
