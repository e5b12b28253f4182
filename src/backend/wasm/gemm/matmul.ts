/** Matrix products of a whole call: which kernel, what is packed, how the work is divided. None of it changes a bit. */

import type { Engine } from "../engine.js";
import type { Division } from "../pool.js";
import { defineGemm, gemmParameters, gemmScratch, panelSizes, panelSlack, panelStart } from "./gemm.js";
import { defineGemv, gemvParameters, gemvScratch, MAX_ROWS_IN, MAX_ROWS_OUT } from "./gemv.js";
import { type TileShape, tileColumns } from "./tile.js";

/** One call: `out[i] = A[i] B[i]` for every output matrix i; addresses in bytes. */
export interface MatmulCall {
  a: number;
  b: number;
  out: number;
  m: number;
  n: number;
  k: number;
  /** A is stored [k, m], B is stored [n, k]. */
  transposeA: boolean;
  transposeB: boolean;
  /** For each output matrix, which matrix of A and of B it uses. */
  batchA: readonly number[];
  batchB: readonly number[];
  /** Address of [n] floats added to each row, or 0. */
  bias: number;
  /** out = out + (A B + bias). */
  accumulate: boolean;
  /** The chains go on from what `out` holds, as if k had been longer. Not with `accumulate`. */
  resume?: boolean;
}

const BLOCK_M = 120;
const BLOCK_N = 2048;
const BLOCK_K = 512;
/** Panels of an operand up to this size (bytes) are packed once for all threads; of a larger one each packs what it needs. */
const SHARED = 4 * 2 ** 20;
/** An operand up to this size (bytes) is read where it lies: packing it would cost more than it saves. */
const UNPACKED = 20 * 1024;

const positions = <P extends object>(parameters: P) =>
  Object.fromEntries(Object.keys(parameters).map((name, index) => [name, index])) as Record<keyof P, number>;
const position = positions(gemmParameters);
const gemvPosition = positions(gemvParameters);

export function matmul(engine: Engine, call: MatmulCall): void {
  const { m, n, batchA } = call;
  if (m === 0 || n === 0 || batchA.length === 0) return;
  const single = batchA.length === 1 && !call.resume;
  const few = call.transposeB ? MAX_ROWS_OUT : MAX_ROWS_IN;
  if (single && m <= few && (m === 1 || !call.transposeA)) gemv(engine, call);
  else if (single && n === 1 && !call.bias) gemv(engine, turned(call));
  else gemm(engine, call);
}

const gemmFamily = (engine: Engine) => engine.family("gemm", (module) => defineGemm(module, engine.tile));

function gemm(engine: Engine, call: MatmulCall): void {
  const { m, n, k, transposeA, transposeB, batchA } = call;
  const count = batchA.length;
  const shape = engine.tile;
  const family = gemmFamily(engine);
  // Chains that are added to C at their end must not be interrupted: one block of k.
  const blocks = call.accumulate ? 1 : Math.ceil(k / BLOCK_K);
  const blockK = Math.max(1, Math.ceil(k / Math.max(1, blocks)));
  const shrink = Math.max(1, blockK / BLOCK_K);
  const blockM = Math.min(m, Math.ceil(BLOCK_M / shrink / shape.rows) * shape.rows);
  const blockN = Math.min(n, Math.ceil(BLOCK_N / shrink / 16) * 16);
  const pack = transposeA || transposeB || 4 * Math.max(m, n) * k > UNPACKED;
  const [panelA, panelB] = panelSizes(shape, blockK);
  const scratchBytes = gemmScratch(shape, blockM, blockN, blockK);
  const row = 4 * n;
  const division = divide(call, shape, scratchBytes);
  let offsets = 0;
  let shared: ReturnType<typeof packShared>;
  // Each of the three pieces of memory may be refused.
  try {
    if (count > 1 || call.batchA[0] !== 0 || call.batchB[0] !== 0) offsets = writeOffsets(engine, call);
    if (pack && count === 1 && engine.pool.shares(division) > 1)
      shared = packShared(engine, call, division, { blockK, blocks });
    // biome-ignore format: one line per operand, in the order of gemmParameters
    const args = [
      0, count, 0, m, 0, n, k,
      call.a, transposeA ? 4 : 4 * k, transposeA ? 4 * m : 4,
      call.b, transposeB ? 4 : row, transposeB ? 4 * k : 4,
      call.out, row, m * row, offsets, call.bias, Number(call.accumulate), Number(call.resume ?? false),
      Number(pack), shared?.a ?? 0, shared?.b ?? 0, 0, blockM, blockN, blockK, panelA, panelB,
    ];
    engine.pool.run(family.gemm, args, division);
  } finally {
    if (shared) engine.memory.release(shared.block, shared.bytes);
    if (offsets) engine.memory.release(offsets, 8 * count);
  }
}

/** Divides the matrices where there are several, else the longer side: columns share packed A, rows packed B. */
function divide({ m, n, k, batchA }: MatmulCall, shape: TileShape, scratchBytes: number): Division {
  const count = batchA.length;
  const split = (rangeArgument: number, total: number, granule: number): Division => ({
    rangeArgument,
    total,
    granule,
    scratchArgument: position.scratch,
    scratchBytes,
    cost: (count * m * n * k) / 20,
  });
  if (count >= 8) return split(position.batch0, count, 1);
  return n >= m ? split(position.n0, n, tileColumns(shape)) : split(position.m0, m, shape.rows);
}

/**
 * Packs the operand that every share of a divided product reads in whole: B where rows are divided, else A. Undefined
 * where it is too large for that.
 */
function packShared(
  engine: Engine,
  { a, b, m, n, k, transposeA, transposeB, batchA, batchB }: MatmulCall,
  { rangeArgument }: Division,
  { blockK, blocks }: { blockK: number; blocks: number },
): { block: number; bytes: number; a: number; b: number } | undefined {
  const { tile: shape, pool, memory } = engine;
  const byRows = rangeArgument === position.m0;
  const [size, width] = byRows ? [n, tileColumns(shape)] : [m, shape.rows];
  const panel = panelSizes(shape, blockK)[byRows ? 1 : 0];
  const panels = Math.ceil(size / width);
  const bytes = panels * panel * blocks + panelSlack;
  if (bytes > SHARED) return undefined;
  const block = memory.alloc(bytes);
  const to = panelStart(block, byRows ? "B" : "A");
  const from = byRows ? b + batchB[0] * k * n * 4 : a + batchA[0] * m * k * 4;
  const alongK = byRows ? transposeB : !transposeA;
  const strides = alongK ? [4 * k, 4] : [4, 4 * size];
  const args = [0, panels, size, k, from, ...strides, to, blockK, panel];
  const kernels = gemmFamily(engine);
  try {
    const kernel = byRows ? kernels.packB : kernels.packA;
    pool.run(kernel, args, { rangeArgument: 0, total: panels, cost: (size * k) / 4 });
  } catch (error) {
    memory.release(block, bytes); // a worker failed
    throw error;
  }
  return { block, bytes, a: byRows ? 0 : to, b: byRows ? to : 0 };
}

/** Pairs of byte offsets of A and B per output matrix. */
function writeOffsets(engine: Engine, { m, n, k, batchA, batchB }: MatmulCall): number {
  const address = engine.memory.alloc(8 * batchA.length);
  const words = engine.memory.u32;
  for (let i = 0; i < batchA.length; i++) {
    words[(address >>> 2) + 2 * i] = batchA[i] * m * k * 4;
    words[(address >>> 2) + 2 * i + 1] = batchB[i] * k * n * 4;
  }
  return address;
}

/** (A B)^T = B^T A^T: a product with one column as one with one row. */
const turned = (call: MatmulCall): MatmulCall => ({
  ...call,
  a: call.b,
  b: call.a,
  m: 1,
  n: call.m,
  transposeA: call.transposeB,
  transposeB: !call.transposeA,
  batchA: call.batchB,
  batchB: call.batchA,
});

function gemv(engine: Engine, { a, b, out, m, n, k, transposeB, batchA, batchB, bias, accumulate }: MatmulCall): void {
  const family = engine.family("gemv", (module) => defineGemv(module, engine.fused));
  const matrixA = a + batchA[0] * m * k * 4;
  const matrixB = b + batchB[0] * k * n * 4;
  const args = [0, n, n, k, matrixA, matrixB, out, bias, Number(accumulate), 0];
  // A part of each row of B [k, n] is one stream for the memory: the longer, the faster; so one share per thread.
  engine.pool.run(family[`gemv${transposeB ? "Out" : "In"}${m}`], args, {
    rangeArgument: gemvPosition.n0,
    total: n,
    granule: transposeB ? 16 : Math.ceil(n / engine.pool.threads / 16) * 16,
    scratchArgument: gemvPosition.scratch,
    scratchBytes: gemvScratch(m),
    cost: (m * n * k) / 8,
  });
}
