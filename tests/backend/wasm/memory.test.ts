import "../../../src/node/platform.js";
import { describe, expect, test } from "vitest";
import type { Backend } from "../../../src/backend/backend.js";
import type { Operand } from "../../../src/backend/kernels.js";
import { createCpuBackend } from "../../../src/backend/wasm/backend.js";
import { ALIGNMENT, classBytes, HEAP_START, LinearMemory } from "../../../src/backend/wasm/memory.js";
import { word, workerScript } from "../../../src/backend/wasm/worker-script.js";
import { MemoryBudgetError } from "../../../src/core/errors.js";
import { platform, setPlatform } from "../../../src/core/platform.js";
import { empty } from "../operands.js";

const MIB = 1024 * 1024;

describe.each([true, false])("linear memory (shared: %s)", (shared) => {
  test("blocks are aligned, disjoint, and counted exactly", () => {
    const memory = new LinearMemory({ shared, maximumBytes: 64 * MIB });
    const sizes = [0, 1, 63, 64, 65, 256, 257, 1000, 4096, 65537, 3 * MIB];
    const blocks = sizes.map((bytes) => ({ bytes, address: memory.alloc(bytes) }));
    const spans = blocks
      .map(({ bytes, address }) => [address, address + classBytes(bytes)])
      .sort((a, b) => a[0] - b[0]);
    expect(spans[0][0]).toBeGreaterThanOrEqual(HEAP_START);
    for (const [k, [start]] of spans.entries()) {
      expect(start % ALIGNMENT).toBe(0);
      if (k > 0) expect(start).toBeGreaterThanOrEqual(spans[k - 1][1]);
    }
    const total = sizes.reduce((sum, bytes) => sum + classBytes(bytes), 0);
    expect(memory.statistics()).toMatchObject({ live: total, pooled: 0, peak: total });
    for (const { bytes, address } of blocks) memory.release(address, bytes);
    expect(memory.statistics()).toMatchObject({ live: 0, pooled: total, peak: total });
    memory.resetPeak();
    expect(memory.statistics().peak).toBe(0);
  });

  test("a freed block serves the next request of its class", () => {
    const memory = new LinearMemory({ shared, maximumBytes: 64 * MIB });
    const first = memory.alloc(1000);
    memory.release(first, 1000);
    expect(memory.alloc(1010)).toBe(first);
    expect(memory.statistics().pooled).toBe(0);
  });

  test("views follow growth", () => {
    const memory = new LinearMemory({ shared, maximumBytes: 64 * MIB });
    const early = memory.alloc(4);
    memory.f32[early >>> 2] = 1.5;
    const late = memory.alloc(40 * MIB);
    memory.f32[(late >>> 2) + 10 * MIB - 1] = 2.5;
    expect(memory.f32[early >>> 2]).toBe(1.5);
    expect(memory.f32[(late >>> 2) + 10 * MIB - 1]).toBe(2.5);
  });

  test("small freed blocks are merged for a large request before it is refused", () => {
    const memory = new LinearMemory({ shared, maximumBytes: 32 * MIB });
    const small = Array.from({ length: 28 }, () => memory.alloc(MIB));
    expect(() => memory.alloc(16 * MIB)).toThrow(MemoryBudgetError);
    for (const address of small) memory.release(address, MIB);
    const large = memory.alloc(24 * MIB);
    expect(memory.statistics()).toMatchObject({ live: 24 * MIB, pooled: 0 });
    memory.release(large, 24 * MIB);
    expect(memory.alloc(24 * MIB)).toBe(large);
  });

  test("merged blocks and what the memory has left to grow serve one request together", () => {
    const memory = new LinearMemory({ shared, maximumBytes: 60 * MIB });
    const small = Array.from({ length: 45 }, () => memory.alloc(MIB));
    const { reserved } = memory.statistics();
    expect(reserved).toBeLessThan(56 * MIB);
    for (const address of small) memory.release(address, MIB);
    memory.alloc(56 * MIB);
    expect(memory.statistics().reserved).toBeGreaterThan(reserved);
  });

  test("a request that fits where its size class does not is served, counted as it is, and given back", () => {
    const memory = new LinearMemory({ shared, maximumBytes: 40 * MIB });
    const first = memory.alloc(MIB);
    for (let round = 0; round < 3; round++) {
      expect(classBytes(36 * MIB)).toBe(40 * MIB);
      const large = memory.alloc(36 * MIB - 1);
      expect(memory.statistics()).toMatchObject({ live: 37 * MIB, peak: 37 * MIB });
      expect(() => memory.alloc(3 * MIB)).toThrow(/needs 3\.0 MiB in one piece, got at most 3\.0 MiB of 40\.0 MiB/);
      memory.f32[(large >>> 2) + 9 * MIB - 1] = 1;
      memory.release(large, 36 * MIB - 1);
      expect(memory.statistics().live).toBe(MIB);
      // What was given back serves small requests too, and is whole again after them.
      const small = Array.from({ length: 36 }, () => memory.alloc(MIB));
      expect(new Set([first, ...small]).size).toBe(37);
      for (const address of small) memory.release(address, MIB);
    }
  });

  test("a refused request leaves everything usable", () => {
    const memory = new LinearMemory({ shared, maximumBytes: 32 * MIB });
    const kept = memory.alloc(100);
    const before = memory.statistics();
    expect(() => memory.alloc(64 * MIB)).toThrow(
      /^cpu: an allocation needs 64\.0 MiB in one piece, got at most 32\.0 MiB of 32\.0 MiB \(128 B in use\)\. Use/,
    );
    expect(memory.statistics().live).toBe(before.live);
    memory.u8[kept] = 7;
    expect(memory.alloc(100)).not.toBe(kept);
    expect(memory.u8[kept]).toBe(7);
  });
});

test("size classes: at least the request, multiples of 64, at most a quarter more above 256 bytes", () => {
  for (let bytes = 1; bytes < 2 ** 32; bytes = Math.ceil(bytes * 1.07)) {
    const size = classBytes(bytes);
    expect(size).toBeGreaterThanOrEqual(bytes);
    expect(size % ALIGNMENT).toBe(0);
    expect(classBytes(size)).toBe(size);
    if (bytes > 256) expect(size).toBeLessThan(bytes * 1.25);
  }
  for (const bytes of [2 ** 32 + 1, 2 ** 32 + 4, 3 * 2 ** 32 + 2]) expect(classBytes(bytes)).toBeGreaterThan(bytes);
});

const square = { m: 256, n: 256, k: 256, transposeA: false, transposeB: false, batchA: [0], batchB: [0] };
const hungry: Record<string, (kernels: Backend["kernels"], x: Operand, y: Operand) => void> = {
  "a product": ({ matmul }, x, y) => matmul(x, x, y, square),
  products: ({ matmul }, x, y) => matmul(x, x, y, { ...square, m: 8, batchA: [0, 1], batchB: [0, 0] }),
  "a long sum": ({ reduce }, x, y) => reduce("sum", x, y, { outer: 1, size: 65536, inner: 1 }),
};
for (const [name, work] of Object.entries(hungry)) {
  test(`${name} that is refused a part of its memory gives back the other parts`, () => {
    const backend = createCpuBackend({ threads: 2, maximumBytes: 16 * MIB });
    const { pool, memory } = backend.engine;
    pool.threshold = 0;
    const [x, y] = [empty(backend, [256, 256]), empty(backend, [256, 256])];
    work(backend.kernels, x, y);
    const outcomes = new Set<boolean>();
    for (let room = 64; room < 4 * MIB; room *= 1.3) {
      const blocks = [{ address: memory.alloc(room), size: room }];
      for (let size = 4 * MIB; size >= 64; size /= 2) {
        try {
          for (;;) blocks.push({ address: memory.alloc(size), size });
        } catch {}
      }
      memory.release(blocks[0].address, room);
      const { live } = memory.statistics();
      try {
        work(backend.kernels, x, y);
        outcomes.add(true);
      } catch (error) {
        expect(error).toBeInstanceOf(MemoryBudgetError);
        outcomes.add(false);
      }
      expect(memory.statistics().live, `with room for ${room}`).toBe(live);
      for (const { address, size } of blocks.slice(1)) memory.release(address, size);
    }
    expect(outcomes.size).toBe(2);
    for (const { storage } of [x, y]) storage.release();
    backend.destroy();
  });
}

test("a product whose packing fails in a worker gives back the panels", async () => {
  const host = platform();
  // The first kernels that a product loads are those that pack.
  const failing = workerScript.replace("run(words[", `if (words[${word.kernel}] < 2) throw 0; run(words[`);
  expect(failing).not.toBe(workerScript);
  setPlatform({ ...host, spawn: (_, name) => host.spawn(failing, name) });
  const backend = createCpuBackend({ threads: 2, maximumBytes: 16 * MIB });
  setPlatform(host);
  await backend.ready();
  backend.engine.pool.threshold = 0;
  const [x, y] = [empty(backend, [256, 256]), empty(backend, [256, 256])];
  const { live } = backend.memory();
  // Until the worker is in time for a share.
  const rounds = () => {
    for (let round = 0; round < 1000; round++) backend.kernels.matmul(x, x, y, square);
  };
  expect(rounds).toThrow("cpu: a kernel failed in a worker.");
  expect(backend.memory().live).toBe(live);
  for (const { storage } of [x, y]) storage.release();
  backend.destroy();
});

test("addresses above 2 GiB work where the engine grants them", () => {
  const memory = new LinearMemory({ shared: true });
  const { maximum } = memory.statistics();
  expect(maximum).toBeGreaterThanOrEqual(512 * MIB);
  if (maximum <= 2048 * MIB) return console.log(`not tested: the engine grants ${maximum} bytes`);
  memory.alloc(2047 * MIB); // address space only: untouched pages cost nothing
  const high = memory.alloc(64 * MIB);
  expect(high).toBeGreaterThan(1500 * MIB);
  const last = memory.alloc(64 * MIB);
  expect(last + 64 * MIB).toBeGreaterThan(2 ** 31);
  memory.f32[(last + 64 * MIB - 4) >>> 2] = 3;
  expect(memory.f32[(last + 64 * MIB - 4) >>> 2]).toBe(3);
});
