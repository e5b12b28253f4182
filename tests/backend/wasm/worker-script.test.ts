/** The script of the pool's workers, run here on a memory that another thread has grown behind its back. */

import { expect, test } from "vitest";
import { RECORD_HEADER, word, workerScript } from "../../../src/backend/wasm/worker-script.js";

test("a module beyond the end of an outdated buffer is found", () => {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 2, shared: true });
  const outdated = memory.buffer;
  memory.grow(1);
  // As engines have it between another thread's growth and the next time that they look.
  let seen = outdated;
  const late = {
    get buffer() {
      return seen;
    },
    grow(pages: number) {
      memory.grow(pages);
      seen = memory.buffer;
    },
  };
  const record = outdated.byteLength;
  const u32 = new Uint32Array(memory.buffer);
  u32[record / 4 + 1] = 3;
  new Uint8Array(memory.buffer).set([7, 8, 9], record + RECORD_HEADER);
  u32[word.modules] = 1;
  u32[word.moduleList] = record;
  u32[word.remaining] = 1;
  u32[word.shares] = 1;
  u32[word.granule] = 1;
  new Int32Array(memory.buffer)[word.scratchArgument] = -1;

  const compiled: number[][] = [];
  const engine = {
    Module: class {
      constructor(bytes: Uint8Array) {
        compiled.push([...bytes]);
      }
    },
    // Its only kernel ends the worker.
    Instance: class {
      exports = { end: () => void Atomics.store(new Int32Array(memory.buffer), word.remaining, -1) };
    },
  };
  const self: { onmessage?: (event: object) => void; postMessage(message: string): void } = { postMessage: () => {} };
  new Function("self", "importScripts", "WebAssembly", workerScript)(self, () => {}, engine);
  self.onmessage!({ data: { memory: late, thread: 1, spin: 0 } });

  expect(compiled).toEqual([[7, 8, 9]]);
  expect([u32[word.done], u32[word.failed]]).toEqual([1, 0]);
});
