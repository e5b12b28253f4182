import "../../../src/node/platform.js";
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { ModuleBuilder } from "../../../src/backend/wasm/assembler.js";
import { LinearMemory } from "../../../src/backend/wasm/memory.js";
import { Pool } from "../../../src/backend/wasm/pool.js";
import { workerScript } from "../../../src/backend/wasm/worker-script.js";
import { platform, setPlatform } from "../../../src/core/platform.js";

const host = platform();
const pools: Pool[] = [];
afterEach(() => {
  for (const pool of pools.splice(0)) pool.stop();
  setPlatform(host);
});

/**
 * A pool with three kernels: `add(p, from, to, amount)` over 32-bit words, `note(p, from, to, scratch)`, which leaves its
 * scratch address in its share of them, and `trap`, which fails.
 */
function makePool(threads: number, options: { shared?: boolean; spin?: number; patience?: number } = {}) {
  const memory = new LinearMemory({ shared: options.shared ?? true, maximumBytes: 2 ** 25 });
  const pool = new Pool(memory, { threads, ...options });
  pool.threshold = 0;
  pools.push(pool);
  const module = new ModuleBuilder();
  module.export("add", { p: "i32", from: "i32", to: "i32", amount: "i32" }, (f, { p, from, to, amount }) =>
    f.for(from, to, 1, (i) => {
      const at = f.let(p.add(i.shl(2)));
      f.storeI32(at, at.i32().add(amount));
    }),
  );
  module.export("note", { p: "i32", from: "i32", to: "i32", scratch: "i32" }, (f, { p, from, to, scratch }) =>
    f.for(from, to, 1, (i) => f.storeI32(p.add(i.shl(2)), scratch)),
  );
  module.export("trap", { from: "i32", to: "i32" }, (f, { to }) => f.if(to.gt(4), () => f.storeI32(to.or(-4), 1)));
  const kernels = pool.load(module.bytes({ shared: memory.shared, maximum: memory.maximumPages }));
  return { memory, pool, kernels, module };
}

describe.each([1, 2, 3, 5])("%i threads", (threads) => {
  test("every element of the range is computed once, whoever computes it", async () => {
    const { memory, pool, kernels } = makePool(threads, { spin: 50 });
    const count = 10007;
    const p = memory.alloc(4 * count);
    const run = () => pool.run(kernels.add, [p, 0, 0, 1], { rangeArgument: 1, total: count, granule: 16, cost: 1e6 });
    memory.i32.fill(0, p >>> 2, (p >>> 2) + count);
    run(); // before the workers are up
    await pool.ready();
    expect(pool.threads).toBe(threads);
    for (let round = 1; round < 2000; round++) {
      run();
      if (round % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 5)); // workers fall asleep
    }
    const values = memory.i32.subarray(p >>> 2, (p >>> 2) + count);
    expect(values.every((value) => value === 2000)).toBe(true);
  });
});

test("an empty range runs nothing, a range smaller than the pool runs once", () => {
  const { memory, pool, kernels } = makePool(5);
  const p = memory.alloc(16);
  memory.i32.fill(0, p >>> 2, (p >>> 2) + 4);
  pool.run(kernels.add, [p, 0, 0, 1], { rangeArgument: 1, total: 0, cost: 1e6 });
  pool.run(kernels.add, [p, 0, 0, 1], { rangeArgument: 1, total: 2, cost: 1e6 });
  expect([...memory.i32.subarray(p >>> 2, (p >>> 2) + 4)]).toEqual([1, 1, 0, 0]);
});

test("a kernel that fails in any thread raises an error in the caller, and the pool goes on", async () => {
  const { memory, pool, kernels } = makePool(3);
  await pool.ready();
  for (let round = 0; round < 20; round++) {
    expect(() => pool.run(kernels.trap, [0, 0], { rangeArgument: 0, total: 8, cost: 1e6 })).toThrow();
  }
  const p = memory.alloc(64);
  memory.i32.fill(0, p >>> 2, (p >>> 2) + 16);
  pool.run(kernels.add, [p, 0, 0, 1], { rangeArgument: 1, total: 16, cost: 1e6 });
  expect([...memory.i32.subarray(p >>> 2, (p >>> 2) + 16)]).toEqual(Array(16).fill(1));
});

test("workers that are refused leave one thread and the reason", async () => {
  setPlatform({
    ...host,
    spawn() {
      throw new Error("blocked by the content security policy");
    },
  });
  const { memory, pool, kernels } = makePool(4);
  await pool.ready();
  expect(pool.threads).toBe(1);
  expect(pool.reason).toContain("content security policy");
  const p = memory.alloc(64);
  memory.i32[p >>> 2] = 0;
  pool.run(kernels.add, [p, 0, 0, 5], { rangeArgument: 1, total: 16, cost: 1e6 });
  expect(memory.i32[p >>> 2]).toBe(5);
});

test("without shared memory there is one thread, with the reason", async () => {
  const { pool } = makePool(4, { shared: false });
  await pool.ready();
  expect(pool.threads).toBe(1);
  expect(pool.reason).toBe("there is no shared memory");
});

test.each(["throw new Error('no')", "process.exit(0)"])(
  "a worker that dies (%s) does not hang the process: the others do its work, and the reason is kept",
  async (death) => {
    setPlatform({
      ...host,
      spawn: (script, name) => host.spawn(name === "tenon-1" ? death : script, name),
    });
    const { memory, pool, kernels } = makePool(3);
    await pool.ready();
    expect(pool.threads).toBe(2);
    expect(pool.reason).toContain("a worker stopped");
    const p = memory.alloc(400);
    memory.i32.fill(0, p >>> 2, (p >>> 2) + 100);
    for (let round = 0; round < 50; round++) {
      pool.run(kernels.add, [p, 0, 0, 1], { rangeArgument: 1, total: 100, cost: 1e6 });
    }
    expect([...memory.i32.subarray(p >>> 2, (p >>> 2) + 100)]).toEqual(Array(100).fill(50));
  },
);

test("scratch memory is each thread's own, also beside a worker that died", async () => {
  setPlatform({
    ...host,
    spawn: (script, name) => host.spawn(name === "tenon-1" ? "throw new Error('no')" : script, name),
  });
  const { memory, pool, kernels } = makePool(3);
  await pool.ready();
  const count = 100_000;
  const p = memory.alloc(4 * count);
  const found = new Set<number>();
  const division = { rangeArgument: 1, total: count, scratchArgument: 3, scratchBytes: 1 << 16, cost: 1e6 };
  for (let round = 0; round < 1000 && found.size < 2; round++) {
    pool.run(kernels.note, [p, 0, 0, 0], division);
    for (const address of memory.i32.subarray(p >>> 2, (p >>> 2) + count)) found.add(address);
  }
  expect(found.size).toBe(2);
  const { live } = memory.statistics();
  const before = memory.alloc(1 << 20); // past all that was scratch
  for (const address of found) expect(address + division.scratchBytes).toBeLessThanOrEqual(before);
  expect(live).toBe(memory.statistics().live - (1 << 20));
  memory.release(before, 1 << 20);
});

test("kernels keep their numbers in all threads when there was no memory for a module", async () => {
  const { memory, pool, module } = makePool(2);
  await pool.ready();
  const bytes = module.bytes({ shared: true, maximum: memory.maximumPages });
  const blocks: [address: number, bytes: number][] = [];
  const fill = (size: number) => {
    for (;;) blocks.push([memory.alloc(size), size]);
  };
  for (let size = 2 ** 24; size >= 64; size /= 2) expect(() => fill(size)).toThrow();
  expect(() => pool.load(bytes)).toThrow("in one piece");
  for (const [address, size] of blocks) memory.release(address, size);
  const { add } = pool.load(bytes);
  const count = 10_000;
  const p = memory.alloc(4 * count);
  memory.i32.fill(0, p >>> 2, (p >>> 2) + count);
  for (let round = 0; round < 1000; round++) {
    pool.run(add, [p, 0, 0, 1], { rangeArgument: 1, total: count, cost: 1e6 });
  }
  expect(memory.i32.subarray(p >>> 2, (p >>> 2) + count).every((value) => value === 1000)).toBe(true);
});

test("nobody waits for the start of workers that were stopped", async () => {
  const { pool } = makePool(3);
  const ready = pool.ready();
  pool.stop();
  await ready;
  expect(pool.threads).toBe(1);
});

test("a worker that is lost with a share in its hands: an error instead of a wait without end, then one thread", async () => {
  // Ends the worker between taking a share and computing it.
  const fatal = workerScript.replace("run(words[", "process.exit(1); run(words[");
  expect(fatal).not.toBe(workerScript);
  setPlatform({ ...host, spawn: (_, name) => host.spawn(fatal, name) });
  const { memory, pool, kernels } = makePool(2, { patience: 40 });
  await pool.ready();
  const p = memory.alloc(4e6);
  const run = (total: number) =>
    pool.run(kernels.add, [p, 0, 0, 1], { rangeArgument: 1, total, granule: 16, cost: 1e9 });
  // Until the worker is in time for a share.
  const rounds = () => {
    for (let round = 0; round < 1000; round++) run(1e6);
  };
  expect(rounds).toThrow("cpu: a worker took its share of a kernel and never finished it.");
  expect(pool.threads).toBe(1);
  expect(pool.reason).toBe("a worker was lost");
  memory.i32.fill(0, p >>> 2, (p >>> 2) + 100);
  run(100);
  expect([...memory.i32.subarray(p >>> 2, (p >>> 2) + 100)]).toEqual(Array(100).fill(1));
});

test("the process can end while workers sleep", () => {
  const script = `
    const { Worker } = require("node:worker_threads");
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 16, shared: true });
    const worker = new Worker(${JSON.stringify(workerScript)}, { eval: true });
    worker.unref();
    worker.postMessage({ memory, thread: 1, spin: 10 });
    setTimeout(() => console.log("done", new Int32Array(memory.buffer)[2]), 300);
  `;
  const output = execFileSync(process.execPath, ["-e", script], {
    timeout: 10_000,
    cwd: fileURLToPath(new URL(".", import.meta.url)),
  });
  expect(output.toString().trim()).toBe("done 1"); // one worker asleep
});
