/**
 * What the host gives us beyond the language: workers, files, core count. The web platform is the default;
 * the Node entry points install theirs (`src/node/platform.ts`), so that nothing here imports `node:`.
 */

import type { RunStore } from "./store.js";

/** Something that takes bytes and gives a digest: 64 hex digits, after which it must not be used. */
export interface Hasher {
  update(bytes: Uint8Array): this;
  digest(): string;
}

/** Random access to bytes that may be larger than memory: a file, a Blob, a URL with range requests. */
export interface ByteSource {
  /** For messages: a path, a file name or a URL. */
  readonly name: string;
  readonly byteLength: number;
  /** Bytes `[start, end)`; a fresh array. */
  read(start: number, end: number): Promise<Uint8Array>;
  /** All bytes, where they lie in memory; to be looked at, neither changed nor kept. */
  readonly bytes?: Uint8Array;
  close?(): Promise<void>;
}

/** What `onError` is told of a worker that ended by itself, as by `process.exit()`. (In pages nobody is told.) */
export class WorkerExit extends Error {
  override readonly name = "WorkerExit";

  constructor(readonly code: number) {
    super(`the worker ended by itself, with exit code ${code}`);
  }
}

/** A worker that runs one self-contained script. */
export interface PlatformWorker {
  post(message: unknown, transfer?: Transferable[]): void;
  onMessage(listener: (message: unknown) => void): void;
  /** The one thing that ended it, unless that was `terminate`. */
  onError(listener: (error: Error) => void): void;
  terminate(): void;
}

/** The code that runs, as version control knows it; or why it does not. */
export type CodeState = { readonly commit: string; readonly dirty: boolean } | { readonly reason: string };

export interface Platform {
  readonly name: "node" | "web";
  /** Logical processors, at least 1. */
  readonly cores: number;
  /** Starts a classic script given as text (Blob URL in browsers, `eval: true` worker in Node). Throws where refused. */
  spawn(script: string, name: string): PlatformWorker;
  /**
   * Starts the module at `path`, relative to the module `base`, with a worker's scope as its global object (Node only:
   * in pages bundlers must see `new Worker(new URL(…))` where it is used; `webWorker` makes one of ours of it).
   */
  spawnModule?(path: string, base: string): PlatformWorker;
  /** Opens a path (Node only) for random access. */
  openFile?(path: string): Promise<ByteSource>;
  /** Is this path a directory? (Node only.) */
  isDirectory?(path: string): Promise<boolean>;
  /** A folder of the file system as a store of runs (Node only). */
  openStore?(root: string): RunStore;
  /** Asks the engine for optional WebAssembly features; only when the user allowed it. Returns what was set. */
  setEngineFlags?(): string[];
  /** Does the engine join pairs of 128-bit vectors into 256-bit ones? No bit depends on it, only which tile is fastest. */
  readonly wideVectors?: boolean;
  /** The WebGPU entry point, or the reason why there is none. */
  gpu(): Promise<{ gpu: GPU } | { reason: string }>;
  /** A native streaming SHA-256, where the host has a synchronous one. */
  createSha256?(): Hasher;
  /** Commit of the user's code, and whether it has changes besides (Node only). */
  codeState?(): Promise<CodeState>;
  /** Facts for manifests: engine, version, operating system, architecture. */
  environment(): Record<string, string>;
}

/** A browser's worker as one of ours; browsers do not say why they refuse to start one: `refusal` says what it may be. */
export const webWorker = (worker: Worker, refusal: string): PlatformWorker => ({
  post: (message, transfer = []) => worker.postMessage(message, transfer),
  onMessage: (listener) => worker.addEventListener("message", (event) => listener(event.data)),
  onError: (listener) => worker.addEventListener("error", (event) => listener(new Error(event.message || refusal))),
  terminate: () => worker.terminate(),
});

const webPlatform: Platform = {
  name: "web",
  get cores() {
    return globalThis.navigator?.hardwareConcurrency || 1;
  },
  spawn(script, name) {
    const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    const worker = new Worker(url, { name });
    const revoke = () => URL.revokeObjectURL(url);
    worker.addEventListener("message", revoke, { once: true });
    worker.addEventListener("error", revoke, { once: true });
    return webWorker(worker, "the page refused it (a content security policy needs worker-src blob:)");
  },
  async gpu() {
    const gpu = globalThis.navigator?.gpu;
    if (gpu) return { gpu };
    return {
      reason: globalThis.isSecureContext === false ? "WebGPU needs HTTPS or localhost" : "this browser has no WebGPU",
    };
  },
  environment: () => ({ host: "web", userAgent: globalThis.navigator?.userAgent ?? "unknown" }),
};

/** Is what lies at this address fetched, and not opened as a file? In pages everything is. */
export const isFetched = (address: string): boolean =>
  /^(https?|blob|data):/i.test(address) || platform().openFile === undefined;

/** Is it a page in the place of a file? Hosts of single-page applications answer so where there is no such file. */
export const isPage = (response: Response, address: string): boolean =>
  /^text\/html\b/i.test(response.headers.get("content-type") ?? "") && !/\.html?($|[?#])/i.test(address);

/** The path that a `file:` URL names: `/data/a b.txt`; on Windows `C:/data/a b.txt`. */
export const pathOfUrl = (url: string | URL): string =>
  decodeURIComponent(new URL(url).pathname).replace(/^\/(?=[a-z]:)/i, "");

let current: Platform = webPlatform;

/** The platform in force. */
export const platform = (): Platform => current;

/** Installs a host's platform; called by the Node entry points before anything else. */
export function setPlatform(next: Platform): void {
  current = next;
}
