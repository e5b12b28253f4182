import "../../../src/node/platform.js";
import { afterAll, describe, expect, test } from "vitest";
import { Engine } from "../../../src/backend/wasm/engine.js";
import { matmul } from "../../../src/backend/wasm/gemm/matmul.js";

const engines = [{ threads: 1 }, { threads: 2 }, { threads: 3, wide: true }, { threads: 5 }].map((options) => {
  const engine = new Engine(options);
  engine.pool.threshold = 0;
  return engine;
});
afterAll(() => {
  for (const engine of engines) engine.destroy();
});

/** Floats whose sums depend on their order. */
function noise(count: number, seed: number): Float32Array {
  let state = seed * 2654435761 + 1;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state / 2 ** 31) * 3;
  });
}

interface Case {
  m: number;
  n: number;
  k: number;
  transposeA?: boolean;
  transposeB?: boolean;
  bias?: boolean;
  accumulate?: boolean;
  batchA?: number[];
  batchB?: number[];
}

/** The specification: chains from +0 in plain loops. */
function expected(c: Case, a: Float32Array, b: Float32Array, bias: Float32Array, out: Float32Array): Float32Array {
  const { m, n, k, batchA = [0], batchB = [0] } = c;
  const result = out.slice();
  for (let i = 0; i < batchA.length; i++)
    for (let y = 0; y < m; y++)
      for (let x = 0; x < n; x++) {
        let acc = 0;
        for (let j = 0; j < k; j++) {
          const p = a[batchA[i] * m * k + (c.transposeA ? j * m + y : y * k + j)];
          const q = b[batchB[i] * n * k + (c.transposeB ? x * k + j : j * n + x)];
          acc = Math.fround(acc + Math.fround(p * q));
        }
        if (c.bias) acc = Math.fround(acc + bias[x]);
        const at = (i * m + y) * n + x;
        result[at] = c.accumulate ? Math.fround(result[at] + acc) : acc;
      }
  return result;
}

const known = new Map<string, { data: Float32Array[]; want: Uint32Array }>();

/** The operands of a case and its expected bits, computed once for all engines. */
function prepare(c: Case) {
  const key = JSON.stringify(c);
  const found = known.get(key);
  if (found) return found;
  const { m, n, k, batchA = [0], batchB = [0] } = c;
  const a = noise((Math.max(...batchA) + 1) * m * k, 1);
  const b = noise((Math.max(...batchB) + 1) * n * k, 2);
  const bias = noise(n, 3);
  const out = noise(batchA.length * m * n, 4);
  const made = { data: [a, b, bias, out], want: new Uint32Array(expected(c, a, b, bias, out).buffer) };
  known.set(key, made);
  return made;
}

function check(engine: Engine, c: Case, context: string): void {
  const { m, n, k, batchA = [0], batchB = [0] } = c;
  const { data, want } = prepare(c);
  const put = (data: Float32Array) => {
    const address = engine.memory.alloc(data.byteLength);
    engine.memory.f32.set(data, address >>> 2);
    return address;
  };
  const [pa, pb, pBias, pOut] = data.map(put);
  const before = engine.memory.statistics().live;
  matmul(engine, {
    a: pa,
    b: pb,
    out: pOut,
    m,
    n,
    k,
    transposeA: c.transposeA ?? false,
    transposeB: c.transposeB ?? false,
    batchA,
    batchB,
    bias: c.bias ? pBias : 0,
    accumulate: c.accumulate ?? false,
  });
  expect(engine.memory.statistics().live).toBe(before);
  const got = new Uint32Array(engine.memory.f32.slice(pOut >>> 2, (pOut >>> 2) + want.length).buffer);
  const at = got.findIndex((word, i) => word !== want[i]);
  if (at >= 0) expect.fail(`${context} ${JSON.stringify(c)}: element ${at} differs`);
  for (const [i, address] of [pa, pb, pBias, pOut].entries()) engine.memory.release(address, data[i].byteLength);
}

const edges = (unit: number) => [...new Set([0, 1, 2, 3, 4, unit - 1, unit, unit + 1, 2 * unit])];
const layouts = [
  { transposeA: false, transposeB: false },
  { transposeA: false, transposeB: true },
  { transposeA: true, transposeB: false },
  { transposeA: true, transposeB: true },
];

describe.each(engines)(
  "matmul equals plain chains bit for bit ($pool.threads threads, $tile.vectors vectors)",
  (engine) => {
    const { rows, vectors } = engine.tile;
    test("every tile edge in every layout", () => {
      for (const layout of layouts)
        for (const m of edges(rows))
          for (const n of edges(4 * vectors))
            for (const k of [0, 1, 3, 4, 5, 17]) check(engine, { m, n, k, ...layout }, "edge");
    });

    test("few rows: every remainder of the blocks that are streamed", () => {
      for (const transposeB of [false, true])
        for (const m of [1, 2, 3, 4])
          for (const n of [1, 6, 7, 8, 9, 15, 16, 17, 40, 133])
            for (const k of [1, 4, 7, 8, 9, 16, 31, 33])
              check(engine, { m, n, k, transposeB, bias: n % 2 === 0, accumulate: k % 2 === 0 }, "few rows");
      check(engine, { m: 1, n: 4100, k: 19, bias: true }, "strips");
    });

    test("operands above the packing threshold, two blocks in every direction, bias and accumulation", () => {
      const shapes = [
        { m: 200, n: 70, k: 390 },
        { m: 7, n: 2060, k: 40 },
        { m: 101, n: 101, k: 101 },
        { m: 64, n: 65, k: 385 },
      ];
      for (const layout of layouts)
        for (const shape of shapes)
          for (const [bias, accumulate] of [
            [false, false],
            [true, false],
            [false, true],
            [true, true],
          ])
            check(engine, { ...shape, ...layout, bias, accumulate }, "block");
    });

    test("batches, with matrices used more than once", () => {
      for (const layout of layouts) {
        check(engine, { m: 3, n: 5, k: 7, batchA: [0, 1, 2], batchB: [0, 0, 0], ...layout }, "batch");
        check(
          engine,
          { m: 9, n: 33, k: 12, batchA: [2, 0, 1, 1], batchB: [3, 1, 0, 2], bias: true, ...layout },
          "batch",
        );
        check(
          engine,
          {
            m: 5,
            n: 8,
            k: 16,
            batchA: Array.from({ length: 12 }, (_, i) => i % 5),
            batchB: Array.from({ length: 12 }, (_, i) => 11 - i),
            accumulate: true,
            ...layout,
          },
          "batch",
        );
      }
    });
  },
);

test.each([false, true])(
  "weights that end where the memory ends are read ahead, not beyond it (transposed: %s)",
  (transposeB) => {
    for (const [n, k] of [
      [16, 1024],
      [64, 256],
      [8, 60],
      [8, 1],
      [1, 8],
      [3, 20],
    ]) {
      const engine = new Engine({ threads: 1, maximumBytes: 2 ** 18 });
      const layout = {
        m: 1,
        n,
        k,
        transposeA: false,
        transposeB,
        batchA: [0],
        batchB: [0],
        bias: 0,
        accumulate: false,
      };
      const [a, out, first] = [4 * k, 4 * n, 4 * n * k].map((bytes) => engine.memory.alloc(bytes));
      matmul(engine, { ...layout, a, b: first, out }); // now its kernels are in the memory
      const blocks: number[] = [];
      try {
        for (;;) blocks.push(engine.memory.alloc(64));
      } catch {
        for (const block of blocks.slice(0, 200)) engine.memory.release(block, 64); // for its scratch memory
      }
      const b = Math.max(...blocks) + 64 - 4 * n * k;
      expect(engine.memory.memory.buffer.byteLength - (b + 4 * n * k)).toBe(256);
      engine.memory.f32.fill(0.5, b >>> 2, (b >>> 2) + n * k);
      engine.memory.f32.fill(2, a >>> 2, (a >>> 2) + k);
      matmul(engine, { ...layout, a, b, out });
      expect(engine.memory.f32.slice(out >>> 2, (out >>> 2) + n)).toEqual(new Float32Array(n).fill(k));
      engine.destroy();
    }
  },
);
