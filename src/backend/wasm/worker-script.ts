/**
 * Words of the control block at the start of the shared memory, and the script the pool's workers run: plain JavaScript
 * in one string, because a worker made from text needs no file, no URL and no bundler.
 */

/** Indices of 32-bit words in the control block. */
export const word = {
  /** Shares of the current task not yet taken. Taking one is the only way to touch the task. */
  remaining: 0,
  /** Shares finished. */
  done: 1,
  /** Workers asleep on `remaining`. */
  sleeping: 2,
  /** 1 when a worker met an error inside a kernel. */
  failed: 3,
  /** How many modules there are. */
  modules: 4,
  /** Address of the first module record. */
  moduleList: 5,
  /** 1 while the caller sleeps on `done`. */
  joining: 6,
  kernel: 7,
  argumentCount: 8,
  /** Which argument is the start of the range (the next one is its end). */
  rangeArgument: 9,
  /** Unsigned. */
  total: 10,
  granule: 11,
  shares: 12,
  /** Which argument is the scratch address, or -1; each thread adds its own multiple of `scratchBytes`. */
  scratchArgument: 13,
  scratchBytes: 14,
} as const;

/** Arguments are float64 from this byte on: they carry 32-bit integers, addresses above 2 GiB and float32 exactly. */
export const ARGUMENTS = 128;
export const MAX_ARGUMENTS = 256;

/**
 * A module record in shared memory: [address of the next record or 0, byte length, bytes …]. Kernels are numbered in
 * the order of their modules and, within one, of its exports.
 */
export const RECORD_HEADER = 8;

/**
 * The worker: waits for shares, takes them one by one, compiles modules it has not seen yet from their records. Engines
 * tell a thread late that another has grown the memory: `grow(0)` makes the buffer reach to the newest record. The word
 * of the list stands for the record before the first.
 */
export const workerScript = `"use strict";
(function () {
  const start = ({ memory, thread, spin }) => {
    const words = new Int32Array(memory.buffer, 0, 1024);
    const values = new Float64Array(memory.buffer, ${ARGUMENTS}, ${MAX_ARGUMENTS});
    const kernels = [];
    let loaded = 0, record = ${4 * word.moduleList};
    const load = () => {
      memory.grow(0);
      while (loaded < Atomics.load(words, ${word.modules})) {
        const u32 = new Uint32Array(memory.buffer);
        const next = u32[record >>> 2];
        const bytes = new Uint8Array(memory.buffer, next + ${RECORD_HEADER}, u32[(next >>> 2) + 1]).slice();
        const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });
        kernels.push(...Object.values(instance.exports));
        record = next;
        loaded++;
      }
    };
    const run = (share) => {
      if (words[${word.kernel}] >= kernels.length) load();
      const args = [];
      for (let k = 0; k < words[${word.argumentCount}]; k++) args.push(values[k]);
      const range = words[${word.rangeArgument}];
      const total = words[${word.total}] >>> 0, granule = words[${word.granule}], shares = words[${word.shares}];
      const units = Math.ceil(total / granule);
      args[range] = Math.min(Math.floor((units * share) / shares) * granule, total);
      args[range + 1] = Math.min(Math.floor((units * (share + 1)) / shares) * granule, total);
      const scratch = words[${word.scratchArgument}];
      if (scratch >= 0) args[scratch] += thread * words[${word.scratchBytes}];
      kernels[words[${word.kernel}]](...args);
    };
    load();
    for (let idle = 0; ; ) {
      const remaining = Atomics.load(words, ${word.remaining});
      if (remaining < 0) return;
      if (remaining === 0) {
        if (++idle > spin) {
          Atomics.add(words, ${word.sleeping}, 1);
          Atomics.wait(words, ${word.remaining}, 0);
          Atomics.sub(words, ${word.sleeping}, 1);
          idle = 0;
        }
        continue;
      }
      idle = 0;
      if (Atomics.compareExchange(words, ${word.remaining}, remaining, remaining - 1) !== remaining) continue;
      try {
        run(words[${word.shares}] - remaining);
      } catch (error) {
        Atomics.store(words, ${word.failed}, 1);
      }
      Atomics.add(words, ${word.done}, 1);
      if (Atomics.load(words, ${word.joining}) === 1) Atomics.notify(words, ${word.done});
    }
  };
  if (typeof self !== "undefined" && typeof self.postMessage === "function" && typeof importScripts === "function") {
    self.onmessage = (event) => { self.postMessage("started"); start(event.data); };
  } else {
    const { parentPort } = require("node:worker_threads");
    parentPort.once("message", (message) => { parentPort.postMessage("started"); start(message); });
  }
})();
`;
